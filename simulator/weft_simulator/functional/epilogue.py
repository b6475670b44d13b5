"""The requantising STORE: bias, float32 scale, zero point, clamp, residual operand and table, on vectors.

Without a residual operand, float32 arithmetic as it comes is exact: one conversion, one product, each rounded once,
and what overflows or underflows saturates or rounds to 0. The fused multiply-adds of the residual are made of float64
operations, because a float32 exponent has bounds and docs/isa.md's have none: products of 9 and 24 bits are exact in
53, their sum is rounded to odd (its error by Knuth's TwoSum tells in which direction), and rounding that to 24 bits
is as if the exact sum had been rounded.

Source
------
S. Boldo, G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008.
"""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, SetRegister, Store, StoreMode, tile_bytes

from .emitter import Function
from .kernel import LANES, Kernel, Outcome, refuse_outside_scratchpad, splat

FAR = 1024
"""Beyond every bound of a clamp, zero point included; small enough to be rounded and converted."""


class _Vectors:
    """Operations on all lanes of a function."""

    def __init__(self, f: Function, lanes: int) -> None:
        self.f = f
        self.lanes = lanes
        self.i32, self.i64, self.f32, self.f64 = (f"<{lanes} x {kind}>" for kind in ("i32", "i64", "float", "double"))

    def op(self, name: str, kind: str, left: str, right: str) -> str:
        return self.f.op(f"{name} {kind} {left}, {right}")

    def all(self, kind: str, number: str | int) -> str:
        """A constant vector."""
        return f"<{', '.join([f'{kind} {number}'] * self.lanes)}>"

    def cast(self, name: str, value: str, source: str, target: str) -> str:
        return self.f.op(f"{name} {source} {value} to {target}")

    def select(self, condition: str, kind: str, yes: str, no: str) -> str:
        return self.f.op(f"select <{self.lanes} x i1> {condition}, {kind} {yes}, {kind} {no}")

    def clamp(self, kind: str, value: str, low: str, high: str) -> str:
        """The upper bound last; floats are no NaN."""
        less, greater = ("icmp slt", "icmp sgt") if kind == self.i32 else ("fcmp olt", "fcmp ogt")
        raised = self.select(self.op(greater, kind, value, low), kind, value, low)
        return self.select(self.op(less, kind, raised, high), kind, raised, high)

    def to_integers(self, kind: str, value: str) -> str:
        """To the nearest, ties to even, what is far off at ±`FAR`."""
        name, scalar = ("f32", "float") if kind == self.f32 else ("f64", "double")
        near = self.clamp(kind, value, self.all(scalar, f"-{FAR}.0"), self.all(scalar, f"{FAR}.0"))
        rounded = self.f.op(f"call {kind} @llvm.rint.v{self.lanes}{name}({kind} {near})")
        return self.cast("fptosi", rounded, kind, self.i32)


def _fma_24(v: _Vectors, factor: str, scale: str, addend: str) -> str:
    """``factor × scale + addend`` of doubles that hold 9, 24 and 24 significant bits, rounded once to 24."""
    product = v.op("fmul", v.f64, factor, scale)
    total = v.op("fadd", v.f64, product, addend)
    rest = v.op("fsub", v.f64, total, product)
    of_product = v.op("fsub", v.f64, product, v.op("fsub", v.f64, total, rest))
    error = v.op("fadd", v.f64, of_product, v.op("fsub", v.f64, addend, rest))
    bits = v.cast("bitcast", total, v.f64, v.i64)
    # To odd: an inexact even significand moves one step in the error's direction.
    apart = v.op("xor", v.i64, bits, v.cast("bitcast", error, v.f64, v.i64))
    step = v.op("or", v.i64, v.op("ashr", v.i64, apart, v.all("i64", 63)), v.all("i64", 1))
    inexact = v.op("fcmp une", v.f64, error, "zeroinitializer")
    even = v.op("icmp eq", v.i64, v.op("and", v.i64, bits, v.all("i64", 1)), "zeroinitializer")
    moves = v.f.op(f"and <{v.lanes} x i1> {inexact}, {even}")
    odd = v.op("add", v.i64, bits, v.select(moves, v.i64, step, "zeroinitializer"))
    # Of 53 bits the last 29 go: nearest, ties to even. A carry may go on into the exponent.
    last = v.op("and", v.i64, v.op("lshr", v.i64, odd, v.all("i64", 29)), v.all("i64", 1))
    up = v.op("add", v.i64, v.op("add", v.i64, odd, v.all("i64", (1 << 28) - 1)), last)
    kept = v.op("and", v.i64, up, v.all("i64", -(1 << 29)))
    return v.cast("bitcast", kept, v.i64, v.f64)


