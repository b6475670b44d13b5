"""From quantised ONNX networks to micro-code, instruction streams and host code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig
    from weft_runtime.module import Module

__all__ = ["compile_model"]


def compile_model(
    source: str | Path | bytes,
    config: AcceleratorConfig,
    *,
    batch: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Module:
    """Compile a quantised ONNX network.

    Parameters
    ----------
    source : path or bytes
        The ONNX file, or its content.
    config : AcceleratorConfig
        The accelerator; the module runs on no other.
    batch : int
        Images of one run, where the model leaves its first dimension open.
    progress : callable, optional
        Called after each stage with its name, the stages done, and all of them.

    Raises
    ------
    CompileError
        If the model cannot be read or holds something that is not supported; the message names it.
    """
    # Importing the package costs nothing; xDSL and LLVM are loaded by the first compilation.
    from weft_runtime.module import Module

    from .assemble import assemble
    from .onnx_import import import_onnx
    from .pipeline import passes_for, run_passes

    stages = ["import", *(step.name for step in passes_for(config)), "assemble"]

    def done(stage: str) -> None:
        if progress:
            progress(stage, stages.index(stage) + 1, len(stages))

    module = import_onnx(source, batch=batch)
    done("import")
    run_passes(module, config, lambda name, _: done(name))
    content = assemble(module, config)
    done("assemble")
    return Module(content)
