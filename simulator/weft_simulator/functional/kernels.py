"""The functional simulator's kernels: LLVM IR written for one configuration, one call an instruction.

Every kernel has the signature ``i64 kernel(ptr state, ptr row)``. ``state`` is an int64 array (`STATE`) of scratchpad
pointers and DRAM bounds, ``row`` the instruction's decoded fields as int64 in `layout` order. The result is an
`Outcome`; nothing was changed unless it is ``DONE``.

Scratchpads hold what the inner loop wants rather than what DRAM holds:

- ``portable``: inputs as int16; weights as int16, the tile's ``(block_out, block_in)`` matrix as
  ``(block_in / 2, block_out, 2)``, so that two products and their sum are one ``pmaddwd`` (or its like) a lane.
- ``vnni``: inputs as int8 beside their row sums times −128; weights as uint8 offset by 128, as
  ``(block_in / 4, block_out, 4)``. ``vpdpbusd`` multiplies unsigned by signed: Σ (w + 128)·x − 128·Σ x is Σ w·x,
  exactly, because all of it wraps at 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Alu,
    AluOp,
    Gemm,
    Instruction,
    Load,
    Memory,
    Store,
    alu_operations,
    layout,
    tile_bytes,
    uop_bits,
)
from weft_hardware.isa import MicroOp as MicroOpWord

from .emitter import Function
from .jit import compile_module, host_has_vnni

STATE = ("uop_dst", "uop_src", "uop_wgt", "inp", "inp_sums", "wgt", "acc", "dram", "dram_limit")
"""Slots of the state array; the base registers follow, one for each `Memory`, relative to the DRAM's first byte."""


class Outcome(IntEnum):
    """What a kernel returns."""

    DONE = 0
    OUT_OF_SCRATCHPAD = 1
    OUT_OF_DRAM = 2


@dataclass(frozen=True)
class Packing:
    """How one variant lays out the operands of GEMM."""

    inp_bits: int
    wgt_bits: int
    group: int
    """Elements along block_in that one multiply-add instruction sums in a lane."""
    wgt_offset: int
    """Added to every stored weight."""


PORTABLE = Packing(inp_bits=16, wgt_bits=16, group=2, wgt_offset=0)
VNNI = Packing(inp_bits=8, wgt_bits=8, group=4, wgt_offset=128)

LANES = 16
"""int32 lanes of the widest vector written; narrower machines split it."""


def packing_for(config: AcceleratorConfig, *, portable: bool) -> Packing:
    """The fastest packing that this CPU and the operand widths allow."""
    fits = config.inp_bits <= 8 and config.wgt_bits <= 8
    return VNNI if fits and not portable and host_has_vnni() else PORTABLE


class _Kernel(Function):
    """A kernel under construction, with its instruction's fields and the state at hand."""

    def __init__(self, name: str, cls: type[Instruction], config: AcceleratorConfig) -> None:
        super().__init__(f"i64 @{name}(ptr %state, ptr %row)")
        self._columns = list(layout(cls, config))

    def field(self, name: str) -> str:
        return self.load("i64", self.at("%row", self._columns.index(name), "i64"), 8)

    def fields(self, *names: str) -> list[str]:
        return [self.field(name) for name in names]

    def state(self, name: str) -> str:
        return self.load("ptr", self.at("%state", STATE.index(name), "i64"), 8)

    def dram_offset(self, memory: Memory, config: AcceleratorConfig) -> str:
        """Byte offset of the instruction's first tile from the start of the DRAM array; may be negative."""
        base = self.load("i64", self.at("%state", len(STATE) + memory, "i64"), 8)
        tiles = self.op(f"mul i64 {self.field('dram')}, {tile_bytes(memory, config)}")
        return self.op(f"add i64 {base}, {tiles}")

    def refuse_outside_dram(self, first: str, pitch: str, row_bytes: str, rows: str) -> None:
        """Return ``OUT_OF_DRAM`` unless all rows (at least one) lie inside; rows never go down."""
        limit = self.load("i64", self.at("%state", STATE.index("dram_limit"), "i64"), 8)
        steps = self.op(f"mul i64 {self.op(f'sub i64 {rows}, 1')}, {pitch}")
        end = self.op(f"add i64 {self.op(f'add i64 {first}, {steps}')}, {row_bytes}")
        below = self.op(f"icmp slt i64 {first}, 0")
        above = self.op(f"icmp sgt i64 {end}, {limit}")
        self.return_if(self.op(f"or i1 {below}, {above}"), Outcome.OUT_OF_DRAM)

    def finish(self) -> str:
        self.do(f"ret i64 {int(Outcome.DONE)}")
        return self.text()


