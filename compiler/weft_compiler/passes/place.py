"""Decide for every operation whether the accelerator or the host computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from ..accelerated import Mapped, accelerate, useful_macs
from ..accelerated_pools import accelerate_pool
from ..accelerated_products import Product, accelerate_product
from ..accelerated_sums import accelerate_sum
from ..dialects import floats, movement, qgraph, quantised, te
from ..dialects.calls import CallOp, ExternalOp, callee_of, is_host_function

_REASONS: dict[type[Operation], str] = {
    qgraph.QuantizeOp: "floating point is the host's work",
    qgraph.DequantizeOp: "floating point is the host's work",
    qgraph.ReluOp: "floating point is the host's work",
    qgraph.ClipOp: "floating point is the host's work",
    **dict.fromkeys(
        (
            *(floats.UnaryOp, floats.BinaryOp, floats.ReduceOp, floats.MatMulOp, floats.SoftmaxOp, floats.NormalizeOp),
            *(floats.AveragePoolOp, floats.GlobalAveragePoolOp, floats.RecurrentOp),
        ),
        "floating point is the host's work",
    ),
    **dict.fromkeys(
        (qgraph.ConvOp, qgraph.DenseOp, floats.ConvTransposeOp),
        "it computes on floats: it needs a dequantised input, constant dequantised weights and a quantised output",
    ),
    quantised.QMulOp: "products of 8-bit tensors are the host's work",
    quantised.QAveragePoolOp: "averages of 8-bit tensors are the host's work, which sums them as floats",
    quantised.QSoftmaxOp: "exponentials are the host's work",
    quantised.ConvIntegerOp: "its sums leave whole; requantise them to 8 bits",
    **dict.fromkeys(
        (movement.ConcatOp, movement.SliceOp, movement.GatherOp, movement.PadOp, movement.BroadcastOp),
        "it moves data only",
    ),
    qgraph.ClampOp: "it stands alone, with no convolution before it to take it",
    qgraph.TransposeOp: "it moves data only",
    qgraph.ReshapeOp: "it is a view and costs nothing",
}


def _reason_of_call(function: Operation) -> str:
    if isinstance(function, ExternalOp):
        return "external functions are the host's work"
    if isinstance(function, te.FuncOp) and function.target.data == te.HOST:
        return "its tensor function is the host's"
    if is_host_function(function):
        return "its function is the host's"
    return ""


def is_placed(op: Operation) -> bool:
    """Whether the accelerator computes an operation."""
    return op.attributes.get("placement") == StringAttr("accelerator")


@dataclass(frozen=True)
class Place(ModulePass):
    """Set ``placement`` (``accelerator`` or ``host``), ``reason`` and ``macs`` on every operation but constants."""

    name: ClassVar[str] = "place"
    config: AcceleratorConfig

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for inner in op.walk():
            reason = self._reason(inner)
            if reason is None:
                continue
            inner.attributes["placement"] = StringAttr("host" if reason else "accelerator")
            inner.attributes["reason"] = StringAttr(reason)
            if not isinstance(inner, CallOp):  # whose program says it, or who has it from the operation before
                inner.attributes["macs"] = qgraph.integer(useful_macs(inner))

    def _reason(self, op: Operation) -> str | None:
        """Why the host computes an operation; empty where the accelerator does, None where there is nothing to do."""
        mapped: object
        if isinstance(op, Mapped):
            mapped = accelerate(op, self.config)
        elif isinstance(op, Product):
            mapped = accelerate_product(op, self.config)
        elif isinstance(op, quantised.QAddOp):
            mapped = accelerate_sum(op, self.config)
        elif isinstance(op, quantised.LookupOp):
            mapped = _obstacle_to_table(op, self.config)
        elif isinstance(op, qgraph.MaxPoolOp | quantised.QGlobalAveragePoolOp):
            mapped = accelerate_pool(op, self.config)
        elif isinstance(op, CallOp):
            mapped = _reason_of_call(callee_of(op))
        else:
            return _REASONS.get(type(op))
        return mapped if isinstance(mapped, str) else ""


def _obstacle_to_table(op: quantised.LookupOp, config: AcceleratorConfig) -> str | None:
    """Why no convolution can look its results up on their way out."""
    if not (config.epilogue_lanes and config.table):
        return "the accelerator has no table (table = false)"
    source = op.x.owner
    able = isinstance(source, qgraph.QConvOp | qgraph.QDenseOp | quantised.QAddOp) and is_placed(source)
    if not able or not op.x.has_one_use():
        return "it stands alone: no convolution on the accelerator gives what it alone reads"
    return None
