"""Amaranth layouts of instructions and micro-ops, derived from `weft_hardware.isa`."""

from __future__ import annotations

from amaranth.hdl import Shape
from amaranth.lib import data

from ..config import AcceleratorConfig
from ..isa import OPCODE_BITS, FieldPosition, Instruction, MicroOp, instruction_bits, layout, uop_bits


def _field(position: FieldPosition) -> data.Field:
    return data.Field(Shape(position.width, signed=position.bits.signed), position.offset)


def instruction_layout(cls: type[Instruction], config: AcceleratorConfig) -> data.FlexibleLayout:
    """The fields of one instruction class, ``opcode`` among them, at their place in the instruction word."""
    members = {name: _field(position) for name, position in layout(cls, config).items()}
    members["opcode"] = data.Field(OPCODE_BITS, 0)
    return data.FlexibleLayout(instruction_bits(config), members)


def uop_layout(config: AcceleratorConfig) -> data.FlexibleLayout:
    """The fields of a micro-op at their place in its word."""
    members = {name: _field(position) for name, position in layout(MicroOp, config).items()}
    return data.FlexibleLayout(uop_bits(config), members)
