"""Small `qgraph` functions and their outline, for goldens of passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft_compiler.dialects import qgraph
from weft_compiler.passes.plan_memory import main_function
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass

Emit = Callable[[Operation], SSAValue]


def function(types: Sequence[TensorType], body: Callable[..., SSAValue]) -> ModuleOp:
    """``body(emit, *arguments)`` returns the result; ``emit`` appends an operation."""
    block = Block(arg_types=types)

    def emit(op: Operation) -> SSAValue:
        block.add_op(qgraph.describe(op, f"layer{len(block.ops)}", "Test"))
        return op.results[0]

    result = body(emit, *block.args)
    block.add_op(ReturnOp(result))

    def names(stem: str, count: int) -> ArrayAttr[DictionaryAttr]:
        return ArrayAttr([DictionaryAttr({"name": StringAttr(f"{stem}{k}")}) for k in range(count)])

    kind = FunctionType.from_lists(list(types), [result.type])
    made = FuncOp("main", kind, Region(block), arg_attrs=names("x", len(types)), res_attrs=names("y", 1))
    return ModuleOp([made])


def apply(step: ModulePass, module: ModuleOp) -> ModuleOp:
    """Run one pass, verified before and after."""
    module.verify()
    step.apply(Context(), module)
    module.verify()
    return module


def outline(module: ModuleOp) -> list[str]:
    """One line an operation: ``v2 = relu(v1)``; arguments are a0, a1 …, constants are left out."""
    block = main_function(module).body.block
    names: dict[SSAValue, str] = {argument: f"a{k}" for k, argument in enumerate(block.args)}
    lines = []
    for op in block.ops:
        if isinstance(op, qgraph.ConstantOp):
            names[op.y] = "const"
            continue
        operands = ", ".join(names[value] for value in op.operands)
        if isinstance(op, ReturnOp):
            lines.append(f"return {operands}")
            continue
        names[op.results[0]] = f"v{len(lines)}"
        lines.append(f"v{len(lines)} = {op.name.removeprefix('qgraph.')}({operands})")
    return lines
