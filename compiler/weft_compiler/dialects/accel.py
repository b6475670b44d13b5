"""`accel`: programs of the accelerator, an operation for each instruction, dependency tokens as values.

A token goes from the instruction that pushes it to the one that pops it: it is used exactly once, between neighbouring
queues, and those of a pair of queues in the order in which they were pushed. The queues run beside each other, so a
token may be taken further up than it is given. Instructions and their fields are `weft_hardware.isa`'s; a field that is
not written is at its default. `accel.assembly` converts from and to bytes.

This is a view for reading and writing single programs. The compiler emits in columns (`accel.stream`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from enum import IntEnum
from math import prod
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from weft_hardware import isa
from weft_hardware.config import AcceleratorConfig
from weft_hardware.disasm import FLAGS
from weft_hardware.errors import ConfigError
from weft_hardware.isa import (
    AluOp,
    Instruction,
    Load,
    Memory,
    MemoryInstruction,
    MicroOp,
    Queue,
    SetRegister,
    declared_fields,
    illegal_reason,
    tile_bytes,
    value_limits,
)
from weft_hardware.presets import PRESETS
from xdsl.dialects.builtin import (
    DenseArrayBase,
    DictionaryAttr,
    IntegerAttr,
    MemRefType,
    StringAttr,
    SymbolNameConstraint,
    i64,
)
from xdsl.ir import Attribute, Dialect, Operation, ParametrizedAttribute, Region, SSAValue, TypeAttribute
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    opt_operand_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from .signature import parse_signature, print_signature
from .te import dtype_of, scope_of

SUBJECTS: Mapping[str, type[IntEnum]] = {"memory": Memory, "alu_op": AluOp, "register": SetRegister}
"""The field that is written by name, right behind the operation's."""

UOP_FIELDS = tuple(declared_fields(MicroOp))
"""What a micro-op is written as, in this order."""

_QUEUES = {queue.name.lower(): queue for queue in Queue}


@irdl_attr_definition
class TokenType(ParametrizedAttribute, TypeAttribute):
    """A dependency token from one queue to its neighbour."""

    name = "accel.token"
    source: StringAttr
    target: StringAttr

    @classmethod
    def between(cls, source: Queue, target: Queue) -> TokenType:
        return cls(StringAttr(source.name.lower()), StringAttr(target.name.lower()))

    @property
    def channel(self) -> tuple[Queue, Queue]:
        return _QUEUES[self.source.data], _QUEUES[self.target.data]

    def verify(self) -> None:
        for name in (self.source.data, self.target.data):
            if name not in _QUEUES:
                raise VerifyException(f"queue {name!r} is none of {', '.join(_QUEUES)}")
        source, target = self.channel
        if abs(source - target) != 1:
            raise VerifyException(f"{source.name.lower()} and {target.name.lower()} are no neighbours: no token goes")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            source = parser.parse_identifier()
            parser.parse_punctuation(",")
            return StringAttr(source), StringAttr(parser.parse_identifier())

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(f"{self.source.data}, {self.target.data}")


@irdl_attr_definition
class MicroOpsType(ParametrizedAttribute, TypeAttribute):
    """Micro-ops in DRAM."""

    name = "accel.micro_ops"