def _block(kernel: _Kernel, sram: str, tiles: str, depth: int) -> None:
    end = kernel.op(f"add i64 {sram}, {tiles}")
    kernel.return_if(kernel.op(f"icmp sgt i64 {end}, {depth}"), Outcome.OUT_OF_SCRATCHPAD)


# LOAD ----------------------------------------------------------------------------------------------------------

Convert = Callable[[Function, str, str, str], None]
"""Writes ``count`` tiles: (function, first tile in the scratchpad, source pointer, count)."""


def _load_kernel(memory: Memory, config: AcceleratorConfig, depth: int) -> str:
    """The 2-D walk of a LOAD; the tiles themselves are left to ``@zero_*`` and ``@unpack_*``."""
    name = memory.name.lower()
    k = _Kernel(f"load_{name}", Load, config)
    size = tile_bytes(memory, config)
    sram, ys, xs, stride = k.fields("sram", "y_size", "x_size", "x_stride")
    y0, y1, x0, x1 = k.fields("y_pad0", "y_pad1", "x_pad0", "x_pad1")
    width = k.op(f"add i64 {k.op(f'add i64 {x0}, {xs}')}, {x1}")
    rows = k.op(f"add i64 {k.op(f'add i64 {y0}, {ys}')}, {y1}")
    tiles = k.op(f"mul i64 {width}, {rows}")
    k.return_if(k.op(f"icmp eq i64 {xs}, 0"), Outcome.DONE)
    k.return_if(k.op(f"icmp eq i64 {rows}, 0"), Outcome.DONE)
    _block(k, sram, tiles, depth)

    def zero(tile: str, count: str) -> None:
        k.do(f"call void @zero_{name}(ptr %state, i64 {tile}, i64 {count})")

    head = k.op(f"mul i64 {y0}, {width}")
    tail = k.op(f"mul i64 {y1}, {width}")
    body = k.op(f"add i64 {sram}, {head}")
    after = k.op(f"add i64 {body}, {k.op(f'mul i64 {ys}, {width}')}")
    any_rows = k.op(f"icmp ne i64 {ys}, 0")
    # Without rows the DRAM is not touched: a check of zero bytes at its start always passes.
    offset = k.op(f"select i1 {any_rows}, i64 {k.dram_offset(memory, config)}, i64 0")
    pitch = k.op(f"mul i64 {stride}, {size}")
    row_bytes = k.op(f"select i1 {any_rows}, i64 {k.op(f'mul i64 {xs}, {size}')}, i64 0")
    least = k.op(f"select i1 {any_rows}, i64 {ys}, i64 1")
    k.refuse_outside_dram(offset, pitch, row_bytes, least)
    zero(sram, head)
    source = k.at(k.state("dram"), offset, "i8")
    with k.loop(ys) as y:
        at = k.op(f"add i64 {body}, {k.op(f'mul i64 {y.index}, {width}')}")
        inner = k.op(f"add i64 {at}, {x0}")
        row = k.at(source, k.op(f"mul i64 {y.index}, {pitch}"), "i8")
        zero(at, x0)
        k.do(f"call void @unpack_{name}(ptr %state, i64 {inner}, ptr {row}, i64 {xs})")
        zero(k.op(f"add i64 {inner}, {xs}"), x1)
    zero(after, tail)
    return k.finish()


def _scratchpad(f: Function, name: str, tile: str, nbytes: int) -> str:
    pointer = f.load("ptr", f.at("%state", STATE.index(name), "i64"), 8)
    return f.at(pointer, f.op(f"mul i64 {tile}, {nbytes}"), "i8")


