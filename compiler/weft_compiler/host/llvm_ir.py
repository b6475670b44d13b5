"""Lower functions over scf, arith, math and memref to the text of LLVM IR.

xDSL carries no such conversion; this one knows exactly the operations that `builder` makes. The text names no target.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from xdsl.dialects import arith, math, memref, scf
from xdsl.dialects.builtin import Float32Type, FloatAttr, IndexType, IntegerAttr, IntegerType, MemRefType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, SSAValue

_BINARY: dict[type[Operation], str] = {
    arith.AddiOp: "add",
    arith.SubiOp: "sub",
    arith.MuliOp: "mul",
    arith.DivUIOp: "udiv",
    arith.RemUIOp: "urem",
    arith.AndIOp: "and",
    arith.AddfOp: "fadd",
    arith.MulfOp: "fmul",
    arith.DivfOp: "fdiv",
}
_CALLS: dict[type[Operation], str] = {
    arith.MaxSIOp: "llvm.smax.i32",
    arith.MinSIOp: "llvm.smin.i32",
    math.RoundEvenOp: "llvm.roundeven.f32",
}
_CASTS: dict[type[Operation], str] = {
    arith.ExtSIOp: "sext",
    arith.ExtUIOp: "zext",
    arith.TruncIOp: "trunc",
    arith.SIToFPOp: "sitofp",
    arith.FPToSIOp: "fptosi",
}
_INTEGER_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_FLOAT_PREDICATES = (
    *("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord"),
    *("ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"),
)
_DECLARATIONS = (
    "declare i32 @llvm.smax.i32(i32, i32)",
    "declare i32 @llvm.smin.i32(i32, i32)",
    "declare float @llvm.roundeven.f32(float)",
)


def scalar_type(type_: Attribute) -> str:
    """The LLVM type of a scalar."""
    if isinstance(type_, IndexType):
        return "i64"
    if isinstance(type_, Float32Type):
        return "float"
    assert isinstance(type_, IntegerType), type_
    return f"i{type_.width.data}"


def _array_type(type_: MemRefType) -> str:
    text = scalar_type(type_.element_type)
    for size in reversed(type_.get_shape()):
        text = f"[{size} x {text}]"
    return text


def _literal(value: IntegerAttr | FloatAttr) -> str:
    if isinstance(value, IntegerAttr):
        return str(value.value.data)
    # LLVM writes a float constant as the bits of the double of the same value.
    return f"0x{struct.unpack('<Q', struct.pack('<d', value.value.data))[0]:016X}"


class _Lowering:
    """The text of one function's body."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[SSAValue, str] = {}
        self._count = 0
        self._block = "entry"
        self._rules: dict[type[Operation], Callable[..., None]] = {
            arith.ConstantOp: self._constant,
            arith.CmpiOp: self._compare_integers,
            arith.CmpfOp: self._compare_floats,
            arith.SelectOp: self._select,
            memref.LoadOp: self._load,
            memref.StoreOp: self._store,
            scf.ForOp: self._for,
        }

    def fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def bind(self, value: SSAValue, name: str) -> None:
        self._names[value] = name

    def name(self, value: SSAValue) -> str:
        return self._names[value]

    def typed(self, value: SSAValue) -> str:
        return f"{scalar_type(value.type)} {self.name(value)}"

    def assign(self, result: SSAValue, text: str) -> None:
        name = self.fresh("%v")
        self.bind(result, name)
        self.lines.append(f"  {name} = {text}")

    def block(self, block: Block) -> None:
        """Lower every operation but the terminator."""
        for op in block.ops:
            if not isinstance(op, scf.YieldOp | ReturnOp):
                self._operation(op)

    def _operation(self, op: Operation) -> None:
        kind = type(op)
        if kind in self._rules:
            self._rules[kind](op)
        elif kind in _BINARY:
            a, b = op.operands
            self.assign(op.results[0], f"{_BINARY[kind]} {self.typed(a)}, {self.name(b)}")
        elif kind in _CALLS:
            arguments = ", ".join(self.typed(value) for value in op.operands)
            self.assign(op.results[0], f"call {scalar_type(op.results[0].type)} @{_CALLS[kind]}({arguments})")
        else:
            target = scalar_type(op.results[0].type)
            self.assign(op.results[0], f"{_CASTS[kind]} {self.typed(op.operands[0])} to {target}")

    def _constant(self, op: arith.ConstantOp) -> None:
        assert isinstance(op.value, IntegerAttr | FloatAttr)
        self.bind(op.result, _literal(op.value))

    def _compare_integers(self, op: arith.CmpiOp) -> None:
        predicate = _INTEGER_PREDICATES[op.predicate.value.data]
        self.assign(op.result, f"icmp {predicate} {self.typed(op.lhs)}, {self.name(op.rhs)}")

    def _compare_floats(self, op: arith.CmpfOp) -> None:
        predicate = _FLOAT_PREDICATES[op.predicate.value.data]
        self.assign(op.result, f"fcmp {predicate} {self.typed(op.lhs)}, {self.name(op.rhs)}")

    def _select(self, op: arith.SelectOp) -> None:
        self.assign(op.result, f"select {self.typed(op.cond)}, {self.typed(op.lhs)}, {self.typed(op.rhs)}")

    def _address(self, buffer: SSAValue, indices: Sequence[SSAValue]) -> str:
        assert isinstance(buffer.type, MemRefType)
        name = self.fresh("%p")
        subscripts = "".join(f", {self.typed(i)}" for i in indices)
        self.lines.append(
            f"  {name} = getelementptr inbounds {_array_type(buffer.type)}, ptr {self.name(buffer)}, i64 0{subscripts}"
        )
        return name

    def _load(self, op: memref.LoadOp) -> None:
        address = self._address(op.memref, op.indices)
        self.assign(op.res, f"load {scalar_type(op.res.type)}, ptr {address}")

    def _store(self, op: memref.StoreOp) -> None:
        address = self._address(op.memref, op.indices)
        self.lines.append(f"  store {self.typed(op.value)}, ptr {address}")

    def _label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self._block = name

    def _for(self, op: scf.ForOp) -> None:
        head, body, after = (self.fresh(stem) for stem in ("head", "body", "after"))
        before = self._block
        self.lines.append(f"  br label %{head}")
        self._label(head)
        counter, *carried = op.body.block.args
        phis = len(self.lines)
        for argument in (counter, *carried):
            self.bind(argument, self.fresh("%v"))
        condition = self.fresh("%c")
        self.lines.append(f"  {condition} = icmp slt {self.typed(counter)}, {self.name(op.ub)}")
        self.lines.append(f"  br i1 {condition}, label %{body}, label %{after}")
        self._label(body)
        self.block(op.body.block)
        following = self.fresh("%v")
        self.lines.append(f"  {following} = add nsw {self.typed(counter)}, {self.name(op.step)}")
        latch = self._block
        self.lines.append(f"  br label %{head}")
        self._label(after)
        terminator = op.body.block.last_op
        assert isinstance(terminator, scf.YieldOp)
        entering = [self.name(op.lb), *map(self.name, op.iter_args)]
        returning = [following, *map(self.name, terminator.operands)]
        self.lines[phis:phis] = [
            f"  {self.name(argument)} = phi {scalar_type(argument.type)} [ {a}, %{before} ], [ {b}, %{latch} ]"
            for argument, a, b in zip((counter, *carried), entering, returning, strict=True)
        ]
        for result, argument in zip(op.results, carried, strict=True):
            self.bind(result, self.name(argument))


