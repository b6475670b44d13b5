"""Programs as text: one line an instruction or micro-op, illegal ones shown as such."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum, IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import AcceleratorConfig
from .encoding import Words, decode, opcodes, unpack_uops
from .isa import (
    QUEUE_REGISTERS,
    AluOp,
    Instruction,
    Memory,
    Opcode,
    OverwriteMask,
    Queue,
    Set,
    SetRegister,
    StoreMode,
    illegal_reason,
)

FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")

_NAMED: dict[str, type[IntEnum]] = {"memory": Memory, "alu_op": AluOp, "register": SetRegister}
"""Fields that are shown by name, right behind the mnemonic."""


def disassemble(words: Words, config: AcceleratorConfig) -> Iterator[str]:
    """One line an instruction: index, mnemonic, the fields that are not at their default, tokens taken and given.

    Nothing fails: an instruction that the hardware refuses is shown with the reason behind a semicolon.

    Parameters
    ----------
    words : uint64 array (n, instruction_bits / 64)
        See `weft_hardware.encoding.as_words`.
    """
    known = np.isin(opcodes(words), tuple(Opcode))
    legal = iter(decode(words[known], config))
    for index, is_known in enumerate(known):
        text = instruction_text(next(legal), config) if is_known else _unknown_text(words[index])
        yield f"{index:6}  {text}"


def instruction_text(instruction: Instruction, config: AcceleratorConfig) -> str:
    """One instruction, without its index."""
    parts = [f"{instruction.OPCODE.name:6}", *_named_fields(instruction), *_plain_fields(instruction)]
    parts += token_words(instruction)
    reason = illegal_reason(instruction, config)
    text = " ".join(parts).rstrip()
    return f"{text}  ; illegal: {reason}" if reason else text


def token_words(instruction: Instruction) -> list[str]:
    """The dependency flags, as ``pop(load)`` or ``push(store)``; a neighbour that does not exist is ``none``."""
    return [
        f"{flag.split('_')[0]}({_neighbour(instruction.queue, flag)})" for flag in FLAGS if getattr(instruction, flag)
    ]


def disassemble_uops(encoded: NDArray[Any], config: AcceleratorConfig) -> Iterator[str]:
    """One line a micro-op: index, ``dst``, ``src``, ``wgt``."""
    columns = unpack_uops(encoded, config)
    for index, (dst, src, wgt) in enumerate(zip(columns["dst"], columns["src"], columns["wgt"], strict=True)):
        yield f"{index:6}  dst={dst} src={src} wgt={wgt}"


def _named_fields(instruction: Instruction) -> Iterator[str]:
    for name, names in _NAMED.items():
        value = getattr(instruction, name, None)
        if value is not None:
            yield names(value).name if value in tuple(names) else f"{name}={value}"


def _plain_fields(instruction: Instruction) -> Iterator[str]:
    if isinstance(instruction, Set):
        yield f"value={_held(instruction)}"
        return
    for field in fields(instruction):
        value = getattr(instruction, field.name)
        if field.name in _NAMED or field.name in FLAGS or value == field.default:
            continue
        if field.name == "mode":
            if getattr(instruction, "memory", None) == Memory.ACC_8BIT:
                yield f"mode={_flag_names(StoreMode(value))}"
            continue  # reserved bits elsewhere, which VTA's compilers do not clear
        yield field.name if value is True else f"{field.name}={value}"


def _flag_names(flags: IntFlag) -> str:
    return "|".join(str(member.name) for member in type(flags) if member & flags) or "0"


def _held(instruction: Set) -> str:
    """What the register holds after SET, in the way its number is meant."""
    if instruction.register not in tuple(SetRegister):
        return str(instruction.value)
    register = SetRegister(instruction.register)
    declared = QUEUE_REGISTERS[register]
    value = declared.value(instruction.value)
    if register == SetRegister.OVERWRITE:
        return _flag_names(OverwriteMask(value))
    exponent = value >> 23 & 0xFF
    if declared.is_float and (exponent not in (0, 0xFF) or value == 0):
        return str(np.uint32(value).view(np.float32))
    return f"{value:#x}" if declared.is_float else str(value)


def _neighbour(queue: Queue, flag: str) -> str:
    index = queue + (1 if flag.endswith("next") else -1)
    return Queue(index).name.lower() if index in tuple(Queue) else "none"


def _unknown_text(row: NDArray[np.uint64]) -> str:
    opcode = int(opcodes(row[None])[0])
    value = "".join(f"{int(word):016x}" for word in row[::-1])
    return f"?      0x{value}  ; illegal: opcode {opcode} is no instruction"
