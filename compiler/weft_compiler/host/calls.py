"""Calls of templates in the IR before LLVM.

For each pointer a memref of any shape and the position in it, in elements, are passed; counts are indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import memref
from xdsl.dialects.builtin import MemRefType, UnrankedMemRefType
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.ir import Operation, SSAValue

from .templates.template import Template


def call(emit: Callable[[Operation], SSAValue], template: Template, operands: Sequence[SSAValue]) -> CallOp:
    """A call, after casts that take away the shapes of buffers."""
    passed = []
    for operand in operands:
        if isinstance(operand.type, MemRefType):
            bare = UnrankedMemRefType.from_type(operand.type.element_type, operand.type.memory_space)
            operand = emit(memref.CastOp.get(operand, bare))
        passed.append(operand)
    return CallOp(template.name, passed, [])


def declarations(functions: Sequence[FuncOp]) -> list[FuncOp]:
    """A private declaration of everything that functions call, as a module wants it."""
    calls = (op for function in functions for op in function.walk() if isinstance(op, CallOp))
    called = {op.callee.string_value(): [operand.type for operand in op.arguments] for op in calls}
    return [FuncOp.external(name, types, []) for name, types in called.items()]
