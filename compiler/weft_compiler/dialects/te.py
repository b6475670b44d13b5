"""`te`: tensor functions, loop nests of scalar statements and hardware intrinsics over memrefs.

The operations are those of `te.nest` and `te.expr`, one for one; `te.nest_ir` converts both ways. Memory spaces say
where a buffer lies, `global` is written as none. A function takes the buffers it reads, then those it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from xdsl.dialects.builtin import (
    DictionaryAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Signedness,
    StringAttr,
    SymbolNameConstraint,
    UnitAttr,
    f32,
    i1,
)
from xdsl.ir import Attribute, Dialect, Region, SSAValue
from xdsl.irdl import (
    AnyAttr,
    AttrSizedOperandSegments,
    IRDLOperation,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from ..te.expr import CALLS, COMPARISONS, INDEX, Binary, Call, Compare, Const, Variable
from ..te.nest import KINDS, SCOPES
from .signature import parse_signature, print_signature

_ELEMENTS: dict[str, Attribute] = {
    "bool": i1,
    "int8": IntegerType(8, Signedness.SIGNED),
    "uint8": IntegerType(8, Signedness.UNSIGNED),
    "int16": IntegerType(16, Signedness.SIGNED),
    "int32": IntegerType(32, Signedness.SIGNED),
    INDEX: IndexType(),
    "float32": f32,
}
_DTYPES = {element: dtype for dtype, element in _ELEMENTS.items()}

index = IndexType()

HOST, ACCELERATOR = "host", "accelerator"
TARGETS = (HOST, ACCELERATOR)
"""Who runs a tensor function."""

ROLES = ("parallel", "reduction", "time")
"""What an axis is to its expression, see `te.expr.Axis`."""


def element_type(dtype: str) -> Attribute:
    """The type of a scalar; int64 is what indexes are."""
    return _ELEMENTS[dtype]


def dtype_of(type_: Attribute) -> str:
    """The numpy name of an element type.

    Raises
    ------
    VerifyException
        If expressions have no such type.
    """
    if type_ not in _DTYPES:
        raise VerifyException(f"{type_} is no element type; use one of {', '.join(map(str, _DTYPES))}")
    return _DTYPES[type_]


def memref_type(shape: Sequence[int], dtype: str, scope: str = "global") -> MemRefType:
    """The type of a buffer."""
    if scope == "global":
        return MemRefType(element_type(dtype), shape)
    return MemRefType(element_type(dtype), shape, memory_space=StringAttr(scope))


def scope_of(type_: MemRefType) -> str:
    """Where a buffer of this type lies."""
    return type_.memory_space.data if isinstance(type_.memory_space, StringAttr) else "global"


def _check_buffer(value: SSAValue, what: str) -> MemRefType:
    type_ = value.type
    if not isinstance(type_, MemRefType):
        raise VerifyException(f"{what} is {type_}, no memref")
    dtype_of(type_.element_type)
    if scope_of(type_) not in SCOPES:
        raise VerifyException(f"{what} lies in {scope_of(type_)!r}; choose one of {', '.join(SCOPES)}")
    return type_


def _check_indices(values: Sequence[SSAValue], what: str) -> None:
    for value in values:
        if value.type != index:
            raise VerifyException(f"{what} is indexed by {value.type}; indices are of type index")


class _Nested(IRDLOperation):
    """An operation with statements inside."""

    body = region_def("single_block")
    traits = traits_def(NoTerminator())


@irdl_op_definition
class FuncOp(IRDLOperation):
    """A tensor function.

    Parameters
    ----------
    outputs : int
        How many arguments, the last ones, it writes.
    target : str
        One of `TARGETS`.
    """

    name = "te.func"
    body = region_def("single_block")
    sym_name = prop_def(SymbolNameConstraint())
    outputs = prop_def(IntegerAttr)
    target = prop_def(StringAttr)

    traits = traits_def(NoTerminator(), IsolatedFromAbove(), SymbolOpInterface())

    def __init__(self, name: str, outputs: int, target: str, body: Region):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "outputs": IntegerAttr(outputs, index),
                "target": StringAttr(target),
            },
            regions=[body],
        )

    @property
    def inputs(self) -> Sequence[SSAValue]:
        return self.body.block.args[: len(self.body.block.args) - self.outputs.value.data]

    @property
    def results_written(self) -> Sequence[SSAValue]:
        return self.body.block.args[len(self.inputs) :]

    def verify_(self) -> None:
        count = self.outputs.value.data
        if not 1 <= count <= len(self.body.block.args):
            raise VerifyException(f"@{self.sym_name.data} writes {count} of {len(self.body.block.args)} arguments")
        for argument in self.body.block.args:
            if scope_of(_check_buffer(argument, "an argument")) != "global":
                raise VerifyException(f"@{self.sym_name.data} has an argument outside DRAM; arguments are global")
        if self.target.data not in TARGETS:
            raise VerifyException(f"target {self.target.data!r} is none of {', '.join(TARGETS)}")

    def print(self, printer: Printer) -> None:
        print_signature(printer, self.sym_name.data, self.inputs, self.results_written)
        printer.print_string(f" on {self.target.data} ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name, inputs, outputs = parse_signature(parser)
        parser.parse_characters("on")
        target = parser.parse_identifier()
        return cls(name, len(outputs), target, parser.parse_region([*inputs, *outputs]))


@irdl_op_definition
class ForOp(_Nested):
    """``for axis in range(extent)``."""

    name = "te.for"
    extent = prop_def(IntegerAttr)
    kind = prop_def(StringAttr)
    role = prop_def(StringAttr)

    def __init__(self, extent: int, kind: str, role: str, body: Region):
        super().__init__(
            properties={"extent": IntegerAttr(extent, index), "kind": StringAttr(kind), "role": StringAttr(role)},
            regions=[body],
        )

    def verify_(self) -> None:
        if self.extent.value.data < 1:
            raise VerifyException(f"a loop of {self.extent.value.data} iterations; it has at least one")
        if self.kind.data not in KINDS:
            raise VerifyException(f"loop kind {self.kind.data!r} is none of {', '.join(KINDS)}")
        if self.role.data not in ROLES:
            raise VerifyException(f"axis role {self.role.data!r} is none of {', '.join(ROLES)}")
        if [argument.type for argument in self.body.block.args] != [index]:
            raise VerifyException("a loop has one argument, its index")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.body.block.args[0])
        kind = "" if self.kind.data == "serial" else f" {self.kind.data}"
        role = "" if self.role.data == "parallel" else f" over {self.role.data}"
        printer.print_string(f" in {self.extent.value.data}{kind}{role} ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        argument = parser.parse_argument(expect_type=False).resolve(index)
        parser.parse_characters("in")
        extent = parser.parse_integer(allow_boolean=False, allow_negative=False)
        kind = parser.parse_optional_keyword_in(KINDS) or "serial"
        role = parser.parse_identifier() if parser.parse_optional_keyword("over") else "parallel"
        return cls(extent, kind, role, parser.parse_region([argument]))


@irdl_op_definition
class AllocateOp(_Nested):
    """A buffer that lives as long as the body; runs of the loop around use its copies, the slots, in turn."""

    name = "te.allocate"
    slots = prop_def(IntegerAttr)

    def __init__(self, slots: int, body: Region):
        super().__init__(properties={"slots": IntegerAttr(slots, index)}, regions=[body])

    def verify_(self) -> None:
        if len(self.body.block.args) != 1:
            raise VerifyException("te.allocate has one argument, its buffer")
        _check_buffer(self.body.block.args[0], "the buffer")
        if self.slots.value.data < 1:
            raise VerifyException(f"{self.slots.value.data} slots; a buffer has at least one")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_block_argument(self.body.block.args[0])
        printer.print_string("" if self.slots.value.data == 1 else f" slots {self.slots.value.data}")
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        argument = parser.parse_argument()
        slots = parser.parse_integer(allow_boolean=False) if parser.parse_optional_keyword("slots") else 1
        return cls(slots, parser.parse_region([argument]))


@irdl_op_definition
class BlockOp(_Nested):
    """Statements that stand as one."""

    name = "te.block"
    assembly_format = "$body attr-dict"

    def __init__(self, body: Region):
        super().__init__(regions=[body])


@irdl_op_definition
class IfOp(_Nested):
    """The body, where the condition holds."""

    name = "te.if"
    condition = operand_def(i1)
    assembly_format = "$condition $body attr-dict"

    def __init__(self, condition: SSAValue, body: Region):
        super().__init__(operands=[condition], regions=[body])


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A number."""

    name = "te.constant"
    value = prop_def(IntegerAttr | FloatAttr)
    y = result_def()

    def __init__(self, value: int | float | bool, dtype: str):
        type_ = element_type(dtype)
        number = FloatAttr(float(np.float32(value)), f32) if dtype == "float32" else IntegerAttr(int(value), type_)  # type: ignore
        super().__init__(properties={"value": number}, result_types=[type_])

    def const(self) -> Const:
        """The expression."""
        dtype = dtype_of(self.y.type)
        value = self.value.value.data
        return Const(bool(value) if dtype == "bool" else value, dtype)

    def print(self, printer: Printer) -> None:
        value = self.const().value
        text = str(np.float32(value)) if isinstance(value, float) else str(int(value))
        if "e" in text and "." not in text:
            text = text.replace("e", ".0e")
        printer.print_string(f" {text} : ")
        printer.print_attribute(self.y.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        sign = -1 if parser.parse_optional_punctuation("-") else 1
        number: int | float | None = parser.parse_optional_number(allow_boolean=False)
        if number is None:
            number = float(parser.parse_keyword_in(("inf", "nan"), ", a number"))
        number *= sign
        parser.parse_punctuation(":")
        dtype = dtype_of(parser.parse_type())
        return cls(float(number) if dtype == "float32" else number, dtype)


@irdl_op_definition
class BinaryOp(IRDLOperation):
    """``a op b``, see `te.expr.Binary`."""

    name = "te.binary"
    T: ClassVar = VarConstraint("T", AnyAttr())
    op = prop_def(StringAttr)
    a = operand_def(T)
    b = operand_def(T)
    y = result_def(T)
    assembly_format = "$op $a `,` $b attr-dict `:` type($a)"

    def __init__(self, op: str, a: SSAValue, b: SSAValue):
        super().__init__(operands=[a, b], properties={"op": StringAttr(op)}, result_types=[a.type])

    OPS: ClassVar = ("add", "sub", "mul", "div", "min", "max", "floordiv", "mod", "shl", "shr", "and", "or")

    def verify_(self) -> None:
        if self.op.data not in self.OPS:
            raise VerifyException(f"operation {self.op.data!r} is none of {', '.join(self.OPS)}")
        b = self.b.owner.const() if isinstance(self.b.owner, ConstantOp) else Variable("b", dtype_of(self.b.type))
        Binary(self.op.data, Variable("a", dtype_of(self.a.type)), b)


@irdl_op_definition
class CompareOp(IRDLOperation):
    """``a op b``, a bool."""

    name = "te.compare"
    T: ClassVar = VarConstraint("T", AnyAttr())
    op = prop_def(StringAttr)
    a = operand_def(T)
    b = operand_def(T)
    y = result_def(i1)
    assembly_format = "$op $a `,` $b attr-dict `:` type($a)"

    def __init__(self, op: str, a: SSAValue, b: SSAValue):
        super().__init__(operands=[a, b], properties={"op": StringAttr(op)}, result_types=[i1])

    def verify_(self) -> None:
        if self.op.data not in COMPARISONS:
            raise VerifyException(f"comparison {self.op.data!r} is none of {', '.join(COMPARISONS)}")
        Compare(self.op.data, Variable("a", dtype_of(self.a.type)), Variable("b", dtype_of(self.b.type)))


@irdl_op_definition
class SelectOp(IRDLOperation):
    """``a`` where the condition holds, otherwise ``b``; what is read in the other of the two need not exist."""

    name = "te.select"
    T: ClassVar = VarConstraint("T", AnyAttr())
    condition = operand_def(i1)
    a = operand_def(T)
    b = operand_def(T)
    y = result_def(T)
    assembly_format = "$condition `,` $a `,` $b attr-dict `:` type($a)"

    def __init__(self, condition: SSAValue, a: SSAValue, b: SSAValue):
        super().__init__(operands=[condition, a, b], result_types=[a.type])

    def verify_(self) -> None:
        dtype_of(self.a.type)


@irdl_op_definition
class CastOp(IRDLOperation):
    """A value in another type; integers wrap."""

    name = "te.cast"
    a = operand_def()
    y = result_def()
    assembly_format = "$a attr-dict `:` type($a) `->` type($y)"

    def __init__(self, a: SSAValue, dtype: str):
        super().__init__(operands=[a], result_types=[element_type(dtype)])

    def verify_(self) -> None:
        dtype_of(self.a.type)
        dtype_of(self.y.type)


@irdl_op_definition
class CallOp(IRDLOperation):
    """A function of `te.expr.CALLS`."""

    name = "te.call"
    function = prop_def(StringAttr)
    args = var_operand_def()
    y = result_def(f32)
    assembly_format = "$function $args attr-dict `:` type($args)"

    def __init__(self, function: str, args: Sequence[SSAValue]):
        super().__init__(operands=[list(args)], properties={"function": StringAttr(function)}, result_types=[f32])

    def verify_(self) -> None:
        if self.function.data not in CALLS:
            raise VerifyException(f"function {self.function.data!r} is none of {', '.join(CALLS)}")
        Call(self.function.data, tuple(Variable("a", dtype_of(a.type)) for a in self.args))


@irdl_op_definition
class LoadOp(IRDLOperation):
    """One element of a buffer."""

    name = "te.load"
    buffer = operand_def(MemRefType)
    indices = var_operand_def(index)
    y = result_def()
    assembly_format = "$buffer `[` $indices `]` attr-dict `:` type($buffer) `->` type($y)"

    def __init__(self, buffer: SSAValue, indices: Sequence[SSAValue]):
        assert isinstance(buffer.type, MemRefType)
        super().__init__(operands=[buffer, list(indices)], result_types=[buffer.type.element_type])

    def verify_(self) -> None:
        type_ = _check_buffer(self.buffer, "the buffer")
        _check_rank(type_, len(self.indices))
        if self.y.type != type_.element_type:
            raise VerifyException(f"an element of {type_} is no {self.y.type}")


@irdl_op_definition
class StoreOp(IRDLOperation):
    """``buffer[indices] = value``; ``reassociable`` is that of `te.nest.Assign`."""

    name = "te.store"
    reassociable = opt_prop_def(UnitAttr)
    value = operand_def()
    buffer = operand_def(MemRefType)
    indices = var_operand_def(index)
    assembly_format = (
        "(`reassociable` $reassociable^)? "
        "$value `,` $buffer `[` $indices `]` attr-dict `:` type($value) `,` type($buffer)"
    )

    def __init__(self, value: SSAValue, buffer: SSAValue, indices: Sequence[SSAValue], reassociable: bool = False):
        properties = {"reassociable": UnitAttr() if reassociable else None}
        super().__init__(operands=[value, buffer, list(indices)], properties=properties)

    def verify_(self) -> None:
        type_ = _check_buffer(self.buffer, "the buffer")
        _check_rank(type_, len(self.indices))
        if self.value.type != type_.element_type:
            raise VerifyException(f"{self.value.type} is no element of {type_}; cast it")


def _check_rank(type_: MemRefType, count: int) -> None:
    if len(type_.get_shape()) != count:
        raise VerifyException(f"{type_} has {len(type_.get_shape())} dimensions, {count} indices are given")


@irdl_op_definition
class InvokeOp(IRDLOperation):
    """One run of a hardware intrinsic on tiles; see `te.nest.Invoke`.

    Parameters
    ----------
    intrinsic, arguments : str, dict
        The function that declares it, and with what; see `accel.intrinsics.table`.
    tiles : variadic
        Each tile's buffer followed by its leading indices: the output's, then the inputs'.
    predicate : i1, optional
        Where it does not hold, the output is filled with ``otherwise``.
    """

    name = "te.invoke"
    intrinsic = prop_def(StringAttr)
    arguments = prop_def(DictionaryAttr)
    fill = prop_def(IntegerAttr)
    otherwise = opt_prop_def(IntegerAttr | FloatAttr)
    tiles = var_operand_def()
    predicate = opt_operand_def(i1)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(
        self,
        intrinsic: str,
        arguments: dict[str, Attribute],
        tiles: Sequence[tuple[SSAValue, Sequence[SSAValue]]],
        *,
        fill: bool = False,
        predicate: SSAValue | None = None,
        otherwise: IntegerAttr | FloatAttr | None = None,
    ):
        flat = [value for buffer, offsets in tiles for value in (buffer, *offsets)]
        properties: dict[str, Any] = {
            "intrinsic": StringAttr(intrinsic),
            "arguments": DictionaryAttr(arguments),
            "fill": IntegerAttr(fill, 1),
            "otherwise": otherwise,
        }
        super().__init__(operands=[flat, predicate], properties=properties)

    def regions_named(self) -> list[tuple[SSAValue, list[SSAValue]]]:
        """Each tile's buffer with its indices."""
        found: list[tuple[SSAValue, list[SSAValue]]] = []
        for value in self.tiles:
            if isinstance(value.type, MemRefType):
                found.append((value, []))
            elif found:
                found[-1][1].append(value)
            else:
                raise VerifyException("the first operand is no buffer")
        return found

    def verify_(self) -> None:
        for buffer, offsets in self.regions_named():
            type_ = _check_buffer(buffer, "a tile's buffer")
            _check_indices(offsets, "a tile")
            if len(offsets) > len(type_.get_shape()):
                raise VerifyException(f"{type_} has {len(type_.get_shape())} dimensions, {len(offsets)} are indexed")
        if (self.predicate is None) != (self.otherwise is None):
            raise VerifyException("padding takes both a condition and a value")

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.intrinsic.data}")
        if self.arguments.data:
            printer.print_string(" ")
            printer.print_attr_dict(self.arguments.data)
        printer.print_string(" fill " if self.fill.value.data else " ")
        printer.print_list(self.regions_named(), lambda tile: _print_tile(printer, *tile))
        if self.predicate is not None and self.otherwise is not None:
            printer.print_string(" where ")
            printer.print_ssa_value(self.predicate)
            printer.print_string(" else ")
            printer.print_attribute(self.otherwise)
        printer.print_string(" : ")
        printer.print_list(self.regions_named(), lambda tile: printer.print_attribute(tile[0].type))

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        intrinsic = parser.parse_identifier()
        arguments = parser.parse_optional_attr_dict()
        fill = parser.parse_optional_keyword("fill") is not None
        tiles = parser.parse_comma_separated_list(parser.Delimiter.NONE, lambda: _parse_tile(parser))
        predicate = otherwise = None
        if parser.parse_optional_keyword("where"):
            predicate = parser.parse_operand(i1)
            parser.parse_keyword("else")
            otherwise = parser.parse_attribute()
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        if len(types) != len(tiles):
            parser.raise_error(f"{len(tiles)} tiles, but {len(types)} types")
        resolved = [(parser.resolve_operand(tile[0], t), tile[1]) for tile, t in zip(tiles, types, strict=True)]
        return cls(intrinsic, arguments, resolved, fill=fill, predicate=predicate, otherwise=otherwise)  # type: ignore


def _print_tile(printer: Printer, buffer: SSAValue, offsets: Sequence[SSAValue]) -> None:
    printer.print_ssa_value(buffer)
    with printer.in_square_brackets():
        printer.print_list(offsets, printer.print_ssa_value)


def _parse_tile(parser: Parser) -> tuple[UnresolvedOperand, Sequence[SSAValue]]:
    buffer = parser.parse_unresolved_operand()
    return buffer, parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parser.parse_operand(index))


Te = Dialect(
    "te",
    [
        FuncOp,
        ForOp,
        AllocateOp,
        BlockOp,
        IfOp,
        ConstantOp,
        BinaryOp,
        CompareOp,
        SelectOp,
        CastOp,
        CallOp,
        LoadOp,
        StoreOp,
        InvokeOp,
    ],
)
