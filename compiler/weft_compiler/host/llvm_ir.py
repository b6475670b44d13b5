"""Lower functions over scf, arith, math and memref to the text of LLVM IR.

xDSL carries no such conversion; this one knows exactly the operations that `builder` and `te/to_ir.py` make. The text
names no target. A loop may carry how it runs in its attribute `LOOP_KIND`; its result is that of running in order.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from xdsl.dialects import arith, math, memref, scf, vector
from xdsl.dialects.builtin import (
    Float32Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
    NoneAttr,
    Signedness,
    StringAttr,
    UnrankedMemRefType,
    VectorType,
)
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.dialects.utils import FastMathFlag
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ..errors import CompileError
from .targets import GENERIC, Level, Target
from .templates.named import is_named, named
from .templates.template import Template
from .vector_loops import VectorLoop, vector_loop

LOOP_KIND = "weft.loop"
"""Attribute of an `scf.for`: ``"vectorize"`` (no iteration touches what another one writes) or ``"unroll"``."""

CONTRACT = arith.FastMathFlagsAttr([FastMathFlag.ALLOW_CONTRACT])
"""Flag of an operation of a reassociable sum: a product may be fused with the sum that it goes into."""

_BINARY: dict[type[Operation], str] = {
    arith.AddiOp: "add",
    arith.SubiOp: "sub",
    arith.MuliOp: "mul",
    arith.DivUIOp: "udiv",
    arith.RemUIOp: "urem",
    arith.DivSIOp: "sdiv",
    arith.RemSIOp: "srem",
    arith.AndIOp: "and",
    arith.OrIOp: "or",
    arith.XOrIOp: "xor",
    arith.ShLIOp: "shl",
    arith.ShRSIOp: "ashr",
    arith.ShRUIOp: "lshr",
    arith.AddfOp: "fadd",
    arith.SubfOp: "fsub",
    arith.MulfOp: "fmul",
    arith.DivfOp: "fdiv",
}
_INTRINSICS: dict[type[Operation], str] = {
    arith.MaxSIOp: "smax",
    arith.MinSIOp: "smin",
    arith.MaxUIOp: "umax",
    arith.MinUIOp: "umin",
    arith.MaximumfOp: "maximum",
    arith.MinimumfOp: "minimum",
    math.RoundEvenOp: "roundeven",
    math.ExpOp: "exp",
    math.LogOp: "log",
    math.PowFOp: "pow",
    math.SqrtOp: "sqrt",
    math.TanhOp: "tanh",
    math.FmaOp: "fma",
}
_LIBRARY: dict[type[Operation], str] = {math.ErfOp: "erff"}
"""Functions of the C library that LLVM has no intrinsic for."""

_CASTS: dict[type[Operation], str] = {
    arith.ExtSIOp: "sext",
    arith.ExtUIOp: "zext",
    arith.TruncIOp: "trunc",
    arith.SIToFPOp: "sitofp",
    arith.UIToFPOp: "uitofp",
    arith.FPToSIOp: "fptosi",
    arith.BitcastOp: "bitcast",
}
_INTEGER_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_FLOAT_PREDICATES = (
    *("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord"),
    *("ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"),
)
_ALIGNMENT = 64
"""Bytes to which every buffer is aligned."""


@dataclass
class _Module:
    """What the functions of one module share."""

    levels: tuple[Level, ...]
    known: Mapping[str, Template]
    declarations: dict[str, None] = field(default_factory=dict)
    metadata: list[str] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)

    def declare(self, text: str) -> None:
        self.declarations[f"declare {text}"] = None

    def template(self, name: str) -> Template:
        """A template that is called, defined on the way."""
        template = self.known[name] if name in self.known else named(name)
        if name not in self.templates:
            declarations, self.templates[name] = template.define(self.levels)
            self.declarations.update(dict.fromkeys(declarations))
        return template

    def node(self, text: str) -> str:
        """A metadata node; ``SELF`` in its text is the node itself."""
        name = f"!{len(self.metadata)}"
        self.metadata.append(f"{name} = {text.replace('SELF', name)}")
        return name


def scalar_type(type_: Attribute) -> str:
    """The LLVM type of a scalar, or of a vector of them."""
    if isinstance(type_, VectorType):
        return f"<{type_.get_shape()[0]} x {scalar_type(type_.element_type)}>"
    if isinstance(type_, IndexType):
        return "i64"
    if isinstance(type_, Float32Type):
        return "float"
    assert isinstance(type_, IntegerType), type_
    return f"i{type_.width.data}"


def _suffix(type_: Attribute) -> str:
    """How a type is written in an intrinsic's name."""
    return "f32" if isinstance(type_, Float32Type) else scalar_type(type_)


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

    def __init__(self, module: _Module) -> None:
        self.lines: list[str] = []
        self._module = module
        self._access = ""
        self._names: dict[SSAValue, str] = {}
        self._count = 0
        self._block = "entry"
        self._lanes = 1
        self._steps: Mapping[SSAValue, int] = {}
        self._splats: dict[SSAValue, str] = {}
        self._wide: set[SSAValue] = set()
        self._rules: dict[type[Operation], Callable[..., None]] = {
            arith.ConstantOp: self._constant,
            arith.CmpiOp: self._compare_integers,
            arith.CmpfOp: self._compare_floats,
            arith.SelectOp: self._select,
            memref.LoadOp: self._load,
            memref.StoreOp: self._store,
            vector.LoadOp: self._load_vector,
            vector.StoreOp: self._store_vector,
            memref.AllocaOp: self._alloca,
            memref.AllocOp: self._alloc,
            memref.DeallocOp: self._dealloc,
            arith.IndexCastOp: self._index_cast,
            scf.ForOp: self._for,
            scf.IfOp: self._if,
            memref.CastOp: self._cast,
            CallOp: self._call,
        }

    def fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def bind(self, value: SSAValue, name: str) -> None:
        self._names[value] = name

    def name(self, value: SSAValue) -> str:
        """A value as the operation at hand wants it: scalars are spread over a vector operation's lanes."""
        if self._lanes == 1 or value in self._wide:
            return self._names[value]
        if value not in self._splats:
            self._splats[value] = self._splat(value)
        return self._splats[value]

    def type_of(self, value: SSAValue) -> str:
        """The type of an operand or result of the operation at hand."""
        kind = scalar_type(value.type)
        return kind if self._lanes == 1 else f"<{self._lanes} x {kind}>"

    def typed(self, value: SSAValue) -> str:
        return f"{self.type_of(value)} {self.name(value)}"

    def _splat(self, value: SSAValue) -> str:
        kind, lanes = scalar_type(value.type), self._lanes
        wide, mask = f"<{lanes} x {kind}>", f"<{lanes} x i32> zeroinitializer"
        single, name = self.fresh("%s"), self.fresh("%s")
        self.lines.append(f"  {single} = insertelement {wide} poison, {kind} {self._names[value]}, i32 0")
        self.lines.append(f"  {name} = shufflevector {wide} {single}, {wide} poison, {mask}")
        if step := self._steps.get(value, 0):
            counts = ", ".join(f"{kind} {lane * step}" for lane in range(lanes))
            first, name = name, self.fresh("%s")
            self.lines.append(f"  {name} = add {wide} {first}, <{counts}>")
        return name

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
            self.assign(op.results[0], f"{_BINARY[kind]}{_flags(op)} {self.typed(a)}, {self.name(b)}")
        elif kind in _INTRINSICS or kind in _LIBRARY:
            scalar, lanes = self.type_of(op.results[0]), f"v{self._lanes}" if self._lanes > 1 else ""
            suffix = f"{lanes}{_suffix(op.results[0].type)}"
            name = _LIBRARY[kind] if kind in _LIBRARY else f"llvm.{_INTRINSICS[kind]}.{suffix}"
            self._module.declare(f"{scalar} @{name}({', '.join(scalar for _ in op.operands)})")
            self.assign(op.results[0], f"call {scalar} @{name}({', '.join(map(self.typed, op.operands))})")
        else:
            target = self.type_of(op.results[0])
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
        # One address for all lanes.
        subscripts = "".join(f", {scalar_type(i.type)} {self._names[i]}" for i in indices)
        kind, base = _array_type(buffer.type), self._names[buffer]
        self.lines.append(f"  {name} = getelementptr inbounds {kind}, ptr {base}, i64 0{subscripts}")
        return name

    def _load(self, op: memref.LoadOp) -> None:
        address = self._address(op.memref, op.indices)
        self.assign(op.res, f"load {self.type_of(op.res)}, ptr {address}{self._aligned(op.res)}{self._access}")

    def _store(self, op: memref.StoreOp) -> None:
        address, value = self._address(op.memref, op.indices), self.typed(op.value)
        self.lines.append(f"  store {value}, ptr {address}{self._aligned(op.value)}{self._access}")

    def _aligned(self, value: SSAValue) -> str:
        """Vectors begin at any element."""
        return "" if self._lanes == 1 else f", align {_element_bytes(value.type)}"

    def _load_vector(self, op: vector.LoadOp) -> None:
        address = self._address(op.base, op.indices)
        self.assign(op.result, f"load {scalar_type(op.result.type)}, ptr {address}, align 1{self._access}")

    def _store_vector(self, op: vector.StoreOp) -> None:
        address = self._address(op.base, op.indices)
        self.lines.append(f"  store {self.typed(op.vector)}, ptr {address}, align 1{self._access}")

    def _alloca(self, op: memref.AllocaOp) -> None:
        assert isinstance(op.memref.type, MemRefType)
        self.assign(op.memref, f"alloca {_array_type(op.memref.type)}, align {_ALIGNMENT}")

    def _alloc(self, op: memref.AllocOp) -> None:
        assert isinstance(op.memref.type, MemRefType)
        size = -(-_bytes(op.memref.type) // _ALIGNMENT) * _ALIGNMENT
        # size_t is as wide as a pointer on every CPU, and passed alike; the text is for CPUs of 32 bits, too.
        self._module.declare("noalias ptr @aligned_alloc(ptr, ptr)")
        alignment, amount = (f"ptr inttoptr (i64 {number} to ptr)" for number in (_ALIGNMENT, size))
        self.assign(op.memref, f"call noalias align {_ALIGNMENT} ptr @aligned_alloc({alignment}, {amount})")

    def _dealloc(self, op: memref.DeallocOp) -> None:
        self._module.declare("void @free(ptr)")
        self.lines.append(f"  call void @free(ptr {self.name(op.memref)})")

    def _index_cast(self, op: arith.IndexCastOp) -> None:
        source, target = scalar_type(op.input.type), scalar_type(op.result.type)
        if source == target:
            self.bind(op.result, self.name(op.input))
        else:
            cast = "sext" if int(target[1:]) > int(source[1:]) else "trunc"
            self.assign(op.result, f"{cast} {self.typed(op.input)} to {self.type_of(op.result)}")

    def _cast(self, op: memref.CastOp) -> None:
        self.bind(op.dest, self.name(op.source))

    def _call(self, op: CallOp) -> None:
        """A template: each memref comes with the position in it that the pointer is of."""
        name, operands, passed = op.callee.string_value(), iter(op.arguments), []
        for kind, _ in self._module.template(name).parameters:
            operand = next(operands)
            if kind == "ptr":
                assert isinstance(operand.type, UnrankedMemRefType)
                unit, place = scalar_type(operand.type.element_type), self.fresh("%p")
                at = self.typed(next(operands))
                self.lines.append(f"  {place} = getelementptr inbounds {unit}, ptr {self.name(operand)}, {at}")
                passed.append(f"ptr {place}")
            else:
                passed.append(self.typed(operand))
        self.lines.append(f'  call void @"{name}"({", ".join(passed)})')

    def _if(self, op: scf.IfOp) -> None:
        assert not op.results
        assert not op.false_region.blocks
        then, after = self.fresh("then"), self.fresh("after")
        self.lines.append(f"  br i1 {self.name(op.cond)}, label %{then}, label %{after}")
        self._label(then)
        self.block(op.true_region.block)
        self.lines.append(f"  br label %{after}")
        self._label(after)

    def _loop_metadata(self, kind: str) -> str:
        """The node of a loop, and what its memory accesses carry from here on."""
        if kind == "unroll":
            full = self._module.node('!{!"llvm.loop.unroll.full"}')
            return self._module.node(f"distinct !{{SELF, {full}}}")
        assert kind == "vectorize", kind
        group = self._module.node("distinct !{}")
        enable = self._module.node('!{!"llvm.loop.vectorize.enable", i1 true}')
        accesses = self._module.node(f'!{{!"llvm.loop.parallel_accesses", {group}}}')
        self._access = f", !llvm.access.group {group}"
        return self._module.node(f"distinct !{{SELF, {enable}, {accesses}}}")

    def _label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self._block = name

    def _vectors(self, op: scf.ForOp, plan: VectorLoop) -> None:
        """A loop on vectors: one over the whole ones, then what is left."""
        counter = op.body.block.args[0]
        for begin, end, lanes in plan.pieces():
            if begin + lanes == end:
                self.bind(counter, str(begin))
                self._lanewise(op.body.block, plan, lanes)
                continue
            body, after, following, before = self.fresh("body"), self.fresh("after"), self.fresh("%v"), self._block
            self.lines.append(f"  br label %{body}")
            self._label(body)
            self.bind(counter, self.fresh("%v"))
            at = self.name(counter)
            self.lines.append(f"  {at} = phi i64 [ {begin}, %{before} ], [ {following}, %{body} ]")
            self._lanewise(op.body.block, plan, lanes)
            self.lines.append(f"  {following} = add nuw nsw i64 {at}, {lanes}")
            more = self.fresh("%c")
            self.lines.append(f"  {more} = icmp slt i64 {following}, {end}")
            self.lines.append(f"  br i1 {more}, label %{body}, label %{after}")
            self._label(after)

    def _lanewise(self, block: Block, plan: VectorLoop, lanes: int) -> None:
        """The body once, for as many iterations as there are lanes."""
        self._steps, self._splats, self._wide = plan.steps, {}, set()
        for op in block.ops:
            if isinstance(op, scf.YieldOp):
                continue
            if not op.results or op.results[0] not in plan.steps:
                self._wide.update(op.results)
                self._lanes = lanes
            self._operation(op)
            self._lanes = 1

    def _for(self, op: scf.ForOp) -> None:
        if op.attributes.get(LOOP_KIND) == StringAttr("vectorize") and (plan := vector_loop(op)) is not None:
            self._vectors(op, plan)
            return
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
        kind = op.attributes.get(LOOP_KIND)
        assert kind is None or isinstance(kind, StringAttr)
        metadata = f", !llvm.loop {self._loop_metadata(kind.data)}" if kind is not None else ""
        self.block(op.body.block)
        if metadata:
            self._access = ""
        following = self.fresh("%v")
        self.lines.append(f"  {following} = add nsw {self.typed(counter)}, {self.name(op.step)}")
        latch = self._block
        self.lines.append(f"  br label %{head}{metadata}")
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


def _element_bytes(type_: Attribute) -> int:
    width = type_.width.data if isinstance(type_, IntegerType) else 64 if isinstance(type_, IndexType) else 32
    return -(-width // 8)


def _bytes(type_: MemRefType) -> int:
    return prod(type_.get_shape()) * _element_bytes(type_.element_type)


def _flags(op: Operation) -> str:
    """What a float operation permits: nothing, unless it says that its product may be fused with a sum."""
    return " contract" if op.properties.get("fastmath") == CONTRACT else ""


def _function(function: FuncOp, module: _Module) -> str:
    """An internal function whose buffers do not overlap, and ``void name(ptr buffers, indices…)`` that calls it."""
    name, arguments = function.sym_name.data, function.body.block.args
    lowering = _Lowering(module)
    loads, parameters, entry, passed, buffers = [], [], ["ptr %buffers"], [], 0
    for k, argument in enumerate(arguments):
        if isinstance(argument.type, MemRefType):
            lowering.bind(argument, f"%b{k}")
            parameters.append(f"ptr noalias align {_ALIGNMENT} %b{k}")
            loads.append(f"  %a{k} = getelementptr inbounds ptr, ptr %buffers, i64 {buffers}")
            loads.append(f"  %b{k} = load ptr, ptr %a{k}")
            passed.append(f"ptr %b{k}")
            buffers += 1
        else:
            lowering.bind(argument, f"%x{k}")
            parameters.append(f"{scalar_type(argument.type)} %x{k}")
            entry.append(f"{scalar_type(argument.type)} %x{k}")
            passed.append(f"{scalar_type(argument.type)} %x{k}")
    lowering.block(function.body.block)
    return "\n".join(
        [
            f"define internal void @{name}.body({', '.join(parameters)}) alwaysinline nounwind {{",
            "entry:",
            *lowering.lines,
            "  ret void",
            "}",
            "",
            f"define void @{name}({', '.join(entry)}) nounwind {{",
            "entry:",
            *loads,
            f"  call void @{name}.body({', '.join(passed)})",
            "  ret void",
            "}",
        ]
    )


_OTHERS = (
    *(arith.ConstantOp, arith.CmpiOp, arith.CmpfOp, arith.SelectOp, arith.IndexCastOp),
    *(memref.LoadOp, memref.StoreOp, memref.AllocaOp, memref.AllocOp, memref.DeallocOp, memref.CastOp),
    *(vector.LoadOp, vector.StoreOp, scf.ForOp, scf.IfOp, scf.YieldOp, CallOp, FuncOp, ReturnOp),
)


def check_lowerable(function: FuncOp) -> None:
    """Refuse what somebody wrote and there is no code for.

    Raises
    ------
    CompileError
        If an operation or a type is none that `lower` knows, or a call is of no template.
    """
    known, name = {*_BINARY, *_INTRINSICS, *_LIBRARY, *_CASTS, *_OTHERS}, function.sym_name.data
    for op in function.walk():
        if type(op) not in known:
            raise CompileError(
                f"@{name} has {op.name}, which host code does not know; use what weft opt --passes lower-host writes"
            )
        if isinstance(op, scf.IfOp) and (op.results or op.false_region.blocks):
            raise CompileError(f"@{name} has scf.if with results or else; use arith.select, or two scf.if")
        if isinstance(op, CallOp) and not is_named(op.callee.string_value()):
            raise CompileError(f"@{name} calls @{op.callee.string_value()}, no kernel of the host's; write it out")
        for value in (*op.operands, *op.results):
            if not _has_code(value.type):
                raise CompileError(
                    f"@{name}: {op.name} has {value.type}, which host code does not know; use index, f32, integers of "
                    "up to 64 bits, and buffers of a fixed shape of them"
                )


def _has_code(type_: Attribute) -> bool:
    match type_:
        case MemRefType():
            plain = isinstance(type_.layout, NoneAttr) and all(size >= 0 for size in type_.get_shape())
            return plain and _has_code(type_.element_type)
        case UnrankedMemRefType() | VectorType():
            return _has_code(type_.element_type)
        case IntegerType():
            return type_.width.data <= 64 and type_.signedness.data == Signedness.SIGNLESS
        case _:
            return isinstance(type_, IndexType | Float32Type)


def lower(
    functions: Sequence[FuncOp], target: Target | None = None, templates: Mapping[str, Template] | None = None
) -> str:
    """The text of a module that defines ``void f(void** buffers)`` for each function.

    Parameters of type index follow the buffers as 64-bit integers. Every buffer must be aligned to 64 bytes and overlap
    no other.

    Parameters
    ----------
    target : Target, optional
        What templates are written for; for any CPU if left out.
    templates : mapping, optional
        What functions call by name beside the `named` ones.
    """
    module = _Module(target.levels if target else (GENERIC,), templates or {})
    texts = [_function(function, module) for function in functions]
    return "\n".join([*module.declarations, "", *module.templates.values(), *texts, "", *module.metadata, ""])
