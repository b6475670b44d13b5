"""Tensor functions of the host become loops over memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects import te
from ..dialects.calls import as_host_function, find, signature_of
from ..host.calls import declarations
from ..te.nest_ir import nest_of
from ..te.to_ir import host_function


@dataclass(frozen=True)
class LowerHost(ModulePass):
    """``te.func`` on the host to ``func.func`` over scf, arith and memref, whose buffers are inputs, then outputs.

    Loops keep how they run, parallel ones run one after another; intrinsics become calls of templates, which are
    declared. Tensor functions of the accelerator are left alone. What is compiled without this pass is the same.

    Raises
    ------
    CompileError
        If a function cannot be lowered.
    """

    name: ClassVar[str] = "lower-host"
    config: AcceleratorConfig

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in list(op.body.block.ops):
            if isinstance(function, te.FuncOp) and function.target.data == te.HOST:
                self._lower(op, function)

    def _lower(self, module: ModuleOp, function: te.FuncOp) -> None:
        signature = signature_of(function)
        assert signature is not None
        made = as_host_function(host_function(nest_of(function, self.config), function.sym_name.data), *signature)
        Rewriter.insert_op(made, InsertPoint.before(function))
        Rewriter.erase_op(function)
        for declared in declarations([made]):
            if not isinstance(find(module, declared.sym_name.data), FuncOp):
                module.body.block.add_op(declared)
