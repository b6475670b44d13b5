"""Scalar expressions as operations of arith, math and memref."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xdsl.dialects import arith, math, memref
from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr, IntegerType, MemRefType, StringAttr, f32, i1, i64
from xdsl.ir import Attribute, Operation, SSAValue

from ..host.llvm_ir import CONTRACT
from .expr import (
    INDEX,
    Axis,
    Binary,
    Call,
    Cast,
    Compare,
    Const,
    Expr,
    Read,
    Select,
    Shaped,
    limits,
)
from .interval import interval
from .nest import Buffer

index = IndexType()

_FLOAT: dict[str, Callable[..., Operation]] = {
    "add": arith.AddfOp,
    "sub": arith.SubfOp,
    "mul": arith.MulfOp,
    "div": arith.DivfOp,
    "min": arith.MinimumfOp,
    "max": arith.MaximumfOp,
}
_INTEGER: dict[str, Callable[..., Operation]] = {
    "add": arith.AddiOp,
    "sub": arith.SubiOp,
    "mul": arith.MuliOp,
    "and": arith.AndIOp,
    "or": arith.OrIOp,
    "min": arith.MinSIOp,
    "max": arith.MaxSIOp,
}
_UNSIGNED: dict[str, Callable[..., Operation]] = {**_INTEGER, "min": arith.MinUIOp, "max": arith.MaxUIOp}
_CALLS: dict[str, Callable[..., Operation]] = {
    "round_even": math.RoundEvenOp,
    "exp": math.ExpOp,
    "log": math.LogOp,
    "sqrt": math.SqrtOp,
    "tanh": math.TanhOp,
    "erf": math.ErfOp,
    "pow": math.PowFOp,
    "float_of_bits": lambda bits: arith.BitcastOp(bits, f32),
    "fma": math.FmaOp,
}


def is_unsigned(dtype: str) -> bool:
    return dtype in ("uint8", "bool")


def value_type(dtype: str) -> Attribute:
    """The type of a scalar. int64 is what indexes are."""
    if dtype == "float32":
        return f32
    if dtype == INDEX:
        return index
    return i1 if dtype == "bool" else IntegerType(int(dtype.removeprefix("u")[3:]))


def buffer_type(buffer: Buffer) -> MemRefType:
    """The memref of a buffer; a bool takes a byte, the scope is the memory space."""
    stored = value_type(buffer.dtype)
    element = IntegerType(8) if buffer.dtype == "bool" else i64 if stored == index else stored
    if buffer.scope == "global":
        return MemRefType(element, buffer.shape)
    return MemRefType(element, buffer.shape, memory_space=StringAttr(buffer.scope))


class Scalars:
    """Emits expressions into a block that somebody else opens and closes.

    Parameters
    ----------
    emit : callable
        Appends an operation and gives its result.
    constant : callable
        The value of an attribute, valid everywhere in the function.
    axes, buffers : mapping
        What the loops and buffers are called in the IR.
    """

    def __init__(
        self,
        emit: Callable[[Operation], SSAValue],
        constant: Callable[[IntegerAttr | FloatAttr], SSAValue],
        axes: Mapping[Axis, SSAValue],
        buffers: Mapping[Shaped, SSAValue],
    ):
        self._emit, self._constant = emit, constant
        self._axes, self._buffers = axes, buffers
        self._flags: arith.FastMathFlagsAttr | None = None

    def value(self, expr: Expr, guarded: bool = False) -> SSAValue:
        """The value of an expression.

        Parameters
        ----------
        guarded : bool
            A condition stands before it, so that subscripts may leave their buffers as long as nobody uses what is
            read: they are held inside.
        """
        match expr:
            case Const(number, dtype):
                return self._number(number, dtype)
            case Axis():
                return self._axes[expr]
            case Binary():
                return self._binary(expr, guarded)
            case Compare(op, a, b):
                return self._compare(op, a.dtype, self.value(a, guarded), self.value(b, guarded))
            case Select(condition, a, b):
                chosen = self.value(condition, guarded)
                return self._emit(arith.SelectOp(chosen, self.value(a, True), self.value(b, True)))
            case Cast(dtype, a):
                return self._cast(self.value(a, guarded), a.dtype, dtype)
            case Call(name, args):
                return self._emit(_CALLS[name](*(self.value(a, guarded) for a in args)))
            case Read(tensor, indices):
                return self._read(tensor, indices, guarded)
            case _:
                raise AssertionError(type(expr))

    def store(self, value: Expr, buffer: Buffer, indices: Sequence[Expr], reassociable: bool = False) -> None:
        """Write a value; float products of a ``reassociable`` one may be fused with the sums that they go into."""
        self._flags = CONTRACT if reassociable else None
        result = self.value(value)
        self._flags = None
        if buffer.dtype == "bool":
            result = self._emit(arith.ExtUIOp(result, IntegerType(8)))
        elif buffer.dtype == INDEX:
            result = self._emit(arith.IndexCastOp(result, i64))
        where = [self.value(i) for i in indices]
        self._emit(memref.StoreOp.get(result, self._buffers[buffer], where))

    def _read(self, buffer: Shaped, indices: Sequence[Expr], guarded: bool) -> SSAValue:
        where = []
        for subscript, size in zip(indices, buffer.shape, strict=True):
            low, high = interval(subscript)
            value = self.value(subscript, guarded)
            if guarded and low < 0:
                value = self._emit(arith.MaxSIOp(value, self._number(0, INDEX)))
            if guarded and high >= size:
                value = self._emit(arith.MinSIOp(value, self._number(size - 1, INDEX)))
            where.append(value)
        result = self._emit(memref.LoadOp.get(self._buffers[buffer], where))
        if buffer.dtype == "bool":
            return self._emit(arith.TruncIOp(result, i1))
        return self._emit(arith.IndexCastOp(result, index)) if buffer.dtype == INDEX else result

    def _number(self, number: float, dtype: str) -> SSAValue:
        if dtype == "float32":
            return self._constant(FloatAttr(float(number), f32))
        type_ = value_type(dtype)
        value = int(number)
        if dtype == "uint8" and value > 127:
            value -= 256
        assert isinstance(type_, IntegerType | IndexType)
        return self._constant(IntegerAttr(value, type_))

    def _binary(self, expr: Binary, guarded: bool) -> SSAValue:
        a = self.value(expr.a, guarded)
        if expr.op in ("floordiv", "mod"):
            assert isinstance(expr.b, Const)
            return self._divide(expr, a, guarded)
        if expr.op in ("shl", "shr"):
            return self._shift(expr, a, guarded)
        table = _FLOAT if expr.dtype == "float32" else _UNSIGNED if is_unsigned(expr.dtype) else _INTEGER
        b = self.value(expr.b, guarded)
        if self._flags is not None and expr.dtype == "float32" and expr.op in ("add", "sub", "mul"):
            return self._emit(table[expr.op](a, b, self._flags))
        return self._emit(table[expr.op](a, b))

    def _divide(self, expr: Binary, a: SSAValue, guarded: bool) -> SSAValue:
        """Rounded down: of what may be negative, the remainder says whether to go one further."""
        b = self.value(expr.b, guarded)
        divide = expr.op == "floordiv"
        if interval(expr.a)[0] >= 0:
            return self._emit((arith.DivUIOp if divide else arith.RemUIOp)(a, b))
        remainder = self._emit(arith.RemSIOp(a, b))
        zero, one = self._number(0, expr.dtype), self._number(1, expr.dtype)
        negative = self._emit(arith.CmpiOp(remainder, zero, "slt"))
        if not divide:
            return self._emit(arith.SelectOp(negative, self._emit(arith.AddiOp(remainder, b)), remainder))
        quotient = self._emit(arith.DivSIOp(a, b))
        return self._emit(arith.SelectOp(negative, self._emit(arith.SubiOp(quotient, one)), quotient))

    def _shift(self, expr: Binary, a: SSAValue, guarded: bool) -> SSAValue:
        """A constant amount in range is one operation; any other one goes through 64 bits."""
        bits = (limits(expr.dtype)[1] - limits(expr.dtype)[0]).bit_length()
        right = arith.ShRUIOp if is_unsigned(expr.dtype) else arith.ShRSIOp
        b = self.value(expr.b, guarded)
        if isinstance(expr.b, Const) and 0 <= expr.b.value < bits:
            return self._emit((right if expr.op == "shr" else arith.ShLIOp)(a, b))
        wide, amount = self._cast(a, expr.dtype, INDEX), self._cast(b, expr.dtype, INDEX)
        zero, most = self._number(0, INDEX), self._number(63, INDEX)
        amount = self._emit(arith.MinSIOp(amount, self._number(64, INDEX)))
        amount = self._emit(arith.MaxSIOp(amount, self._number(-64, INDEX)))
        opposite = self._emit(arith.SubiOp(zero, amount))
        if expr.op == "shl":
            amount, opposite = opposite, amount
        down, up = (self._emit(arith.MinSIOp(self._emit(arith.MaxSIOp(by, zero)), most)) for by in (amount, opposite))
        far = self._emit(arith.CmpiOp(opposite, most, "sgt"))
        left = self._emit(arith.SelectOp(far, zero, self._emit(arith.ShLIOp(wide, up))))
        forwards = self._emit(arith.CmpiOp(amount, zero, "sge"))
        chosen = self._emit(arith.SelectOp(forwards, self._emit(arith.ShRSIOp(wide, down)), left))
        return self._cast(chosen, INDEX, expr.dtype)

    def _compare(self, op: str, dtype: str, a: SSAValue, b: SSAValue) -> SSAValue:
        if dtype == "float32":
            return self._emit(arith.CmpfOp(a, b, "une" if op == "ne" else f"o{op}"))
        sign = "" if op in ("eq", "ne") else "u" if is_unsigned(dtype) else "s"
        return self._emit(arith.CmpiOp(a, b, sign + op))

    def _cast(self, a: SSAValue, source: str, target: str) -> SSAValue:
        if source == target:
            return a
        if source == "float32":
            return self._from_float(a, target)
        if target == "bool":
            return self._emit(arith.CmpiOp(a, self._number(0, source), "ne"))
        if target == "float32":
            if source == INDEX:
                a = self._emit(arith.IndexCastOp(a, i64))
            return self._emit((arith.UIToFPOp if is_unsigned(source) else arith.SIToFPOp)(a, f32))
        if source == INDEX:
            return self._emit(arith.IndexCastOp(a, value_type(target)))
        extend = arith.ExtUIOp if is_unsigned(source) else arith.ExtSIOp
        if target == INDEX:
            return self._emit(arith.IndexCastOp(self._emit(extend(a, i64)), index))
        here, there = value_type(source), value_type(target)
        assert isinstance(here, IntegerType)
        assert isinstance(there, IntegerType)
        if here == there:
            return a
        return self._emit((extend if there.width.data > here.width.data else arith.TruncIOp)(a, there))

    def _from_float(self, a: SSAValue, target: str) -> SSAValue:
        """Towards zero, saturating; what is no number compares with nothing and becomes 0."""
        if target == "bool":
            return self._emit(arith.CmpfOp(a, self._number(0.0, "float32"), "une"))
        low, high = limits(target)
        least, beyond = self._number(float(low), "float32"), self._number(float(high + 1), "float32")
        large = self._emit(arith.CmpfOp(a, beyond, "oge"))
        small = self._emit(arith.CmpfOp(a, least, "olt"))
        inside = self._emit(
            arith.AndIOp(self._emit(arith.CmpfOp(a, least, "oge")), self._emit(arith.CmpfOp(a, beyond, "olt")))
        )
        safe = self._emit(arith.SelectOp(inside, a, self._number(0.0, "float32")))
        width = i64 if target == INDEX else IntegerType(32)
        whole = self._emit(arith.FPToSIOp(safe, width))
        type_ = value_type(target)
        if type_ == index:
            whole = self._emit(arith.IndexCastOp(whole, index))
        elif type_ != width:
            assert isinstance(type_, IntegerType)
            whole = self._emit(arith.TruncIOp(whole, type_))
        bounded = self._emit(arith.SelectOp(small, self._number(low, target), whole))
        return self._emit(arith.SelectOp(large, self._number(high, target), bounded))