def _function(function: FuncOp) -> str:
    """An internal function whose buffers do not overlap, and ``void name(ptr buffers)`` that calls it."""
    name, arguments = function.sym_name.data, function.body.block.args
    lowering = _Lowering()
    for k, argument in enumerate(arguments):
        lowering.bind(argument, f"%b{k}")
    lowering.block(function.body.block)
    parameters = ", ".join(f"ptr noalias align 64 %b{k}" for k in range(len(arguments)))
    loads, passed = [], []
    for k in range(len(arguments)):
        loads += [f"  %a{k} = getelementptr inbounds ptr, ptr %buffers, i64 {k}", f"  %b{k} = load ptr, ptr %a{k}"]
        passed.append(f"ptr %b{k}")
    return "\n".join(
        [
            f"define internal void @{name}.body({parameters}) alwaysinline nounwind {{",
            "entry:",
            *lowering.lines,
            "  ret void",
            "}",
            "",
            f"define void @{name}(ptr %buffers) nounwind {{",
            "entry:",
            *loads,
            f"  call void @{name}.body({', '.join(passed)})",
            "  ret void",
            "}",
        ]
    )


def lower(functions: Sequence[FuncOp]) -> str:
    """The text of a module that defines ``void f(void** buffers)`` for each function.

    Every buffer must be aligned to 64 bytes and overlap no other.
    """
    return "\n".join([*_DECLARATIONS, "", *map(_function, functions), ""])