def _double(k: Kernel, register: SetRegister) -> str:
    """The number that a register's 32 bits stand for: exponent field 0 is zero, 255 is finite."""
    bits = k.register(register)
    exponent = k.op(f"and i64 {k.op(f'lshr i64 {bits}, 23')}, 255")
    sign = k.op(f"shl i64 {k.op(f'lshr i64 {bits}, 31')}, 63")
    fraction = k.op(f"shl i64 {k.op(f'and i64 {bits}, {0x7FFFFF}')}, 29")
    biased = k.op(f"shl i64 {k.op(f'add i64 {exponent}, {1023 - 127}')}, 52")
    number = k.op(f"or i64 {k.op(f'or i64 {sign}, {biased}')}, {fraction}")
    flushed = k.op(f"select i1 {k.op(f'icmp eq i64 {exponent}, 0')}, i64 0, i64 {number}")
    return k.op(f"bitcast i64 {flushed} to double")


class _Epilogue:
    """What the kernel knows before its loops: registers spread over vectors, and the mode's bits."""

    def __init__(self, k: Kernel, lanes: int, *, residual: bool) -> None:
        self.k = k
        self.v = _Vectors(k, lanes)
        self.mode = k.field("mode")
        self.zero_point, self.low, self.high = (
            self._integers(register)
            for register in (SetRegister.ZERO_POINT, SetRegister.CLAMP_LO, SetRegister.CLAMP_HI)
        )
        if residual:
            self.sum_low, self.sum_high = (self._integers(r) for r in (SetRegister.SUM_LO, SetRegister.SUM_HI))
            self.swap = self.has(StoreMode.SWAP)
            own, other, offset = (
                _double(k, r) for r in (SetRegister.SCALE, SetRegister.RESIDUAL_SCALE, SetRegister.OFFSET)
            )
            first = k.op(f"select i1 {self.swap}, double {other}, double {own}")
            second = k.op(f"select i1 {self.swap}, double {own}, double {other}")
            self.first, self.second, self.offset = (splat(k, "double", lanes, s) for s in (first, second, offset))
            mask = k.op(f"select i1 {self.has(StoreMode.UNSIGNED)}, i32 255, i32 -1")
            self.operand_mask = splat(k, "i32", lanes, mask)

    def has(self, bit: StoreMode) -> str:
        """Whether the mode has a bit, as i1."""
        return self.k.op(f"icmp ne i64 {self.k.op(f'and i64 {self.mode}, {int(bit)}')}, 0")

    def step(self, bit: StoreMode) -> str:
        """1 or 0, as i64."""
        return self.k.op(f"zext i1 {self.has(bit)} to i64")

    def _integers(self, register: SetRegister) -> str:
        return splat(self.k, "i32", self.v.lanes, self.k.op(f"trunc i64 {self.k.register(register)} to i32"))

    def requantised(self, acc: str, bias: str, scale: str) -> str:
        v = self.v
        total = v.op("add", v.i32, acc, bias)
        product = v.op("fmul", v.f32, v.cast("sitofp", total, v.i32, v.f32), scale)
        moved = v.op("add", v.i32, v.to_integers(v.f32, product), self.zero_point)
        return v.clamp(v.i32, moved, self.low, self.high)

    def with_residual(self, value: str, operand: str) -> str:
        v, k = self.v, self.k
        wide = v.op("and", v.i32, v.cast("sext", operand, f"<{v.lanes} x i8>", v.i32), self.operand_mask)
        own, other = (v.cast("sitofp", part, v.i32, v.f64) for part in (value, wide))
        first = k.op(f"select i1 {self.swap}, {v.f64} {other}, {v.f64} {own}")
        second = k.op(f"select i1 {self.swap}, {v.f64} {own}, {v.f64} {other}")
        total = _fma_24(v, first, self.first, _fma_24(v, second, self.second, self.offset))
        return v.clamp(v.i32, v.to_integers(v.f64, total), self.sum_low, self.sum_high)