@irdl_op_definition
class MicroOpsOp(IRDLOperation):
    """The micro-ops of a program, as they lie in DRAM: the columns ``dst``, ``src`` and ``wgt``."""

    name = "accel.uops"
    dst = prop_def(DenseArrayBase)
    src = prop_def(DenseArrayBase)
    wgt = prop_def(DenseArrayBase)
    y = result_def(MicroOpsType)

    def __init__(self, dst: Sequence[int], src: Sequence[int], wgt: Sequence[int]):
        columns = dict(zip(UOP_FIELDS, (dst, src, wgt), strict=True))
        super().__init__(
            properties={name: DenseArrayBase.from_list(i64, [int(v) for v in c]) for name, c in columns.items()},
            result_types=[MicroOpsType()],
        )

    def print(self, printer: Printer) -> None:
        rows = zip(*self.columns().values(), strict=True)
        printer.print_string(" " + ", ".join(f"[{dst}, {src}, {wgt}]" for dst, src, wgt in rows))

    @classmethod
    def parse(cls, parser: Parser) -> MicroOpsOp:
        def number() -> int:
            return parser.parse_integer(allow_boolean=False, allow_negative=False)

        def row() -> list[int]:
            begin = parser.pos
            numbers = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, number)
            if len(numbers) != len(UOP_FIELDS):
                parser.raise_error(f"a micro-op is {', '.join(UOP_FIELDS)}; {len(numbers)} numbers are written", begin)
            return numbers

        rows = parser.parse_comma_separated_list(parser.Delimiter.NONE, row)
        return cls(*zip(*rows, strict=True))

    def columns(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(map(int, getattr(self, name).get_values())) for name in UOP_FIELDS}


class InstructionOp(IRDLOperation):
    """One instruction.

    Parameters
    ----------
    fields : dict
        Those that are not at their default, but the dependency flags.
    tensor : memref or micro-ops, optional
        What the field ``dram`` (of SET RESIDUAL: ``value``) counts from; the base register without.
    relative : memref, optional
        Of SET RESIDUAL: the tensor whose distance from ``tensor`` is added to ``value``.
    waits : variadic of token
        What it takes.
    gives : variadic of token
        What it gives when it is done.
    """

    INSTRUCTION: ClassVar[type[Instruction]]

    fields = prop_def(DictionaryAttr)
    tensor = opt_operand_def(MemRefType | MicroOpsType)
    relative = opt_operand_def(MemRefType)
    waits = var_operand_def(TokenType)
    gives = var_result_def(TokenType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(
        self,
        fields: Mapping[str, int],
        waits: Sequence[SSAValue] = (),
        gives: Sequence[Queue] = (),
        tensor: SSAValue | None = None,
        relative: SSAValue | None = None,
    ):
        values = {name: IntegerAttr(int(value), i64) for name, value in fields.items()}
        queue = self._queue(fields)
        super().__init__(
            operands=[tensor, relative, list(waits)],
            properties={"fields": DictionaryAttr(values)},
            result_types=[[TokenType.between(queue, target) for target in gives]],
        )

    @classmethod
    def _queue(cls, fields: Mapping[str, int]) -> Queue:
        subject: dict[str, Any] = {
            name: fields.get(name, 0) for name in SUBJECTS if name in declared_fields(cls.INSTRUCTION)
        }
        return cls.INSTRUCTION(**subject).queue

    def values(self) -> dict[str, int]:
        return {name: value.value.data for name, value in self.fields.data.items()}  # type: ignore[attr-defined]

    @property
    def queue(self) -> Queue:
        return self._queue(self.values())

    def instruction(self) -> Instruction:
        """The instruction, its ``dram`` as written."""
        declared = declared_fields(self.INSTRUCTION)
        values: dict[str, Any] = {n: bool(v) if declared[n].width == 1 else v for n, v in self.values().items()}
        queue = self.queue
        for what, tokens, end in (("pop", self.waits, 0), ("push", self.gives, 1)):
            for token in tokens:
                assert isinstance(token.type, TokenType)
                values[f"{what}_{'next' if token.type.channel[end] > queue else 'prev'}"] = True
        return self.INSTRUCTION(**values)

    def verify_(self) -> None:
        declared = declared_fields(self.INSTRUCTION)
        for name in self.fields.data:
            if name not in declared or name in FLAGS:
                known = ", ".join(known for known in declared if known not in FLAGS)
                raise VerifyException(f"{self.name} has no field {name!r}; its fields are {known}")
        for subject in SUBJECTS:
            if subject in declared and subject not in self.fields.data:
                raise VerifyException(f"{self.name} has no {subject}; write its name")
        for what, tokens, end in (("takes", self.waits, 1), ("gives", self.gives, 0)):
            channels = [token.type.channel for token in tokens if isinstance(token.type, TokenType)]
            for channel in channels:
                if channel[end] is not self.queue:
                    raise VerifyException(
                        f"{self.name} runs in the {self.queue.name.lower()} queue and {what} a token "
                        f"from {channel[0].name.lower()} to {channel[1].name.lower()}"
                    )
            if len(set(channels)) != len(channels):
                raise VerifyException(f"{self.name} {what} two tokens of one pair of queues; an instruction has one")

    def print(self, printer: Printer) -> None:
        values = self.values()
        for name, names in SUBJECTS.items():
            if name in values:
                value = values.pop(name)
                printer.print_string(f" {names(value).name if value in tuple(names) else value}")
        if values:
            text = ", ".join(f"{name} = {value}" for name, value in values.items())
            printer.print_string(f" {{{text}}}")
        for word, value in (("of", self.tensor), ("from", self.relative)):
            if value is not None:
                printer.print_string(f" {word} ")
                printer.print_ssa_value(value)
                printer.print_string(" : ")
                printer.print_attribute(value.type)
        if self.waits:
            printer.print_string(" waits ")
            printer.print_list(self.waits, printer.print_ssa_value)
            printer.print_string(" : ")
            printer.print_list(self.waits, lambda token: printer.print_attribute(token.type))
        if self.gives:
            printer.print_string(" gives ")
            targets = [token.type.target.data for token in self.gives if isinstance(token.type, TokenType)]
            printer.print_string(", ".join(targets))

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        fields: dict[str, int] = {}
        for name, names in SUBJECTS.items():
            if name in declared_fields(cls.INSTRUCTION):
                number = parser.parse_optional_integer(allow_boolean=False, allow_negative=False)
                if number is None:
                    number = names[parser.parse_keyword_in(names.__members__, f", a {name}")].value
                fields[name] = number
        parser.parse_optional_comma_separated_list(parser.Delimiter.BRACES, lambda: _field(parser, fields))
        operands = [_operand(parser) if parser.parse_optional_keyword(word) else None for word in ("of", "from")]
        waits: Sequence[SSAValue] = ()
        if parser.parse_optional_keyword("waits"):
            tokens = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_unresolved_operand)
            parser.parse_punctuation(":")
            types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
            waits = parser.resolve_operands(tokens, types, parser.pos)
        gives: Sequence[Queue] = ()
        if parser.parse_optional_keyword("gives"):
            gives = parser.parse_comma_separated_list(
                parser.Delimiter.NONE, lambda: _QUEUES[parser.parse_keyword_in(_QUEUES, ", a queue")]
            )
        begin = parser.pos
        if any(abs(target - cls._queue(fields)) != 1 for target in gives):
            queue = cls._queue(fields).name.lower()
            parser.raise_error(f"{cls.name} runs in the {queue} queue and gives a token to no neighbour of it", begin)
        return cls(fields, waits, gives, *operands)


