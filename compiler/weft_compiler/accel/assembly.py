"""Programs as functions of the `accel` dialect, and back to bytes.

From a stream, addresses count from its tensors; from bytes, from the base registers. Reserved bits are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.disasm import FLAGS
from weft_hardware.encoding import Words, decode, encode, pack_uops, unpack_uops
from weft_hardware.isa import Instruction, Memory, MemoryInstruction, Queue, Set, declared_fields, tile_bytes
from xdsl.dialects.builtin import UnrealizedConversionCastOp
from xdsl.ir import Block, Region, SSAValue

from ..dialects import accel, te
from ..errors import CompileError
from .stream import UOPS, Program, Stream

MOST = 4096
"""Instructions that are written out; larger programs are emitted and never written."""


@dataclass(frozen=True)
class Listed:
    """An instruction with the tensors that its address counts from, by name."""

    instruction: Instruction
    tensor: str | None = None
    relative: str | None = None


def function_of_stream(stream: Stream, name: str, most: int = MOST) -> accel.FuncOp:
    """The program of a loop nest, over the nest's tensors.

    Raises
    ------
    CompileError
        If it has more instructions than ``most``.
    """
    nest, listed = stream.nest, stream.listing()
    assert nest is not None
    if len(listed) > most:
        raise CompileError(
            f"@{name} has {len(listed)} instructions, more than the {most} that are written out; "
            "leave it a tensor function, whose program is emitted in columns"
        )
    block = Block(arg_types=[te.memref_type(buffer.shape, buffer.dtype) for buffer in nest.buffers])
    tensors: dict[str, SSAValue] = {}
    for buffer, argument in zip(nest.buffers, block.args, strict=True):
        if SSAValue.is_valid_name(buffer.name):
            argument.name_hint = buffer.name
        tensors[buffer.name] = argument
    encoded = stream.kernels.encoded()
    if len(encoded):
        uops = micro_ops(encoded, stream.config)
        block.add_op(uops)
        tensors[UOPS] = uops.y
    write(block, [Listed(i, t, r) for i, t, r in listed], tensors)
    return accel.FuncOp(name, len(nest.outputs), accel.config_attribute(stream.config), Region(block))


def function_of_words(words: Words, config: AcceleratorConfig, name: str) -> accel.FuncOp:
    """An encoded program, addresses as they are.

    Raises
    ------
    CompileError
        If an instruction takes a token that none gives.
    """
    block = Block()
    write(block, [Listed(instruction) for instruction in decode(words, config)], {})
    return accel.FuncOp(name, 0, accel.config_attribute(config), Region(block))


def micro_ops(encoded: NDArray, config: AcceleratorConfig) -> accel.MicroOpsOp:
    """Encoded micro-ops as an operation."""
    columns = unpack_uops(encoded, config)
    op = accel.MicroOpsOp(columns["dst"].tolist(), columns["src"].tolist(), columns["wgt"].tolist())
    op.y.name_hint = "uops"
    return op


def write(block: Block, program: Sequence[Listed], tensors: Mapping[str, SSAValue]) -> None:
    """Append a program's instructions, their tokens as values.

    The k-th token that is taken between two queues is the k-th that is given, which may stand further down: the queues
    run beside each other.

    Raises
    ------
    CompileError
        If one takes a token that none gives.
    """
    given = _tokens(program, FLAGS[2:])
    promised = {
        channel: [UnrealizedConversionCastOp.get([], [accel.TokenType.between(*channel)]).outputs[0] for _ in who]
        for channel, who in given.items()
    }
    waits: dict[int, list[SSAValue]] = {}
    for channel, takers in _tokens(program, FLAGS[:2]).items():
        tokens = promised.get(channel, [])
        if len(takers) > len(tokens):
            index = takers[len(tokens)]
            raise CompileError(
                f"instruction {index} ({program[index].instruction.OPCODE.name}) takes token {len(tokens) + 1} of "
                f"{channel[0].name.lower()}, which gives {len(tokens)}: it would wait for ever"
            )
        for index, token in zip(takers, tokens, strict=False):
            waits.setdefault(index, []).append(token)
    real: dict[SSAValue, SSAValue] = {}
    next_token = {channel: iter(tokens) for channel, tokens in promised.items()}
    for index, listed in enumerate(program):
        instruction = listed.instruction
        gives = [_neighbour(index, instruction, flag) for flag in FLAGS[2:] if getattr(instruction, flag)]
        op = accel.OPERATIONS[type(instruction)](
            _fields(instruction),
            [real.get(token, token) for token in waits.get(index, [])],
            gives,
            tensors[listed.tensor] if listed.tensor is not None else None,
            tensors[listed.relative] if listed.relative is not None else None,
        )
        block.add_op(op)
        for target, token in zip(gives, op.gives, strict=True):
            promise = next(next_token[instruction.queue, target])
            promise.replace_all_uses_with(token)
            real[promise] = token


def _tokens(program: Sequence[Listed], flags: Sequence[str]) -> dict[tuple[Queue, Queue], list[int]]:
    """Who has one of the flags, by where the token goes from and to."""
    found: dict[tuple[Queue, Queue], list[int]] = {}
    for index, listed in enumerate(program):
        for flag in flags:
            if getattr(listed.instruction, flag):
                mine, other = listed.instruction.queue, _neighbour(index, listed.instruction, flag)
                found.setdefault((other, mine) if flag.startswith("pop") else (mine, other), []).append(index)
    return found


def _fields(instruction: Instruction) -> dict[str, int]:
    """What is not at its default, the subject always."""
    defaults = {name: getattr(type(instruction), name, None) for name in declared_fields(type(instruction))}
    values = {name: getattr(instruction, name) for name in defaults if name not in FLAGS}
    return {n: int(v) for n, v in values.items() if n in accel.SUBJECTS or v != defaults[n]}


def _neighbour(index: int, instruction: Instruction, flag: str) -> Queue:
    number = instruction.queue + (1 if flag.endswith("next") else -1)
    if number not in tuple(Queue):
        raise CompileError(
            f"instruction {index} ({instruction.OPCODE.name}) has {flag} set, and its queue has no such neighbour"
        )
    return Queue(number)


def program_of(
    function: accel.FuncOp, config: AcceleratorConfig, places: Sequence[int] = (), uop_offset: int = 0
) -> Program:
    """The bytes of an accelerator function.

    Parameters
    ----------
    places : sequence of int
        Byte offset of each argument from the base registers, which are all equal.
    uop_offset : int
        That of the micro-ops.

    Raises
    ------
    CompileError
        If it was written for another configuration, has no FINISH, or an offset is no whole number of tiles.
    """
    if accel.config_of(function.config) != config:
        raise CompileError(
            f"@{function.sym_name.data} is a program for the configuration {function.config}, which is another one; "
            "compile for that"
        )
    instructions = function.instructions()
    if not any(isinstance(op, accel.FinishOp) for op in instructions):
        raise CompileError(f"@{function.sym_name.data} never comes to its end; append accel.finish")
    uops = function.micro_ops()
    offsets: dict[SSAValue, int] = dict(zip(function.body.block.args, places, strict=True))
    if uops is not None:
        offsets[uops.y] = uop_offset
    columns = dict.fromkeys(accel.UOP_FIELDS, ()) if uops is None else uops.columns()
    encoded = pack_uops(config, **columns)
    return Program(encode([_placed(op, offsets, config) for op in instructions], config), encoded)


def _placed(op: accel.InstructionOp, offsets: Mapping[SSAValue, int], config: AcceleratorConfig) -> Instruction:
    """An instruction with its tensors where they lie."""
    instruction = op.instruction()
    if op.tensor is None:
        return instruction
    if isinstance(instruction, MemoryInstruction):
        memory = Memory(instruction.memory)
        return replace(instruction, dram=instruction.dram + _first_tile(offsets[op.tensor], memory, config))
    if isinstance(instruction, Set) and op.relative is not None:
        first, source = (_first_tile(offsets[t], Memory.ACC_8BIT, config) for t in (op.tensor, op.relative))
        return replace(instruction, value=instruction.value + source - first & 0xFFFFFFFF)
    raise CompileError(f"{op.name} takes no tensor; leave it out")


def _first_tile(offset: int, memory: Memory, config: AcceleratorConfig) -> int:
    size = tile_bytes(memory, config)
    if offset % size:
        raise CompileError(f"byte {offset} is no multiple of the {size}-byte tiles of {memory.name}; align the tensor")
    return offset // size
