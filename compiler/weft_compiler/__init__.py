"""From quantised ONNX networks to micro-code, instruction streams and host code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft_hardware.config import AcceleratorConfig
    from weft_runtime.external_functions import External
    from weft_runtime.module import Module
    from xdsl.dialects.builtin import ModuleOp

__all__ = ["HOST_TARGETS", "compile_file", "compile_model", "compile_module"]

HOST_TARGETS = ("x86_64",)
"""CPUs that a module carries an object for, if nothing is said."""


def compile_model(
    source: str | Path | bytes,
    config: AcceleratorConfig,
    *,
    batch: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
    dump: str | Path | None = None,
    host_targets: str | Sequence[str] = HOST_TARGETS,
    overlap: bool = True,
    extensions: bool = True,
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
    dump : path, optional
        A folder that every level of the compilation is written to; see `dump_ir.Dump`.
    host_targets : str or sequence of str
        CPUs that the module carries an object for, by name or triple, see `host.targets.TARGETS`; others compile its IR
        when they load it.
    overlap : bool
        Whether layers of the accelerator that follow each other are one program, so that the next one loads while this
        one drains; otherwise each is a launch of its own.
    extensions : bool
        Whether programs may use more than the base instruction set; without, they also keep clear of what other
        hardware of it gets wrong, see `accel.plain`.

    Raises
    ------
    CompileError
        If the model cannot be read or holds something that is not supported; the message names it.
    """
    # Importing the package costs nothing; xDSL and LLVM are loaded by the first compilation.
    from .onnx_import import import_onnx

    def steps(done: Callable[[str], None]) -> ModuleOp:
        module = import_onnx(source, batch=batch)
        done("import")
        return module

    return _compile(steps, ["import"], config, {}, progress, dump, host_targets, overlap, extensions)


def compile_module(
    module: ModuleOp | str,
    config: AcceleratorConfig,
    *,
    functions: Mapping[str, External] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    dump: str | Path | None = None,
    host_targets: str | Sequence[str] = HOST_TARGETS,
    overlap: bool = True,
    extensions: bool = True,
) -> Module:
    """Compile a module of IR: its graph function ``@main``, and what that calls.

    Parameters
    ----------
    module : ModuleOp or str
        The IR, or its text; it is left as it is.
    functions : Mapping, optional
        The external functions that it calls, by name.
    progress, dump, host_targets, overlap, extensions
        As for `compile_model`.

    Raises
    ------
    CompileError
        If the text does not parse or verify, or something cannot be compiled; the message names it.
    """
    from .text import parse_ir

    def steps(done: Callable[[str], None]) -> ModuleOp:
        return parse_ir(module) if isinstance(module, str) else module.clone()

    return _compile(steps, [], config, functions or {}, progress, dump, host_targets, overlap, extensions)


def compile_file(
    path: str | Path,
    config: AcceleratorConfig,
    *,
    functions: Mapping[str, External] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    dump: str | Path | None = None,
    host_targets: str | Sequence[str] = HOST_TARGETS,
    overlap: bool = True,
    extensions: bool = True,
) -> Module:
    """Compile a file of IR; see `compile_module`."""
    from .text import read_ir

    return compile_module(
        read_ir(path),
        config,
        functions=functions,
        progress=progress,
        dump=dump,
        host_targets=host_targets,
        overlap=overlap,
        extensions=extensions,
    )


def _compile(
    begin: Callable[[Callable[[str], None]], ModuleOp],
    first: list[str],
    config: AcceleratorConfig,
    functions: Mapping[str, External],
    progress: Callable[[str, int, int], None] | None,
    dump: str | Path | None,
    host_targets: str | Sequence[str],
    overlap: bool,
    extensions: bool,
) -> Module:
    from weft_runtime.module import Module

    from .accel.plain import without_extensions
    from .assemble import assemble
    from .dump_ir import Dump
    from .host.targets import targets_named
    from .pipeline import passes_for, run_passes

    targets = targets_named(host_targets)
    used = config if extensions else without_extensions(config)
    stages = [*first, *(step.name for step in passes_for(used)), "assemble"]

    def done(stage: str) -> None:
        if progress:
            progress(stage, stages.index(stage) + 1, len(stages))

    folder = Dump(dump) if dump is not None else None

    def observe(name: str, module: ModuleOp) -> None:
        if folder:
            folder.module(name, module)
        done(name)

    module = begin(done)
    if folder:
        folder.module("import", module)
    run_passes(module, used, observe)
    content = replace(assemble(module, used, folder, targets, overlap and extensions), config=config)
    done("assemble")
    return Module(content, functions)