def _field(parser: Parser, fields: dict[str, int]) -> None:
    name = parser.parse_identifier()
    if name in fields:
        parser.raise_error(f"field {name!r} is written twice")
    parser.parse_punctuation("=")
    fields[name] = parser.parse_integer(allow_boolean=False)


def _operand(parser: Parser) -> SSAValue:
    value = parser.parse_unresolved_operand()
    parser.parse_punctuation(":")
    return parser.resolve_operand(value, parser.parse_type())


@irdl_op_definition
class LoadOp(InstructionOp):
    """DRAM to scratchpad."""

    name = "accel.load"
    INSTRUCTION: ClassVar = isa.Load


@irdl_op_definition
class StoreOp(InstructionOp):
    """Scratchpad to DRAM."""

    name = "accel.store"
    INSTRUCTION: ClassVar = isa.Store


@irdl_op_definition
class GemmOp(InstructionOp):
    """Tile products added to accumulators."""

    name = "accel.gemm"
    INSTRUCTION: ClassVar = isa.Gemm


@irdl_op_definition
class GemmOverwriteOp(InstructionOp):
    """Tile products, the first of which overwrite."""

    name = "accel.gemm_overwrite"
    INSTRUCTION: ClassVar = isa.GemmOverwrite


@irdl_op_definition
class AluOperation(InstructionOp):
    """Vector operations on accumulators."""

    name = "accel.alu"
    INSTRUCTION: ClassVar = isa.Alu


