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
from ..dialects import floats, movement, qgraph, quantised, te
from ..dialects.calls import CallOp, ExternalOp, callee_of

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
    quantised.QAddOp: "sums of 8-bit tensors are the host's work",
    quantised.QMulOp: "products of 8-bit tensors are the host's work",
    quantised.LookupOp: "it stands alone, with no operation of the accelerator before it to take it",
    quantised.QGlobalAveragePoolOp: "averages of 8-bit tensors are the host's work",
    quantised.QAveragePoolOp: "averages of 8-bit tensors are the host's work, which sums them as floats",
    quantised.QSoftmaxOp: "exponentials are the host's work",
    quantised.QMatMulOp: "both its factors are computed at run time",
    **dict.fromkeys(
        (quantised.ConvIntegerOp, quantised.MatMulIntegerOp), "its sums leave whole; requantise them to 8 bits"
    ),
    **dict.fromkeys(
        (movement.ConcatOp, movement.SliceOp, movement.GatherOp, movement.PadOp, movement.BroadcastOp),
        "it moves data only",
    ),
    qgraph.ClampOp: "it stands alone, with no convolution before it to take it",
    qgraph.MaxPoolOp: "pooling of 8-bit tensors is the host's work",
    qgraph.TransposeOp: "it moves data only",
    qgraph.ReshapeOp: "it is a view and costs nothing",
}


def _reason_of_call(function: Operation) -> str:
    if isinstance(function, ExternalOp):
        return "external functions are the host's work"
    if isinstance(function, te.FuncOp) and function.target.data == te.HOST:
        return "its tensor function is the host's"
    return ""


@dataclass(frozen=True)
class Place(ModulePass):
    """Set ``placement`` (``accelerator`` or ``host``), ``reason`` and ``macs`` on every operation but constants."""

    name: ClassVar[str] = "place"
    config: AcceleratorConfig

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for inner in op.walk():
            if isinstance(inner, Mapped):
                mapped = accelerate(inner, self.config)
                reason = mapped if isinstance(mapped, str) else ""
            elif isinstance(inner, CallOp):
                reason = _reason_of_call(callee_of(inner))
            elif type(inner) in _REASONS:
                reason = _REASONS[type(inner)]
            else:
                continue
            inner.attributes["placement"] = StringAttr("host" if reason else "accelerator")
            inner.attributes["reason"] = StringAttr(reason)
            inner.attributes["macs"] = qgraph.integer(useful_macs(inner))
