"""A loop nest of the accelerator's intrinsics to a stream of instructions."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig

from ..errors import CompileError
from ..te.nest import Nest
from .emitter import Emitter
from .intrinsic import AcceleratorIntrinsic
from .micro_code import MicroKernels
from .operations import Operation, operations
from .stream import Stream


def lower_nest(nest: Nest, config: AcceleratorConfig) -> Stream:
    """Emit a program for a nest whose every stage is tensorized.

    Raises
    ------
    CompileError
        If a stage is not tensorized, an index is not linear, a scratchpad is too small, or an instruction's fields
        cannot hold what is asked for.
    """
    emitter = Emitter(config, MicroKernels(config))
    found, copies = operations(nest, config)
    _check_memory(found)
    for operation in found:
        intrinsic = operation.invoke.intrinsic
        if not isinstance(intrinsic, AcceleratorIntrinsic):
            raise CompileError(f"{intrinsic.name} is no intrinsic of the accelerator; tensorize with one of its own")
        if operation.invoke.predicate is not None and not intrinsic.pads:
            raise CompileError(
                f"{operation.output.buffer.name}: {intrinsic.name} writes no padding, only LOADs do; pad what it reads"
            )
        intrinsic.emit(operation, emitter)
    if not emitter.rows:
        raise CompileError("the nest asks nothing of the accelerator; tensorize a stage")
    return Stream(config, tuple(emitter.rows), emitter.kernels, emitter.macs, nest, copies)


def _check_memory(found: list[Operation]) -> None:
    """Nothing may be read from DRAM that the same program writes: no token orders a STORE before a LOAD."""
    written = {operation.output.buffer for operation in found if operation.output.is_dram}
    for operation in found:
        for operand in operation.inputs:
            if operand.buffer in written:
                raise CompileError(
                    f"{operand.buffer.name} is written to DRAM and read again by one program; "
                    "keep it in a scratchpad, or make two programs of it"
                )