@irdl_op_definition
class SetOp(InstructionOp):
    """Write a register of one queue."""

    name = "accel.set"
    INSTRUCTION: ClassVar = isa.Set


@irdl_op_definition
class FinishOp(InstructionOp):
    """End of the program."""

    name = "accel.finish"
    INSTRUCTION: ClassVar = isa.Finish


OPERATIONS: Mapping[type[Instruction], type[InstructionOp]] = {
    op.INSTRUCTION: op for op in (LoadOp, StoreOp, GemmOp, GemmOverwriteOp, AluOperation, SetOp, FinishOp)
}
"""The operation of each instruction."""

Channel: TypeAlias = tuple[Queue, Queue]


def config_attribute(config: AcceleratorConfig) -> Attribute:
    """A preset's name, or the chosen values that are not at their default."""
    for name, preset in PRESETS.items():
        if preset == config:
            return StringAttr(name)
    default = AcceleratorConfig()
    chosen = {f.name: getattr(config, f.name) for f in dataclass_fields(config)}
    return DictionaryAttr({name: IntegerAttr(int(v), i64) for name, v in chosen.items() if v != getattr(default, name)})


def config_of(attribute: Attribute) -> AcceleratorConfig:
    """The configuration that `config_attribute` wrote.

    Raises
    ------
    VerifyException
        If there is none such.
    """
    if isinstance(attribute, StringAttr):
        if attribute.data not in PRESETS:
            raise VerifyException(f"configuration {attribute.data!r} is no preset; choose one of {', '.join(PRESETS)}")
        return PRESETS[attribute.data]
    if not isinstance(attribute, DictionaryAttr):
        raise VerifyException(f"configuration {attribute} is neither a preset's name nor values")
    default = AcceleratorConfig().to_dict()
    values: dict[str, Any] = {}
    for name, value in attribute.data.items():
        if name not in default or not isinstance(value, IntegerAttr):
            raise VerifyException(f"configuration: {name} = {value} is no value of it")
        values[name] = type(default[name])(value.value.data)
    try:
        return AcceleratorConfig(**values)
    except ConfigError as error:
        raise VerifyException(f"configuration: {error}") from None


@irdl_op_definition
class FuncOp(IRDLOperation):
    """An accelerator function: a program over tensors in DRAM, the last ``outputs`` of which it writes."""

    name = "accel.func"
    body = region_def("single_block")
    sym_name = prop_def(SymbolNameConstraint())
    outputs = prop_def(IntegerAttr)
    config = prop_def(StringAttr | DictionaryAttr)

    traits = traits_def(NoTerminator(), IsolatedFromAbove(), SymbolOpInterface())

    def __init__(self, name: str, outputs: int, config: Attribute, body: Region):
        super().__init__(
            properties={"sym_name": StringAttr(name), "outputs": IntegerAttr(outputs, i64), "config": config},
            regions=[body],
        )

    @property
    def inputs(self) -> Sequence[SSAValue]:
        return self.body.block.args[: len(self.body.block.args) - self.outputs.value.data]

    @property
    def results_written(self) -> Sequence[SSAValue]:
        return self.body.block.args[len(self.inputs) :]

    def instructions(self) -> list[InstructionOp]:
        return [op for op in self.body.block.ops if isinstance(op, InstructionOp)]

    def micro_ops(self) -> MicroOpsOp | None:
        return next((op for op in self.body.block.ops if isinstance(op, MicroOpsOp)), None)

    def verify_(self) -> None:
        config = config_of(self.config)
        for argument in self.body.block.args:
            if not isinstance(argument.type, MemRefType) or scope_of(argument.type) != "global":
                raise VerifyException(f"@{self.sym_name.data} has an argument {argument.type}; all are memrefs in DRAM")
        for op in self.body.block.ops:
            if not isinstance(op, InstructionOp | MicroOpsOp):
                raise VerifyException(f"{op.name} is no operation of a program; use those of accel")
        if sum(isinstance(op, MicroOpsOp) for op in self.body.block.ops) > 1:
            raise VerifyException("a program has one accel.uops; join them")
        instructions = self.instructions()
        for index, op in enumerate(instructions):
            for problem in _problems(op, config):
                raise VerifyException(f"@{self.sym_name.data}, instruction {index}: {problem}")
        for problem in token_problems(instructions):
            raise VerifyException(f"@{self.sym_name.data}: {problem}")

    def print(self, printer: Printer) -> None:
        print_signature(printer, self.sym_name.data, self.inputs, self.results_written)
        printer.print_string(" config ")
        printer.print_attribute(self.config)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name, inputs, outputs = parse_signature(parser)
        parser.parse_keyword("config")
        config = parser.parse_attribute()
        return cls(name, len(outputs), config, parser.parse_region([*inputs, *outputs]))


