"""A short hand for loop nests over static memrefs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from xdsl.dialects import arith, math, memref, scf, vector
from xdsl.dialects.builtin import (
    Float32Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
    VectorType,
    f32,
    i1,
    i8,
    i32,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from .calls import call
from .templates.template import Template

Index = SSAValue | int
"""A subscript: a value of type index, or a constant."""

index = IndexType()
_ELEMENTS: dict[np.dtype[Any], Attribute] = {
    np.dtype("i1"): i8,
    np.dtype("u1"): i8,
    np.dtype("<i4"): i32,
    np.dtype("<f4"): f32,
}


class HostFunction:
    """One function under construction; its parameters are memrefs, its loops are `scf.for`.

    Parameters
    ----------
    name : str
        Symbol name.
    buffers : sequence of (shape, dtype)
        The parameters, in the order in which a host step lists its buffers.
    """

    def __init__(self, name: str, buffers: Sequence[tuple[Sequence[int], Any]]):
        self.name = name
        self.dtypes = [np.dtype(dtype) for _, dtype in buffers]
        types = [MemRefType(_ELEMENTS[np.dtype(dtype)], list(shape)) for shape, dtype in buffers]
        self._body = Block(arg_types=types)
        self._blocks = [self._body]
        self._constants: dict[Attribute, SSAValue] = {}
        self._scratch: list[SSAValue] = []

    @property
    def buffers(self) -> tuple[SSAValue, ...]:
        return tuple(self._body.args)

    def finish(self) -> FuncOp:
        """Close the function."""
        self._body.add_ops([*(memref.DeallocOp.get(buffer) for buffer in self._scratch), ReturnOp()])
        types = [argument.type for argument in self._body.args]
        return FuncOp(self.name, (types, []), Region(self._body))

    def emit(self, op: Operation) -> SSAValue:
        self._blocks[-1].add_op(op)
        return op.results[0]

    # Constants ---------------------------------------------------------------------------------------------

    def _constant(self, value: IntegerAttr | FloatAttr) -> SSAValue:
        # Constants live at the top of the function, where every loop sees them.
        if value not in self._constants:
            op = arith.ConstantOp(value)
            first = self._body.first_op
            if first is None:
                self._body.add_op(op)
            else:
                self._body.insert_op_before(op, first)
            self._constants[value] = op.result
        return self._constants[value]

    def at(self, value: Index) -> SSAValue:
        """A subscript as a value."""
        return self._constant(IntegerAttr(value, index)) if isinstance(value, int) else value

    def int32(self, value: int) -> SSAValue:
        return self._constant(IntegerAttr(value, i32))

    def int8(self, value: int) -> SSAValue:
        return self._constant(IntegerAttr(value, i8))

    def float32(self, value: float) -> SSAValue:
        return self._constant(FloatAttr(float(np.float32(value)), f32))

    # Control -----------------------------------------------------------------------------------------------

    def loop(
        self, count: int, body: Callable[..., Sequence[SSAValue] | None], *carried: SSAValue
    ) -> Sequence[SSAValue]:
        """``for k in range(count)``: ``body(k, *carried)`` gives the next carried values; returns the last ones."""
        block = Block(arg_types=[index, *(value.type for value in carried)])
        self._blocks.append(block)
        block.add_op(scf.YieldOp(*(body(*block.args) or ())))
        self._blocks.pop()
        loop = scf.ForOp(self.at(0), self.at(count), self.at(1), carried, Region(block))
        self._blocks[-1].add_op(loop)
        return loop.results

    def nest(self, counts: Sequence[int], body: Callable[[list[SSAValue]], None]) -> None:
        """Nested loops; ``body`` gets one index for each count, outermost first."""

        def level(depth: int, indices: list[SSAValue]) -> None:
            if depth == len(counts):
                body(indices)
            else:
                self.loop(counts[depth], lambda k: level(depth + 1, [*indices, k]))

        if all(counts):
            level(0, [])

    # Memory ------------------------------------------------------------------------------------------------

    def scratch(self, shape: Sequence[int]) -> SSAValue:
        """Bytes that the function has for itself; asked for outside its loops."""
        self._scratch.append(self.emit(memref.AllocOp([], [], MemRefType(i8, list(shape)))))
        return self._scratch[-1]

    def load(self, buffer: SSAValue, indices: Sequence[Index]) -> SSAValue:
        return self.emit(memref.LoadOp.get(buffer, [self.at(i) for i in indices]))

    def store(self, value: SSAValue, buffer: SSAValue, indices: Sequence[Index]) -> None:
        self._blocks[-1].add_op(memref.StoreOp.get(value, buffer, [self.at(i) for i in indices]))

    def load_vector(self, buffer: SSAValue, indices: Sequence[Index], size: int) -> SSAValue:
        """Elements side by side in the last dimension, from an element on."""
        type_ = VectorType(buffer.type.element_type, [size])  # type: ignore[attr-defined]
        return self.emit(vector.LoadOp(buffer, [self.at(i) for i in indices], type_))

    def store_vector(self, value: SSAValue, buffer: SSAValue, indices: Sequence[Index]) -> None:
        self._blocks[-1].add_op(vector.StoreOp(value, buffer, [self.at(i) for i in indices]))

    def load_int32(self, buffer: SSAValue, indices: Sequence[Index]) -> SSAValue:
        """Load an 8-bit element, widened by its buffer's signedness; int32 as it is."""
        value = self.load(buffer, indices)
        dtype = self.dtypes[self._body.args.index(buffer)]  # type: ignore[arg-type]
        if dtype.itemsize == 4:
            return value
        widen = arith.ExtSIOp if dtype == np.int8 else arith.ExtUIOp
        return self.emit(widen(value, i32))

    def store_int8(self, value: SSAValue, buffer: SSAValue, indices: Sequence[Index]) -> None:
        """Store the low byte of an int32."""
        self.store(self.emit(arith.TruncIOp(value, i8)), buffer, indices)

    def call(self, template: Template, *arguments: tuple[SSAValue, Index] | Index) -> None:
        """Run a template: for each pointer a buffer and the element of it that is meant, for each count an index."""
        operands: list[SSAValue] = []
        for argument in arguments:
            operands += [argument[0], self.at(argument[1])] if isinstance(argument, tuple) else [self.at(argument)]
        self._blocks[-1].add_op(call(self.emit, template, operands))

    # Arithmetic --------------------------------------------------------------------------------------------

    def add(self, a: Index, b: Index) -> SSAValue:
        if isinstance(b, int) and b == 0:
            return self.at(a)
        return self.emit(arith.AddiOp(self.at(a), self.at(b)))

    def sub(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.emit(arith.SubiOp(a, b))

    def mul(self, a: Index, b: Index) -> SSAValue:
        return self.emit(arith.MuliOp(self.at(a), self.at(b)))

    def divide(self, a: SSAValue, divisor: int) -> SSAValue:
        """Quotient of an index that is never negative."""
        return self.emit(arith.DivUIOp(a, self.at(divisor)))

    def remainder(self, a: SSAValue, divisor: int) -> SSAValue:
        """Remainder of an index that is never negative."""
        return self.emit(arith.RemUIOp(a, self.at(divisor)))

    def largest(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Maximum of signed integers, or of floats, where b wins if a is no number."""
        if isinstance(a.type, Float32Type):
            return self.select(self.emit(arith.CmpfOp(a, b, "ogt")), a, b)
        return self.emit(arith.MaxSIOp(a, b))

    def smallest(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Minimum of signed integers, or of floats, where b wins if a is no number."""
        if isinstance(a.type, Float32Type):
            return self.select(self.emit(arith.CmpfOp(a, b, "olt")), a, b)
        return self.emit(arith.MinSIOp(a, b))

    def select(self, condition: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.emit(arith.SelectOp(condition, a, b))

    def below(self, a: SSAValue, limit: int) -> SSAValue:
        """Whether ``0 <= a < limit`` for an index that may be negative."""
        return self.emit(arith.CmpiOp(a, self.at(limit), "ult"))

    def both(self, a: SSAValue, b: SSAValue) -> SSAValue:
        assert a.type == i1
        return self.emit(arith.AndIOp(a, b))

    def xor(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.emit(arith.XOrIOp(a, b))

    def to_float(self, value: SSAValue) -> SSAValue:
        return self.emit(arith.SIToFPOp(value, f32))

    def times(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Product of floats."""
        return self.emit(arith.MulfOp(a, b))

    def over(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Quotient of floats."""
        return self.emit(arith.DivfOp(a, b))

    def plus(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Sum of floats."""
        return self.emit(arith.AddfOp(a, b))

    def minus(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Difference of floats."""
        return self.emit(arith.SubfOp(a, b))

    def quantised(self, value: SSAValue, zero: SSAValue, limits: tuple[float | SSAValue, float | SSAValue]) -> SSAValue:
        """``clamp(rne(value) + zero)`` as int32; ``limits`` are the clamp's bounds less the zero point.

        The clamp comes first, on floats, where it bounds the conversion too; rounding cannot leave whole bounds.
        """
        low, high = (x if isinstance(x, SSAValue) else self.float32(x) for x in limits)
        bounded = self.smallest(self.largest(value, low), high)
        rounded = self.emit(math.RoundEvenOp(bounded))
        return self.add(self.emit(arith.FPToSIOp(rounded, IntegerType(32))), zero)
