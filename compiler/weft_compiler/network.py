"""One network for many accelerators: what does not depend on the accelerator is done once."""

from __future__ import annotations

from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_runtime.module_model import ModuleContent

from .assemble import assemble
from .onnx_import import import_onnx
from .options import CompileOptions
from .pipeline import accelerator_passes, network_passes, run_passes


class Network:
    """An ONNX network, read and simplified.

    Parameters
    ----------
    source, batch
        As for `weft_compiler.compile_model`.

    Raises
    ------
    CompileError
        If it cannot be read or holds something that is not supported.
    """

    def __init__(self, source: str | Path | bytes, batch: int = 1) -> None:
        self._options = CompileOptions(batch=batch)
        self._module = import_onnx(source, batch=batch)
        run_passes(self._module, AcceleratorConfig(), passes=network_passes())

    def programs(self, config: AcceleratorConfig) -> ModuleContent:
        """What the accelerator executes, where a module has it: its launches are those of `compile_model`.

        The host's code is left out, so this is for those who count cycles and cannot be run.

        Raises
        ------
        CompileError
            As `compile_model`.
        """
        module = self._module.clone()
        run_passes(module, config, passes=accelerator_passes(config))
        return assemble(module, config, self._options, targets=())
