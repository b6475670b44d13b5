"""What runs where and why, node by node, before anything is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr
from xdsl.ir import Operation

from .accel.plain import without_extensions
from .dialects import qgraph
from .onnx_import import import_onnx
from .passes.place import Place
from .pipeline import passes_for

FOLDED = "its neighbours do its work"


@dataclass(frozen=True)
class Placement:
    """One node of a network.

    Parameters
    ----------
    node, op : str
        Its name and operator.
    where : str
        ``accelerator``, ``host``, or ``folded`` where nothing is left of it.
    reason : str
        Why it is not, or not all, on the accelerator.
    macs : int
        Its multiply-accumulates.
    """

    node: str
    op: str
    where: str
    reason: str
    macs: int


def placement(
    source: str | Path | bytes, config: AcceleratorConfig, *, batch: int = 1, extensions: bool = True
) -> list[Placement]:
    """The placement of every node, in the order of the model.

    Parameters
    ----------
    extensions : bool
        Whether programs may use more than the base instruction set.

    Raises
    ------
    CompileError
        As `compile_model`.
    """
    module = import_onnx(source, batch=batch)
    nodes = {qgraph.layer_of(op): qgraph.onnx_op_of(op) for op in _operations(module)}
    context = Context()
    for step in passes_for(config if extensions else without_extensions(config)):
        step.apply(context, module)
        if isinstance(step, Place):
            break
    left: dict[str, list[Operation]] = {}
    for op in _operations(module):
        left.setdefault(qgraph.layer_of(op), []).append(op)
    return [_row(node, op, left.get(node, [])) for node, op in nodes.items()]


def _operations(module: ModuleOp) -> Iterator[Operation]:
    """What nodes became; constants are not among it."""
    for op in module.walk():
        if op.name.startswith("qgraph.") and not isinstance(op, qgraph.ConstantOp):
            yield op


def _row(node: str, onnx_op: str, operations: list[Operation]) -> Placement:
    if not operations:
        return Placement(node, onnx_op, "folded", FOLDED, 0)
    where = {_text(op, "placement") for op in operations}
    reasons = dict.fromkeys(reason for op in operations if (reason := _text(op, "reason")))
    macs = sum(op.attributes["macs"].value.data for op in operations if isinstance(op.attributes["macs"], IntegerAttr))
    return Placement(node, onnx_op, "accelerator" if "accelerator" in where else "host", "; ".join(reasons), macs)


def _text(op: Operation, name: str) -> str:
    attribute = op.attributes[name]
    assert isinstance(attribute, StringAttr)
    return attribute.data
