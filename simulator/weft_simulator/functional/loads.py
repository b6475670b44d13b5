"""LOAD kernels: the 2-D walk over DRAM, and for each memory how its tiles are unpacked and padded."""

from __future__ import annotations

from collections.abc import Callable

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Load,
    Memory,
    MicroOp,
    SetRegister,
    layout,
    loadable,
    scratchpad_depth,
    tile_bytes,
    uop_bits,
)

from .emitter import Function
from .kernel import LANES, STATE, Kernel, Outcome, Packing, queue_register, refuse_outside_scratchpad, splat


def _load_kernel(memory: Memory, config: AcceleratorConfig, depth: int) -> str:
    """The 2-D walk of a LOAD; the tiles themselves are left to ``@pad_*`` and ``@unpack_*``."""
    name = memory.name.lower()
    k = Kernel(f"load_{name}", Load, config)
    size = tile_bytes(memory, config)
    sram, ys, xs, stride = k.fields("sram", "y_size", "x_size", "x_stride")
    y0, y1, x0, x1 = k.fields("y_pad0", "y_pad1", "x_pad0", "x_pad1")
    width = k.op(f"add i64 {k.op(f'add i64 {x0}, {xs}')}, {x1}")
    rows = k.op(f"add i64 {k.op(f'add i64 {y0}, {ys}')}, {y1}")
    tiles = k.op(f"mul i64 {width}, {rows}")
    k.return_if(k.op(f"icmp eq i64 {xs}, 0"), Outcome.DONE)
    k.return_if(k.op(f"icmp eq i64 {rows}, 0"), Outcome.DONE)
    refuse_outside_scratchpad(k, sram, tiles, depth)

    def pad(tile: str, count: str) -> None:
        k.do(f"call void @pad_{name}(ptr %state, i64 {tile}, i64 {count})")

    head = k.op(f"mul i64 {y0}, {width}")
    tail = k.op(f"mul i64 {y1}, {width}")
    body = k.op(f"add i64 {sram}, {head}")
    after = k.op(f"add i64 {body}, {k.op(f'mul i64 {ys}, {width}')}")
    offset, pitch = k.dram_offset(memory, config), k.op(f"mul i64 {stride}, {size}")
    k.refuse_outside_window(memory, offset, pitch, k.op(f"mul i64 {xs}, {size}"), ys)
    pad(sram, head)
    source = k.at(k.state("dram"), offset, "i8")
    with k.loop(ys) as y:
        at = k.op(f"add i64 {body}, {k.op(f'mul i64 {y.index}, {width}')}")
        inner = k.op(f"add i64 {at}, {x0}")
        row = k.at(source, k.op(f"mul i64 {y.index}, {pitch}"), "i8")
        pad(at, x0)
        k.do(f"call void @unpack_{name}(ptr %state, i64 {inner}, ptr {row}, i64 {xs})")
        pad(k.op(f"add i64 {inner}, {xs}"), x1)
    pad(after, tail)
    return k.finish()


def _scratchpad(f: Function, name: str, tile: str, nbytes: int) -> str:
    pointer = f.load("ptr", f.at("%state", STATE.index(name), "i64"), 8)
    return f.at(pointer, f.op(f"mul i64 {tile}, {nbytes}"), "i8")


def _pad_bytes(memory: Memory, arrays: list[tuple[str, int, int]]) -> str:
    """``@pad_*`` that fills tiles of each (array, bytes a tile, byte value)."""
    f = Function(f"void @pad_{memory.name.lower()}(ptr %state, i64 %tile, i64 %count)", "internal")
    for name, nbytes, value in arrays:
        total = f.op(f"mul i64 %count, {nbytes}")
        pointer = _scratchpad(f, name, "%tile", nbytes)
        f.do(f"call void @llvm.memset.p0.i64(ptr {pointer}, i8 {value}, i64 {total}, i1 false)")
    f.do("ret void")
    return f.text()


