"""What the accelerator computes becomes tensor functions, to be looked at and changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter

from ..accel.stream import Stream
from ..dialects import qgraph
from ..dialects.calls import CallOp, find, signature_of
from ..errors import CompileError
from ..tasks import AcceleratedOp, stream_of, tensors_of
from ..te.nest_ir import function_of
from .plan_memory import PLACE, main_function

_NAME = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True)
class OutlineKernels(ModulePass):
    """An operation laid out for the accelerator to ``weft.call`` of a ``te.func``: the loops of its schedule.

    It comes behind pack-layout; equal operations share a function. What is compiled without this pass is the same.

    Raises
    ------
    CompileError
        If memory is planned already.
    """

    name: ClassVar[str] = "outline-kernels"
    config: AcceleratorConfig

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        known: dict[int, tuple[Stream, str]] = {}
        for inner in list(main_function(op).body.block.ops):
            if isinstance(inner, qgraph.ACCELERATED):
                if PLACE in inner.attributes:
                    raise CompileError("memory is planned already; run the pass outline-kernels before plan-memory")
                stream = stream_of(inner, self.config)
                if id(stream) not in known:
                    known[id(stream)] = stream, _define(op, inner, stream)
                _replace(op, inner, *known[id(stream)])


def _define(module: ModuleOp, op: Operation, stream: Stream) -> str:
    """The name of a new function with the loops of a stream."""
    assert stream.nest is not None
    wanted = _NAME.sub("_", qgraph.layer_of(op))
    name, count = wanted, 1
    while find(module, name) is not None:
        name, count = f"{wanted}_{count}", count + 1
    module.body.block.add_op(function_of(stream.nest, name))
    return name


def _replace(module: ModuleOp, op: AcceleratedOp, stream: Stream, name: str) -> None:
    assert stream.nest is not None
    function = find(module, name)
    signature = None if function is None else signature_of(function)
    assert signature is not None
    taken, given = signature
    tensors, rewriter = tensors_of(op), PatternRewriter(op)

    def shaped(value: SSAValue, type_: object) -> SSAValue:
        """A view of another shape, where the loops count other dimensions than the tensor has."""
        if value.type == type_:
            return value
        view = qgraph.ReshapeOp(value, type_.get_shape())  # type: ignore[attr-defined]
        view.attributes.update(op.attributes)
        rewriter.insert(view)
        return view.y

    inputs = [shaped(tensors[b.name], type_) for b, type_ in zip(stream.nest.inputs, taken, strict=True)]
    call = CallOp(name, inputs, given)
    call.attributes.update(op.attributes)
    rewriter.insert(call)
    rewriter.replace(op, [], [shaped(call.outputs[0], op.y.type)])