def _kernel(config: AcceleratorConfig, *, residual: bool) -> str:
    k = Kernel("store_acc_8bit_residual" if residual else "store_acc_8bit", Store, config)
    size, lanes = tile_bytes(Memory.ACC_8BIT, config), min(LANES, config.block_out)
    sram, ys, xs, stride = k.fields("sram", "y_size", "x_size", "x_stride")
    tiles = k.op(f"mul i64 {xs}, {ys}")
    k.return_if(k.op(f"icmp eq i64 {tiles}, 0"), Outcome.DONE)
    refuse_outside_scratchpad(k, sram, tiles, config.acc_depth)
    e = _Epilogue(k, lanes, residual=residual)
    first, step_x, step_y = k.register(SetRegister.PARAM), e.step(StoreMode.PARAM_X), e.step(StoreMode.PARAM_Y)
    steps_x = k.op(f"mul i64 {k.op(f'sub i64 {xs}, 1')}, {step_x}")
    steps_y = k.op(f"mul i64 {k.op(f'sub i64 {ys}, 1')}, {step_y}")
    last = k.op(f"add i64 {k.op(f'add i64 {first}, {steps_x}')}, {steps_y}")
    k.return_if(k.op(f"icmp sge i64 {last}, {config.param_depth}"), Outcome.OUT_OF_PARAMETERS)
    offset, pitch = k.dram_offset(Memory.ACC_8BIT, config), k.op(f"mul i64 {stride}, {size}")
    row_bytes = k.op(f"mul i64 {xs}, {size}")
    k.refuse_outside_window(Memory.ACC_8BIT, offset, pitch, row_bytes, ys)
    away = "0"
    if residual:
        away = k.op(f"mul i64 {k.register(SetRegister.RESIDUAL)}, {size}")
        operand_at = k.op(f"add i64 {offset}, {away}")
        outcome = Outcome.RESIDUAL_OUT_OF_WINDOW
        k.refuse_outside_window(Memory.ACC_8BIT, operand_at, pitch, row_bytes, ys, outcome)
    source = k.at(k.state("acc"), k.op(f"mul i64 {sram}, {size}"), "i32")
    target, table = k.at(k.state("dram"), offset, "i8"), k.state("table")
    biases, scales = k.state("bias"), k.state("scale")
    looked_up = k.op(f"select i1 {e.has(StoreMode.TABLE)}, i64 {row_bytes}, i64 0") if config.table else ""
    with k.loop(ys) as y:
        row = k.at(source, k.op(f"mul i64 {y.index}, {row_bytes}"), "i32")
        to = k.at(target, k.op(f"mul i64 {y.index}, {pitch}"), "i8")
        params = k.op(f"add i64 {first}, {k.op(f'mul i64 {y.index}, {step_y}')}")
        with k.loop(xs) as x:
            tile = k.op(f"mul i64 {x.index}, {size}")
            stepped = k.op(f"mul i64 {x.index}, {step_x}")
            param = k.op(f"mul i64 {k.op(f'add i64 {params}, {stepped}')}, {config.block_out}")
            for element in range(0, size, lanes):
                channel = k.op(f"add i64 {param}, {element % config.block_out}")
                at = k.op(f"add i64 {tile}, {element}")
                acc = k.load(e.v.i32, k.at(row, at, "i32"), 4)
                bias = k.load(e.v.i32, k.at(biases, channel, "i32"), 4)
                value = e.requantised(acc, bias, k.load(e.v.f32, k.at(scales, channel, "float"), 4))
                place = k.at(to, at, "i8")
                if residual:
                    value = e.with_residual(value, k.load(f"<{lanes} x i8>", k.at(place, away, "i8")))
                k.store(f"<{lanes} x i8>", e.v.cast("trunc", value, e.v.i32, f"<{lanes} x i8>"), place)
        if looked_up:
            with k.loop(looked_up) as byte:
                place = k.at(to, byte.index, "i8")
                entry = k.op(f"zext i8 {k.load('i8', place)} to i64")
                k.store("i8", k.load("i8", k.at(table, entry, "i8")), place)
    return k.finish()


def epilogue_kernels(config: AcceleratorConfig) -> list[str]:
    """The IR of ``store_acc_8bit`` and ``store_acc_8bit_residual``, as far as the accelerator has them."""
    if not config.epilogue_lanes:
        return []
    v = _Vectors(Function(""), min(LANES, config.block_out))
    declared = [
        f"declare {kind} @llvm.rint.v{v.lanes}{name}({kind})" for kind, name in ((v.f32, "f32"), (v.f64, "f64"))
    ]
    return [*declared, *(_kernel(config, residual=residual) for residual in (False, True)[: 1 + config.residual])]
