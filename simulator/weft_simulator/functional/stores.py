"""STORE kernels for OUT (truncating) and ACC (whole accumulators); `epilogue` has the requantising one."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, Store, tile_bytes

from .kernel import LANES, Kernel, Outcome, refuse_outside_scratchpad


def _store_kernel(memory: Memory, config: AcceleratorConfig) -> str:
    """STORE of OUT truncates every accumulator; of ACC (raw) it copies them."""
    k = Kernel(f"store_{memory.name.lower()}", Store, config)
    size, elements = tile_bytes(memory, config), config.batch * config.block_out
    sram, ys, xs, stride = k.fields("sram", "y_size", "x_size", "x_stride")
    tiles = k.op(f"mul i64 {xs}, {ys}")
    k.return_if(k.op(f"icmp eq i64 {tiles}, 0"), Outcome.DONE)
    refuse_outside_scratchpad(k, sram, tiles, config.acc_depth)
    offset, pitch = k.dram_offset(memory, config), k.op(f"mul i64 {stride}, {size}")
    row_bytes = k.op(f"mul i64 {xs}, {size}")
    k.refuse_outside_window(memory, offset, pitch, row_bytes, ys)
    source = k.at(k.state("acc"), k.op(f"mul i64 {sram}, {elements}"), "i32")
    target = k.at(k.state("dram"), offset, "i8")
    length = k.op(f"mul i64 {xs}, {elements}")
    lanes = min(LANES, elements)
    with k.loop(ys) as y:
        row = k.at(source, k.op(f"mul i64 {y.index}, {length}"), "i32")
        to = k.at(target, k.op(f"mul i64 {y.index}, {pitch}"), "i8")
        if memory == Memory.ACC:
            k.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {row}, i64 {row_bytes}, i1 false)")
        else:
            with k.loop(k.op(f"udiv i64 {length}, {lanes}")) as chunk:
                value = k.load(f"<{lanes} x i32>", k.at(row, chunk.index, f"[{lanes} x i32]"), 4)
                low = k.op(f"trunc <{lanes} x i32> {value} to <{lanes} x i{config.out_bits}>")
                k.store(
                    f"<{lanes} x i{config.out_bits}>", low, k.at(to, chunk.index, f"[{lanes} x i{config.out_bits}]")
                )
    return k.finish()


def store_kernels(config: AcceleratorConfig) -> list[str]:
    """The IR of ``store_out`` and ``store_acc``."""
    return [_store_kernel(memory, config) for memory in (Memory.OUT, Memory.ACC)]