def _zero(memory: Memory, arrays: list[tuple[str, int, int]]) -> str:
    """``@zero_*``: fill tiles of each (array, bytes a tile, byte value)."""
    f = Function(f"void @zero_{memory.name.lower()}(ptr %state, i64 %tile, i64 %count)", "internal")
    for name, nbytes, value in arrays:
        total = f.op(f"mul i64 %count, {nbytes}")
        pointer = _scratchpad(f, name, "%tile", nbytes)
        f.do(f"call void @llvm.memset.p0.i64(ptr {pointer}, i8 {value}, i64 {total}, i1 false)")
    f.do("ret void")
    return f.text()


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

    arrays = [("inp", config.batch * row_bytes, 0), ("inp_sums", config.batch * 4, 0)]
    return _zero(Memory.INP, arrays) + _unpack(Memory.INP, body)


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

    return _zero(Memory.WGT, [("wgt", tile, packing.wgt_offset)]) + _unpack(Memory.WGT, body)


def _load_acc(config: AcceleratorConfig) -> str:
    tile = tile_bytes(Memory.ACC, config)

    def body(f: Function) -> None:
        target, nbytes = _scratchpad(f, "acc", "%tile", tile), f.op(f"mul i64 %count, {tile}")
        f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr %source, i64 {nbytes}, i1 false)")

    return _zero(Memory.ACC, [("acc", tile, 0)]) + _unpack(Memory.ACC, body)


def _load_uop(config: AcceleratorConfig) -> str:
    bits = uop_bits(config)

    def body(f: Function) -> None:
        targets = {n: _scratchpad(f, f"uop_{n}", "%tile", 4) for n in ("dst", "src", "wgt")}
        with f.loop("%count") as n:
            word = f.load(f"i{bits}", f.at("%source", n.index, f"i{bits}"))
            if bits < 64:
                word = f.op(f"zext i{bits} {word} to i64")
            for name, position in layout(MicroOpWord, config).items():
                shifted = f.op(f"lshr i64 {word}, {position.offset}")
                value = f.op(f"and i64 {shifted}, {(1 << position.width) - 1}")
                f.store("i32", f.op(f"trunc i64 {value} to i32"), f.at(targets[name], n.index, "i32"), 4)

    arrays = [(f"uop_{name}", 4, 0) for name in ("dst", "src", "wgt")]
    return _zero(Memory.UOP, arrays) + _unpack(Memory.UOP, body)


# STORE ---------------------------------------------------------------------------------------------------------


def _store_kernel(memory: Memory, config: AcceleratorConfig) -> str:
    """STORE of OUT truncates every accumulator; of ACC (raw) it copies them."""
    k = _Kernel(f"store_{memory.name.lower()}", Store, config)
    size, elements = tile_bytes(memory, config), config.batch * config.block_out
    sram, ys, xs, stride = k.fields("sram", "y_size", "x_size", "x_stride")
    tiles = k.op(f"mul i64 {xs}, {ys}")
    k.return_if(k.op(f"icmp eq i64 {tiles}, 0"), Outcome.DONE)
    _block(k, sram, tiles, config.acc_depth)
    offset, pitch = k.dram_offset(memory, config), k.op(f"mul i64 {stride}, {size}")
    row_bytes = k.op(f"mul i64 {xs}, {size}")
    k.refuse_outside_dram(offset, pitch, row_bytes, ys)
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


# GEMM and ALU ----------------------------------------------------------------------------------------------------


