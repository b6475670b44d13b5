"""STORE: accumulator tiles to DRAM, whole or narrowed."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, Queue, Store

from ... import te
from ...errors import CompileError
from ...te.intrinsic import declared
from ..dma import TileMove
from ..emitter import Emitter
from ..intrinsic import AcceleratorIntrinsic, EmissionRule
from ..operations import Operation
from .tiles import dtype, shape, tile


@declared
def store(config: AcceleratorConfig) -> AcceleratorIntrinsic:
    """One tile of accumulators, all bits of them.

    Raises
    ------
    CompileError
        If the configuration lacks it.
    """
    if not config.raw_store:
        raise CompileError("raw_store = False: accumulators cannot leave whole; narrow them, or enable it")
    acc = tile(config, "acc", "acc")
    dram = te.compute(shape(config, "acc"), lambda b, o: acc[b, o], "dram")
    return AcceleratorIntrinsic("store.acc", dram, (acc,), ("global", "acc"), emit=_rule(Memory.ACC))


@declared
def store_narrow(config: AcceleratorConfig) -> AcceleratorIntrinsic:
    """One tile of accumulators, of each the low bits."""
    acc = tile(config, "acc", "acc")
    dram = te.compute(shape(config, "acc"), lambda b, o: acc[b, o].cast(dtype(config, "out")), "dram")
    return AcceleratorIntrinsic("store.out", dram, (acc,), ("global", "acc"), emit=_rule(Memory.OUT))


def _rule(memory: Memory) -> EmissionRule:
    def emit(operation: Operation, emitter: Emitter) -> None:
        (source,) = operation.inputs
        target = operation.output
        move = TileMove(
            name=target.buffer.name, extents=operation.extents, dram=target.tile, sram=source.tile,
            guards=operation.guards, inside=operation.inside, can_pad=False,
        )  # fmt: skip
        emitter.move(Store, Queue.STORE, operation, move, memory)

    return emit
