"""LOAD: tiles from DRAM to a scratchpad, with padding around them."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Load, Memory, Queue, SetRegister

from ... import te
from ...errors import CompileError
from ...te.intrinsic import declared
from ..dma import TileMove
from ..emitter import Emitter
from ..intrinsic import AcceleratorIntrinsic
from ..operations import Operation
from ..scratchpads import SCOPES
from .tiles import SCRATCHPADS, shape, tile

PAD_REGISTERS = {Memory.INP: SetRegister.LOAD_PAD, Memory.ACC: SetRegister.COMPUTE_PAD}
"""The register that says with what a scratchpad's LOADs pad; WGT has none, its padding is zero."""


@declared
def load(config: AcceleratorConfig, memory: str) -> AcceleratorIntrinsic:
    """One tile of DRAM into ``"inp"``, ``"wgt"`` or ``"acc"``, as it is; a stage's padding becomes the DMA's."""
    assert memory in SCRATCHPADS, memory
    source = tile(config, memory, "dram")
    target = te.compute(shape(config, memory), lambda row, column: source[row, column], memory)
    scratchpad = SCOPES[memory]
    return AcceleratorIntrinsic(
        f"load.{memory}",
        target,
        (source,),
        (memory, "global"),
        emit=lambda operation, emitter: _emit(operation, emitter, scratchpad, scratchpad, {}),
        pads=True,
    )


@declared
def load_widened(config: AcceleratorConfig, dtype: str = "int8") -> AcceleratorIntrinsic:
    """One tile of 8-bit values into accumulators.

    Raises
    ------
    CompileError
        If the configuration lacks it.
    """
    if not config.widening_load:
        raise CompileError("widening_load = False: accumulators cannot be loaded from 8-bit values; enable it")
    source = te.placeholder(shape(config, "acc"), dtype, "dram")
    acc = te.compute(source.shape, lambda b, o: source[b, o].cast("int32"), "acc")
    settings = {SetRegister.WIDEN: int(dtype == "uint8")}
    return AcceleratorIntrinsic(
        f"load.{dtype}",
        acc,
        (source,),
        ("acc", "global"),
        emit=lambda operation, emitter: _emit(operation, emitter, Memory.ACC, Memory.ACC_8BIT, settings),
        pads=True,
    )


def _emit(
    operation: Operation, emitter: Emitter, scratchpad: Memory, memory: Memory, settings: dict[SetRegister, int]
) -> None:
    (source,) = operation.inputs
    move = TileMove(
        source.buffer.name, operation.extents, source.tile, operation.output.tile, operation.guards, operation.inside
    )
    otherwise = operation.invoke.otherwise
    if otherwise is not None:
        settings = settings | _padding(int(otherwise.value), scratchpad, source.buffer.name, emitter.config)
    queue = Queue.COMPUTE if scratchpad is Memory.ACC else Queue.LOAD
    emitter.move(Load, queue, operation, move, memory, lambda _: ({}, settings))


def _padding(value: int, scratchpad: Memory, name: str, config: AcceleratorConfig) -> dict[SetRegister, int]:
    register = PAD_REGISTERS.get(scratchpad)
    if register is not None and config.pad_value:
        return {register: value}
    if value:
        rule = "weights are padded with zeros only" if register is None else "pad_value = False pads with zeros only"
        raise CompileError(f"{name} is padded with {value}: {rule}; pad on the host")
    return {}