def _loop_nest(k: _Kernel, operands: dict[str, int], config: AcceleratorConfig, body: Callable[..., None]) -> str:
    """``body(dst=..., src=...)`` for each step, after all indices were found inside their scratchpads.

    ``operands`` maps the micro-op's fields in use to the depth of their scratchpad.
    """
    begin, end, outer, inner = k.fields("uop_bgn", "uop_end", "iter_out", "iter_in")
    count = k.op(f"sub i64 {end}, {begin}")
    k.return_if(k.op(f"icmp sle i64 {count}, 0"), Outcome.DONE)
    k.return_if(k.op(f"icmp eq i64 {k.op(f'mul i64 {outer}, {inner}')}, 0"), Outcome.DONE)
    k.return_if(k.op(f"icmp sgt i64 {end}, {config.uop_depth}"), Outcome.OUT_OF_SCRATCHPAD)
    uops = {name: k.at(k.state(f"uop_{name}"), begin, "i32") for name in operands}
    steps = {name: (k.field(f"{name}_out"), k.field(f"{name}_in")) for name in operands}
    # Steps are not negative, so the largest index belongs to the last iterations.
    with k.loop(count, [("i32", "0")] * len(operands)) as u:
        for pointer, largest in zip(uops.values(), u.carried, strict=True):
            value = k.load("i32", k.at(pointer, u.index, "i32"), 4)
            u.following.append(k.op(f"call i32 @llvm.umax.i32(i32 {largest}, i32 {value})"))
    last_out, last_in = k.op(f"sub i64 {outer}, 1"), k.op(f"sub i64 {inner}, 1")
    for (name, depth), largest in zip(operands.items(), u.carried, strict=True):
        far = k.op(f"mul i64 {last_out}, {steps[name][0]}")
        near = k.op(f"mul i64 {last_in}, {steps[name][1]}")
        reach = k.op(f"add i64 {k.op(f'add i64 {far}, {near}')}, {k.op(f'zext i32 {largest} to i64')}")
        k.return_if(k.op(f"icmp sge i64 {reach}, {depth}"), Outcome.OUT_OF_SCRATCHPAD)
    with k.loop(outer) as o:
        rows = {name: k.op(f"mul i64 {o.index}, {steps[name][0]}") for name in operands}
        with k.loop(inner) as i:
            bases = {n: k.op(f"add i64 {rows[n]}, {k.op(f'mul i64 {i.index}, {steps[n][1]}')}") for n in operands}
            with k.loop(count) as u:
                index = {}
                for name, pointer in uops.items():
                    value = k.op(f"zext i32 {k.load('i32', k.at(pointer, u.index, 'i32'), 4)} to i64")
                    index[name] = k.op(f"add i64 {bases[name]}, {value}")
                body(**index)
    return k.finish()


def _splat(f: Function, kind: str, lanes: int, value: str) -> str:
    single = f.op(f"insertelement <{lanes} x {kind}> poison, {kind} {value}, i32 0")
    return f.op(
        f"shufflevector <{lanes} x {kind}> {single}, <{lanes} x {kind}> poison, <{lanes} x i32> zeroinitializer"
    )


def _multiply_add_pairs(f: Function, lanes: int, weights: str, inputs: str) -> str:
    """Lane-wise Σ of two int16 products, in the shape that code generators turn into one instruction."""
    double = 2 * lanes

    def half(value: str, odd: int) -> str:
        mask = ", ".join(f"i32 {2 * lane + odd}" for lane in range(lanes))
        part = f.op(f"shufflevector <{double} x i16> {value}, <{double} x i16> poison, <{lanes} x i32> <{mask}>")
        return f.op(f"sext <{lanes} x i16> {part} to <{lanes} x i32>")

    products = [f.op(f"mul <{lanes} x i32> {half(weights, odd)}, {half(inputs, odd)}") for odd in (0, 1)]
    return f.op(f"add <{lanes} x i32> {products[0]}, {products[1]}")