def _fill(f: Function, name: str, elements: int, bits: int, value: str) -> None:
    """Fill the tiles of an array with one element, ``elements`` of them a tile."""
    lanes = min(elements, LANES)
    vector = splat(f, f"i{bits}", lanes, value)
    pointer = _scratchpad(f, name, "%tile", elements * bits // 8)
    with f.loop(f.op(f"mul i64 %count, {elements // lanes}")) as chunk:
        f.store(f"<{lanes} x i{bits}>", vector, f.at(pointer, chunk.index, f"[{lanes} x i{bits}]"))


def _unpack(memory: Memory, body: Callable[[Function], None]) -> str:
    f = Function(f"void @unpack_{memory.name.lower()}(ptr %state, i64 %tile, ptr %source, i64 %count)", "internal")
    body(f)
    f.do("ret void")
    return f.text()


def _load_inp(config: AcceleratorConfig, packing: Packing) -> str:
    elements, bits, width = config.block_in, config.inp_bits, packing.inp_bits
    row_bytes = elements * width // 8

    def body(f: Function) -> None:
        target = _scratchpad(f, "inp", "%tile", config.batch * row_bytes)
        sums = _scratchpad(f, "inp_sums", "%tile", config.batch * 4)
        with f.loop(f.op(f"mul i64 %count, {config.batch}")) as row:
            source = f.at("%source", f.op(f"mul i64 {row.index}, {elements * bits // 8}"), "i8")
            packed = f.load(f"<{elements} x i{bits}>", source)
            wide = packed if bits == width else f.op(f"sext <{elements} x i{bits}> {packed} to <{elements} x i{width}>")
            f.store(f"<{elements} x i{width}>", wide, f.at(target, f.op(f"mul i64 {row.index}, {row_bytes}"), "i8"))
            if packing.wgt_offset:
                words = f.op(f"sext <{elements} x i{width}> {wide} to <{elements} x i32>")
                total = f.op(f"call i32 @llvm.vector.reduce.add.v{elements}i32(<{elements} x i32> {words})")
                f.store("i32", f.op(f"mul i32 {total}, {-packing.wgt_offset}"), f.at(sums, row.index, "i32"))

    return _pad_inp(config, packing) + _unpack(Memory.INP, body)


def _pad_inp(config: AcceleratorConfig, packing: Packing) -> str:
    """With zeros, or with LOAD_PAD, whose row sums are known."""
    elements, width = config.block_in, packing.inp_bits
    if not config.pad_value:
        return _pad_bytes(
            Memory.INP, [("inp", config.batch * elements * width // 8, 0), ("inp_sums", config.batch * 4, 0)]
        )
    f = Function("void @pad_inp(ptr %state, i64 %tile, i64 %count)", "internal")
    chosen = f.op(f"trunc i64 {queue_register(f, SetRegister.LOAD_PAD)} to i{config.inp_bits}")
    value = chosen if config.inp_bits == width else f.op(f"sext i{config.inp_bits} {chosen} to i{width}")
    _fill(f, "inp", config.batch * elements, width, value)
    total = f.op(f"mul i32 {f.op(f'sext i{config.inp_bits} {chosen} to i32')}, {-packing.wgt_offset * elements}")
    _fill(f, "inp_sums", config.batch, 32, total)
    f.do("ret void")
    return f.text()


def _load_wgt(config: AcceleratorConfig, packing: Packing) -> str:
    bits, width, group = config.wgt_bits, packing.wgt_bits, packing.group
    tile = config.block_out * config.block_in * width // 8

    def body(f: Function) -> None:
        first = _scratchpad(f, "wgt", "%tile", tile)
        with f.loop("%count") as n:
            source = f.at("%source", f.op(f"mul i64 {n.index}, {tile_bytes(Memory.WGT, config)}"), "i8")
            target = f.at(first, f.op(f"mul i64 {n.index}, {tile}"), "i8")
            with f.loop(config.block_out) as out:
                row = f.at(source, f.op(f"mul i64 {out.index}, {config.block_in * bits // 8}"), "i8")
                column = f.at(target, f.op(f"mul i64 {out.index}, {group * width // 8}"), "i8")
                for step in range(config.block_in // group):
                    value = f.load(f"<{group} x i{bits}>", f.at(row, step * group * bits // 8, "i8"))
                    if bits != width:
                        value = f.op(f"sext <{group} x i{bits}> {value} to <{group} x i{width}>")
                    if packing.wgt_offset:
                        # Adding 128 to a byte flips its sign bit.
                        flip = ", ".join([f"i{width} -{packing.wgt_offset}"] * group)
                        value = f.op(f"xor <{group} x i{width}> {value}, <{flip}>")
                    at = f.at(column, step * config.block_out * group * width // 8, "i8")
                    f.store(f"<{group} x i{width}>", value, at)

    return _pad_bytes(Memory.WGT, [("wgt", tile, packing.wgt_offset)]) + _unpack(Memory.WGT, body)


def _load_acc(config: AcceleratorConfig) -> str:
    tile = tile_bytes(Memory.ACC, config)

    def body(f: Function) -> None:
        target, nbytes = _scratchpad(f, "acc", "%tile", tile), f.op(f"mul i64 %count, {tile}")
        f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr %source, i64 {nbytes}, i1 false)")

    return _pad_acc(Memory.ACC, config) + _unpack(Memory.ACC, body)


def _pad_acc(memory: Memory, config: AcceleratorConfig) -> str:
    """With zeros or COMPUTE_PAD."""
    if not config.pad_value:
        return _pad_bytes(memory, [("acc", tile_bytes(Memory.ACC, config), 0)])
    f = Function(f"void @pad_{memory.name.lower()}(ptr %state, i64 %tile, i64 %count)", "internal")
    value = f.op(f"trunc i64 {queue_register(f, SetRegister.COMPUTE_PAD)} to i32")
    _fill(f, "acc", config.batch * config.block_out, 32, value)
    f.do("ret void")
    return f.text()


def _load_acc_8bit(config: AcceleratorConfig) -> str:
    """Bytes widened to accumulators, with their sign unless WIDEN says otherwise."""
    elements = config.batch * config.block_out
    lanes = min(LANES, elements)

    def body(f: Function) -> None:
        target = _scratchpad(f, "acc", "%tile", tile_bytes(Memory.ACC, config))
        unsigned = f.op(f"icmp ne i64 {queue_register(f, SetRegister.WIDEN)}, 0")
        mask = splat(f, "i32", lanes, f.op(f"select i1 {unsigned}, i32 255, i32 -1"))
        with f.loop(f.op(f"mul i64 %count, {elements // lanes}")) as chunk:
            packed = f.load(f"<{lanes} x i8>", f.at("%source", chunk.index, f"[{lanes} x i8]"))
            wide = f.op(f"sext <{lanes} x i8> {packed} to <{lanes} x i32>")
            kept = f.op(f"and <{lanes} x i32> {wide}, {mask}")
            f.store(f"<{lanes} x i32>", kept, f.at(target, chunk.index, f"[{lanes} x i32]"))

    return _pad_acc(Memory.ACC_8BIT, config) + _unpack(Memory.ACC_8BIT, body)


def _load_param(config: AcceleratorConfig) -> str:
    """Biases and scales apart, the scales made finite.

    A scale with exponent field 255 becomes the largest float32 of its sign: both saturate whatever is not 0.
    """
    n = config.block_out
    tile = 4 * n

    def body(f: Function) -> None:
        targets = {name: _scratchpad(f, name, "%tile", tile) for name in ("bias", "scale")}
        with f.loop(f.op(f"mul i64 %count, {n}")) as channel:
            pair = f.at("%source", f.op(f"mul i64 {channel.index}, 8"), "i8")
            bias, scale = f.load("i32", pair), f.load("i32", f.at(pair, 4, "i8"))
            special = f.op(f"icmp eq i32 {f.op(f'and i32 {scale}, {0x7F800000}')}, {0x7F800000}")
            largest = f.op(f"or i32 {f.op(f'and i32 {scale}, {-0x80000000}')}, {0x7F7FFFFF}")
            f.store("i32", bias, f.at(targets["bias"], channel.index, "i32"), 4)
            finite = f.op(f"select i1 {special}, i32 {largest}, i32 {scale}")
            f.store("i32", finite, f.at(targets["scale"], channel.index, "i32"), 4)

    return _pad_bytes(Memory.PARAM, [("bias", tile, 0), ("scale", tile, 0)]) + _unpack(Memory.PARAM, body)


def _load_table(config: AcceleratorConfig) -> str:
    tile = tile_bytes(Memory.TABLE, config)

    def body(f: Function) -> None:
        target, nbytes = _scratchpad(f, "table", "%tile", tile), f.op(f"mul i64 %count, {tile}")
        f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr %source, i64 {nbytes}, i1 false)")

    return _pad_bytes(Memory.TABLE, [("table", tile, 0)]) + _unpack(Memory.TABLE, body)


def _load_uop(config: AcceleratorConfig) -> str:
    bits = uop_bits(config)

    def body(f: Function) -> None:
        targets = {n: _scratchpad(f, f"uop_{n}", "%tile", 4) for n in ("dst", "src", "wgt")}
        with f.loop("%count") as n:
            word = f.load(f"i{bits}", f.at("%source", n.index, f"i{bits}"))
            if bits < 64:
                word = f.op(f"zext i{bits} {word} to i64")
            for name, position in layout(MicroOp, config).items():
                shifted = f.op(f"lshr i64 {word}, {position.offset}")
                value = f.op(f"and i64 {shifted}, {(1 << position.width) - 1}")
                f.store("i32", f.op(f"trunc i64 {value} to i32"), f.at(targets[name], n.index, "i32"), 4)

    arrays = [(f"uop_{name}", 4, 0) for name in ("dst", "src", "wgt")]
    return _pad_bytes(Memory.UOP, arrays) + _unpack(Memory.UOP, body)


def load_kernels(config: AcceleratorConfig, packing: Packing) -> list[str]:
    """The IR of ``load_*`` for every memory that LOAD reaches."""
    tiles: dict[Memory, Callable[[], str]] = {
        Memory.INP: lambda: _load_inp(config, packing),
        Memory.WGT: lambda: _load_wgt(config, packing),
        Memory.ACC: lambda: _load_acc(config),
        Memory.UOP: lambda: _load_uop(config),
        Memory.ACC_8BIT: lambda: _load_acc_8bit(config),
        Memory.PARAM: lambda: _load_param(config),
        Memory.TABLE: lambda: _load_table(config),
    }
    reached = sorted(loadable(config))
    walks = [_load_kernel(memory, config, scratchpad_depth(memory, config)) for memory in reached]
    return [tiles[memory]() for memory in reached] + walks