def _problems(op: InstructionOp, config: AcceleratorConfig) -> Iterator[str]:
    """What the accelerator would refuse about one instruction."""
    for name, value in op.values().items():
        bits = declared_fields(op.INSTRUCTION)[name]
        low, high = value_limits(bits.width_for(config), bits.signed)
        if not low <= value <= high:
            yield f"{op.name}: {name} = {value} does not fit its field ({low}..{high})"
    instruction = op.instruction()
    reason = illegal_reason(instruction, config)
    if reason is not None:
        yield f"{op.name}: {reason}"
    elif isinstance(instruction, MemoryInstruction) and op.tensor is not None:
        yield from _outside(op.tensor.type, instruction, config)


def _outside(type_: Attribute, block: MemoryInstruction, config: AcceleratorConfig) -> Iterator[str]:
    """Whether a DMA block leaves its tensor."""
    if isinstance(type_, MicroOpsType):
        if block.memory != Memory.UOP or not isinstance(block, Load):
            yield f"{block.OPCODE.name}.{Memory(block.memory).name} moves no micro-ops"
        return
    assert isinstance(type_, MemRefType)
    nbytes = prod(type_.get_shape()) * np.dtype(dtype_of(type_.element_type)).itemsize
    tiles = nbytes // tile_bytes(Memory(block.memory), config)
    end = block.dram + (block.y_size - 1) * block.x_stride + block.x_size
    if block.x_size and block.y_size and end > tiles:
        yield f"{block.OPCODE.name}: tiles {block.dram}..{end - 1} do not lie in {type_}, which has {tiles}"


def token_problems(instructions: Sequence[InstructionOp]) -> Iterator[str]:
    """What is wrong about the tokens of a program: each is taken once, in the order in which they are given."""
    where = {op: index for index, op in enumerate(instructions)}
    last: dict[Channel, int] = {}
    for index, op in enumerate(instructions):
        for token in op.gives:
            assert isinstance(token.type, TokenType)
            channel = token.type.channel
            what = f"the token that instruction {index} ({op.name}) gives {channel[1].name.lower()}"
            takers = sorted(where[use.operation] for use in token.uses)  # type: ignore[index]
            if not takers:
                yield f"{what} is never taken; let an instruction wait for it, or do not give it"
            elif len(takers) > 1:
                yield f"{what} is taken by instructions {', '.join(map(str, takers))}; a token is taken once"
            elif takers[0] < last.get(channel, -1):
                yield f"{what} is taken before one that was given before it; tokens are taken in their order"
            last[channel] = takers[-1] if takers else last.get(channel, -1)


def all_operations() -> list[type[Operation]]:
    return [FuncOp, MicroOpsOp, *OPERATIONS.values()]


Accel = Dialect("accel", all_operations(), [TokenType, MicroOpsType])
