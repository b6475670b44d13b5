"""GEMM and ALU kernels: the loop nest over micro-ops, the tile product and the vector operations."""

from __future__ import annotations

from collections.abc import Callable

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Alu, AluOp, Gemm, Memory, SetRegister, alu_operations, tile_bytes

from .emitter import Function
from .kernel import LANES, PORTABLE, Kernel, Outcome, Packing, splat


def _loop_nest(
    k: Kernel, operands: dict[str, int], config: AcceleratorConfig, body: Callable[..., None], *, masked: bool = False
) -> str:
    """``body(dst=..., src=...)`` for each step, after all indices were found inside their scratchpads.

    ``operands`` maps the micro-op's fields in use to the depth of their scratchpad. ``later`` is for OVERWRITE: the
    mask of the loops that are past their first round, as an i64; with ``masked`` alone is it handed over.
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

    def past_first(index: str, bit: int, others: str) -> str:
        flag = k.op(f"zext i1 {k.op(f'icmp ne i64 {index}, 0')} to i64")
        return k.op(f"or i64 {others}, {k.op(f'shl i64 {flag}, {bit}')}")

    with k.loop(outer) as o:
        rows = {name: k.op(f"mul i64 {o.index}, {steps[name][0]}") for name in operands}
        later_out = past_first(o.index, 0, "0") if masked else ""
        with k.loop(inner) as i:
            bases = {n: k.op(f"add i64 {rows[n]}, {k.op(f'mul i64 {i.index}, {steps[n][1]}')}") for n in operands}
            later_in = past_first(i.index, 1, later_out) if masked else ""
            with k.loop(count) as u:
                index = {}
                for name, pointer in uops.items():
                    value = k.op(f"zext i32 {k.load('i32', k.at(pointer, u.index, 'i32'), 4)} to i64")
                    index[name] = k.op(f"add i64 {bases[name]}, {value}")
                if masked:
                    index["later"] = past_first(u.index, 2, later_in)
                body(**index)
    return k.finish()


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
        inputs = f.op(f"bitcast <{lanes} x i32> {splat(f, 'i32', lanes, word)} to {element}")
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


def _gemm_kernel(config: AcceleratorConfig, packing: Packing, *, overwrite: bool) -> str:
    k = Kernel("gemm_overwrite" if overwrite else "gemm", Gemm, config)
    lanes = min(LANES, config.block_out)
    vector = f"<{lanes} x i32>"
    inp, wgt, acc, sums = (k.state(name) for name in ("inp", "wgt", "acc", "inp_sums"))
    inp_row = config.block_in * packing.inp_bits // 8
    wgt_tile = config.block_out * config.block_in * packing.wgt_bits // 8

    named = k.register(SetRegister.OVERWRITE) if overwrite else ""

    def kept(later: str) -> str:
        """All ones where the step accumulates, all zeros where it overwrites."""
        accumulates = k.op(f"icmp ne i64 {k.op(f'and i64 {later}, {named}')}, 0")
        return splat(k, "i32", lanes, k.op(f"sext i1 {accumulates} to i32"))

    def step(dst: str, src: str, wgt_index: str, later: str) -> None:
        weights = k.at(wgt, k.op(f"mul i64 {wgt_index}, {wgt_tile}"), "i8")
        mask = kept(later) if overwrite else ""
        for batch in range(config.batch):
            row = k.at(inp, k.op(f"mul i64 {src}, {config.batch * inp_row}"), "i8")
            row = k.at(row, batch * inp_row, "i8")
            tile = k.at(acc, k.op(f"mul i64 {dst}, {config.batch * config.block_out}"), "i32")
            for first in range(0, config.block_out, lanes):
                terms = _tile_product(k, config, packing, row, weights, first)
                if packing.wgt_offset:
                    at = k.op(f"add i64 {k.op(f'mul i64 {src}, {config.batch}')}, {batch}")
                    terms.append(splat(k, "i32", lanes, k.load("i32", k.at(sums, at, "i32"), 4)))
                total = terms[0]
                for term in terms[1:]:
                    total = k.op(f"add {vector} {total}, {term}")
                pointer = k.at(tile, batch * config.block_out + first, "i32")
                before = k.load(vector, pointer, 4)
                before = k.op(f"and {vector} {before}, {mask}") if overwrite else before
                k.store(vector, k.op(f"add {vector} {before}, {total}"), pointer, 4)

    depths = {"dst": config.acc_depth, "src": config.inp_depth, "wgt": config.wgt_depth}

    def body(dst: str, src: str, wgt: str, later: str = "") -> None:
        step(dst, src, wgt, later)

    return _loop_nest(k, depths, config, body, masked=overwrite)


def _reset_kernel(config: AcceleratorConfig) -> str:
    k = Kernel("gemm_reset", Gemm, config)
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
    if op == AluOp.COPY:
        return operand
    if op == AluOp.SHR:
        return _shift_right(f, lanes, value, operand)
    if op in (AluOp.MIN, AluOp.MAX):
        return f.op(f"call {kind} @llvm.s{op.name.lower()}.v{lanes}i32({kind} {value}, {kind} {operand})")
    return f.op(f"{op.name.lower()} {kind} {value}, {operand}")


def _alu_kernel(config: AcceleratorConfig, op: AluOp, *, immediate: bool) -> str:
    k = Kernel(f"alu_{op.name.lower()}_{'imm' if immediate else 'reg'}", Alu, config)
    elements = config.batch * config.block_out
    lanes = min(LANES, elements)
    kind = f"<{lanes} x i32>"
    acc = k.state("acc")
    scalar = k.op(f"trunc i64 {k.field('imm')} to i32")
    imm = splat(k, "i32", lanes, scalar)

    def body(dst: str, src: str = "0") -> None:
        to = k.at(acc, k.op(f"mul i64 {dst}, {elements}"), "i32")
        other = k.at(acc, k.op(f"mul i64 {src}, {elements}"), "i32")
        for first in range(0, elements, lanes):
            operand = imm if immediate else k.load(kind, k.at(other, first, "i32"), 4)
            pointer = k.at(to, first, "i32")
            k.store(kind, _alu_value(k, op, lanes, k.load(kind, pointer, 4), operand), pointer, 4)

    depths = {"dst": config.acc_depth} | ({} if immediate else {"src": config.acc_depth})
    return _loop_nest(k, depths, config, body)


def loop_kernels(config: AcceleratorConfig, packing: Packing) -> list[str]:
    """The IR of ``gemm``, ``gemm_reset``, ``gemm_overwrite`` and ``alu_*``."""
    gemms = [
        _gemm_kernel(config, packing, overwrite=overwrite) for overwrite in (False, True)[: 1 + config.gemm_overwrite]
    ]
    alus = [_alu_kernel(config, op, immediate=imm) for op in sorted(alu_operations(config)) for imm in (False, True)]
    return [*gemms, _reset_kernel(config), *alus]
