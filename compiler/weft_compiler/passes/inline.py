"""Graph functions that are called become part of their caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.passes import ModulePass

from ..dialects import qgraph
from ..dialects.calls import CallOp, callee_of, is_graph_function
from ..errors import CompileError
from .plan_memory import main_function


@dataclass(frozen=True)
class Inline(ModulePass):
    """``weft.call`` of a graph function to its operations; their layers are named behind the call's.

    Calls of tensor, accelerator, host and external functions are left alone. Graph functions other than ``@main`` are
    gone afterwards.

    Raises
    ------
    CompileError
        If a function calls itself, or is only declared.
    """

    name: ClassVar[str] = "inline"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = main_function(op)
        _check_recursion(main, ())
        while (call := _next_call(main)) is not None:
            function = callee_of(call)
            assert is_graph_function(function)
            _inline(call, function)
        for function in [f for f in op.body.block.ops if is_graph_function(f) and f is not main]:
            if function.is_declaration:
                continue  # of what host functions call
            function.detach()
            function.erase()


def _next_call(main: FuncOp) -> CallOp | None:
    calls = (op for op in main.body.block.ops if isinstance(op, CallOp))
    return next((call for call in calls if is_graph_function(callee_of(call))), None)


def _check_recursion(function: FuncOp, callers: tuple[FuncOp, ...]) -> None:
    if function in callers or function.is_declaration:
        rule = "is only declared" if function.is_declaration else "calls itself"
        raise CompileError(f"graph function @{function.sym_name.data} {rule}; write out what it computes")
    for call in function.walk():
        if isinstance(call, CallOp) and is_graph_function(callee := callee_of(call)):
            _check_recursion(callee, (*callers, function))


def _inline(call: CallOp, function: FuncOp) -> None:
    block = function.clone().body.block
    for argument, value in zip(block.args, call.inputs, strict=True):
        argument.replace_all_uses_with(value)
    parent = call.parent
    assert parent is not None
    prefix = qgraph.layer_of(call) if "layer" in call.attributes else function.sym_name.data
    for inner in list(block.ops):
        inner.detach()
        if isinstance(inner, ReturnOp):
            for result, value in zip(call.outputs, inner.operands, strict=True):
                result.replace_all_uses_with(value)
            inner.drop_all_references()
        else:
            inner.attributes["layer"] = StringAttr(f"{prefix}.{qgraph.layer_of(inner)}")
            parent.insert_op_before(inner, call)
    call.detach()
    call.erase()
