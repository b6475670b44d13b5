"""Tensor functions of the accelerator become programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..accel.assembly import MOST, function_of_stream
from ..accel.lower import lower_nest
from ..dialects import te
from ..te.nest_ir import nest_of


@dataclass(frozen=True)
class LowerAccel(ModulePass):
    """``te.func`` on the accelerator to ``accel.func``: instructions, their tokens as values.

    Tensor functions of the host are left alone. What is compiled without this pass is the same program, emitted in
    columns: the pass is there to look at it, and to change it by hand.

    Parameters
    ----------
    most : int
        Instructions of one function.

    Raises
    ------
    CompileError
        If a function cannot be lowered, or has more instructions.
    """

    name: ClassVar[str] = "lower-accel"
    config: AcceleratorConfig
    most: int = MOST

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in list(op.body.block.ops):
            if isinstance(function, te.FuncOp) and function.target.data == te.ACCELERATOR:
                stream = lower_nest(nest_of(function, self.config), self.config)
                made = function_of_stream(stream, function.sym_name.data, self.most)
                Rewriter.insert_op(made, InsertPoint.before(function))
                Rewriter.erase_op(function)
