"""From quantised ONNX networks to micro-code, instruction streams and host code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weft_hardware.garbage import no_collection

from .options import HOST_TARGETS, CompileOptions

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig
    from weft_runtime.external_functions import External
    from weft_runtime.module import Module
    from xdsl.dialects.builtin import ModuleOp

__all__ = ["HOST_TARGETS", "CompileOptions", "compile_file", "compile_model", "compile_module"]

DEFAULT = CompileOptions()


def compile_model(source: str | Path | bytes, config: AcceleratorConfig, options: CompileOptions = DEFAULT) -> Module:
    """Compile a quantised ONNX network.

    Parameters
    ----------
    source : path or bytes
        The ONNX file, or its content.
    config : AcceleratorConfig
        The accelerator; the module runs on no other.

    Raises
    ------
    CompileError
        If the model cannot be read or holds something that is not supported; the message names it.
    """

    def steps(done: Callable[[str], None]) -> ModuleOp:
        # Importing the package costs nothing; xDSL and LLVM are loaded by the first compilation.
        from .onnx_import import import_onnx

        module = import_onnx(source, batch=options.batch)
        done("import")
        return module

    return _compile(steps, ["import"], config, {}, options)


def compile_module(
    module: ModuleOp | str,
    config: AcceleratorConfig,
    options: CompileOptions = DEFAULT,
    *,
    functions: Mapping[str, External] | None = None,
) -> Module:
    """Compile a module of IR: its graph function ``@main``, and what that calls.

    Parameters
    ----------
    module : ModuleOp or str
        The IR, or its text; it is left as it is.
    functions : Mapping, optional
        The external functions that it calls, by name.

    Raises
    ------
    CompileError
        If the text does not parse or verify, or something cannot be compiled; the message names it.
    """
    from .text import parse_ir

    def steps(done: Callable[[str], None]) -> ModuleOp:
        return parse_ir(module) if isinstance(module, str) else module.clone()

    return _compile(steps, [], config, functions or {}, options)


def compile_file(
    path: str | Path,
    config: AcceleratorConfig,
    options: CompileOptions = DEFAULT,
    *,
    functions: Mapping[str, External] | None = None,
) -> Module:
    """Compile a file of IR; see `compile_module`."""
    from .text import read_ir

    return compile_module(read_ir(path), config, options, functions=functions)


@no_collection()
def _compile(
    begin: Callable[[Callable[[str], None]], ModuleOp],
    first: list[str],
    config: AcceleratorConfig,
    functions: Mapping[str, External],
    options: CompileOptions,
) -> Module:
    from weft_runtime.module import Module

    from .accel.plain import without_extensions
    from .assemble import assemble
    from .dump_ir import Dump
    from .host.targets import targets_named
    from .pipeline import passes_for, run_passes

    targets = targets_named(options.host_targets)
    used = config if options.extensions else without_extensions(config)
    stages = [*first, *(step.name for step in passes_for(used)), "assemble"]

    def done(stage: str) -> None:
        if options.progress:
            options.progress(stage, stages.index(stage) + 1, len(stages))

    folder = Dump(options.dump) if options.dump is not None else None

    def observe(name: str, module: ModuleOp) -> None:
        if folder:
            folder.module(name, module)
        done(name)

    module = begin(done)
    if folder:
        folder.module("import", module)
    run_passes(module, used, observe)
    content = replace(assemble(module, used, options, folder, targets), config=config)
    done("assemble")
    return Module(content, functions)