def _tile_product(
    f: Function, config: AcceleratorConfig, packing: Packing, inp: str, wgt: str, first: int
) -> list[str]:
    """Partial sums of one input row with the ``lanes`` outputs from ``first`` on, to be added up.

    Several chains instead of one hide the latency of the multiply-adds.
    """
    lanes, group = min(LANES, config.block_out), packing.group
    element = f"<{lanes * group} x i{packing.wgt_bits}>"
    chains: list[str] = []
    for step in range(config.block_in // group):
        at = (step * config.block_out + first) * group * packing.wgt_bits // 8
        weights = f.load(element, f.at(wgt, at, "i8"), 4)
        word = f.load("i32", f.at(inp, step * group * packing.inp_bits // 8, "i8"))
        inputs = f.op(f"bitcast <{lanes} x i32> {_splat(f, 'i32', lanes, word)} to {element}")
        if packing is PORTABLE:
            term = _multiply_add_pairs(f, lanes, weights, inputs)
            if step >= 2:
                chains[step % 2] = f.op(f"add <{lanes} x i32> {chains[step % 2]}, {term}")
            else:
                chains.append(term)
        else:
            start = chains[step % 2] if step >= 2 else "zeroinitializer"
            name = f"@llvm.x86.avx512.vpdpbusd.{32 * lanes}"
            term = f.op(
                f"call <{lanes} x i32> {name}(<{lanes} x i32> {start}, {element} {weights}, {element} {inputs})"
            )
            chains[step % 2 : step % 2 + 1] = [term]
    return chains


def _gemm_kernel(config: AcceleratorConfig, packing: Packing) -> str:
    k = _Kernel("gemm", Gemm, config)
    lanes = min(LANES, config.block_out)
    vector = f"<{lanes} x i32>"
    inp, wgt, acc, sums = (k.state(name) for name in ("inp", "wgt", "acc", "inp_sums"))
    inp_row = config.block_in * packing.inp_bits // 8
    wgt_tile = config.block_out * config.block_in * packing.wgt_bits // 8

    def step(dst: str, src: str, wgt_index: str) -> None:
        weights = k.at(wgt, k.op(f"mul i64 {wgt_index}, {wgt_tile}"), "i8")
        for batch in range(config.batch):
            row = k.at(inp, k.op(f"mul i64 {src}, {config.batch * inp_row}"), "i8")
            row = k.at(row, batch * inp_row, "i8")
            tile = k.at(acc, k.op(f"mul i64 {dst}, {config.batch * config.block_out}"), "i32")
            for first in range(0, config.block_out, lanes):
                terms = _tile_product(k, config, packing, row, weights, first)
                if packing.wgt_offset:
                    at = k.op(f"add i64 {k.op(f'mul i64 {src}, {config.batch}')}, {batch}")
                    terms.append(_splat(k, "i32", lanes, k.load("i32", k.at(sums, at, "i32"), 4)))
                total = terms[0]
                for term in terms[1:]:
                    total = k.op(f"add {vector} {total}, {term}")
                pointer = k.at(tile, batch * config.block_out + first, "i32")
                k.store(vector, k.op(f"add {vector} {k.load(vector, pointer, 4)}, {total}"), pointer, 4)

    depths = {"dst": config.acc_depth, "src": config.inp_depth, "wgt": config.wgt_depth}
    return _loop_nest(k, depths, config, lambda dst, src, wgt: step(dst, src, wgt))


def _reset_kernel(config: AcceleratorConfig) -> str:
    k = _Kernel("gemm_reset", Gemm, config)
    acc, tile = k.state("acc"), tile_bytes(Memory.ACC, config)

    def body(dst: str) -> None:
        pointer = k.at(acc, k.op(f"mul i64 {dst}, {tile}"), "i8")
        k.do(f"call void @llvm.memset.p0.i64(ptr {pointer}, i8 0, i64 {tile}, i1 false)")

    return _loop_nest(k, {"dst": config.acc_depth}, config, body)


def _shift_right(f: Function, lanes: int, value: str, amount: str) -> str:
    """Arithmetic shift right; left where the amount is negative."""
    kind = f"<{lanes} x i32>"

    def all_lanes(number: int) -> str:
        return f"<{', '.join([f'i32 {number}'] * lanes)}>"

    capped = f.op(f"call {kind} @llvm.umin.v{lanes}i32({kind} {amount}, {kind} {all_lanes(31)})")
    right = f.op(f"ashr {kind} {value}, {capped}")
    back = f.op(f"sub {kind} zeroinitializer, {amount}")
    shifted = f.op(f"shl {kind} {value}, {f.op(f'and {kind} {back}, {all_lanes(31)}')}")
    kept = f.op(f"icmp sgt {kind} {amount}, {all_lanes(-32)}")
    left = f.op(f"select <{lanes} x i1> {kept}, {kind} {shifted}, {kind} zeroinitializer")
    negative = f.op(f"icmp slt {kind} {amount}, zeroinitializer")
    return f.op(f"select <{lanes} x i1> {negative}, {kind} {left}, {kind} {right}")


def _alu_value(f: Function, op: AluOp, lanes: int, value: str, operand: str) -> str:
    kind = f"<{lanes} x i32>"
    if op == AluOp.SHR:
        return _shift_right(f, lanes, value, operand)
    if op in (AluOp.MIN, AluOp.MAX):
        return f.op(f"call {kind} @llvm.s{op.name.lower()}.v{lanes}i32({kind} {value}, {kind} {operand})")
    return f.op(f"{op.name.lower()} {kind} {value}, {operand}")


def _alu_kernel(config: AcceleratorConfig, op: AluOp, *, immediate: bool) -> str:
    k = _Kernel(f"alu_{op.name.lower()}_{'imm' if immediate else 'reg'}", Alu, config)
    elements = config.batch * config.block_out
    lanes = min(LANES, elements)
    kind = f"<{lanes} x i32>"
    acc = k.state("acc")
    scalar = k.op(f"trunc i64 {k.field('imm')} to i32")
    imm = _splat(k, "i32", lanes, scalar)

    def body(dst: str, src: str = "0") -> None:
        to = k.at(acc, k.op(f"mul i64 {dst}, {elements}"), "i32")
        other = k.at(acc, k.op(f"mul i64 {src}, {elements}"), "i32")
        for first in range(0, elements, lanes):
            operand = imm if immediate else k.load(kind, k.at(other, first, "i32"), 4)
            pointer = k.at(to, first, "i32")
            k.store(kind, _alu_value(k, op, lanes, k.load(kind, pointer, 4), operand), pointer, 4)

    depths = {"dst": config.acc_depth} | ({} if immediate else {"src": config.acc_depth})
    return _loop_nest(k, depths, config, body)


# The module ------------------------------------------------------------------------------------------------------

_DECLARATIONS = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i32 @llvm.umax.i32(i32, i32)
"""


def _declarations(config: AcceleratorConfig, packing: Packing) -> str:
    lanes = min(LANES, config.batch * config.block_out)
    kind = f"<{lanes} x i32>"
    text = _DECLARATIONS
    for name in ("smin", "smax", "umin"):
        text += f"declare {kind} @llvm.{name}.v{lanes}i32({kind}, {kind})\n"
    if packing is VNNI:
        out = min(LANES, config.block_out)
        result, operand = f"<{out} x i32>", f"<{4 * out} x i8>"
        text += f"declare i32 @llvm.vector.reduce.add.v{config.block_in}i32(<{config.block_in} x i32>)\n"
        text += f"declare {result} @llvm.x86.avx512.vpdpbusd.{32 * out}({result}, {operand}, {operand})\n"
    return text


def emit(config: AcceleratorConfig, packing: Packing) -> str:
    """The IR of all kernels of a configuration."""
    parts = [_declarations(config, packing)]
    parts += [_load_inp(config, packing), _load_wgt(config, packing), _load_acc(config), _load_uop(config)]
    depths = {
        Memory.UOP: config.uop_depth,
        Memory.WGT: config.wgt_depth,
        Memory.INP: config.inp_depth,
        Memory.ACC: config.acc_depth,
    }
    parts += [_load_kernel(memory, config, depth) for memory, depth in depths.items()]
    parts += [_store_kernel(memory, config) for memory in (Memory.OUT, Memory.ACC)]
    parts += [_gemm_kernel(config, packing), _reset_kernel(config)]
    parts += [
        _alu_kernel(config, op, immediate=immediate) for op in alu_operations(config) for immediate in (False, True)
    ]
    return "\n".join(parts)


@lru_cache(maxsize=32)
def kernels(config: AcceleratorConfig, packing: Packing) -> dict[str, Callable[[int, int], int]]:
    """The compiled kernels by name (``load_inp``, ``gemm``, ``alu_shr_imm``, …); arguments are addresses.

    Raises
    ------
    DeviceError
        If llvmlite is not installed.
    """
    return compile_module(emit(config, packing))
