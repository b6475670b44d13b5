"""Give every tensor its place in the device's or the host's region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_runtime.module_model import Buffer
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, UnitAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import BlockArgument, Operation, OpResult, SSAValue
from xdsl.passes import ModulePass

from ..dialects import qgraph
from ..dialects.calls import CallOp, find
from ..errors import CompileError
from ..memory import Lifetime, alignment_of, place_lifetimes

PLACE = "buffer"
"""The attribute that holds a result's place."""

BESIDE = "beside"
"""The attribute of host operations that may run while the launch before them does."""

REGION_BYTES = "region_bytes"
"""The function's attribute that holds the size of each region."""


def nbytes_of(value: SSAValue) -> int:
    """Bytes of a tensor."""
    return int(np.prod(qgraph.shape_of(value))) * qgraph.dtype_of(value).itemsize


def storage_of(value: SSAValue) -> SSAValue:
    """The value whose buffer a value shares: reshapes are views."""
    while isinstance(value.owner, qgraph.ReshapeOp):
        value = value.owner.x
    return value


def region_of(value: SSAValue) -> str:
    """``device`` for what the accelerator reads or writes."""
    users = [value.owner, *users_of(value)]
    return "device" if any(isinstance(op, Operation) and runs_on_accelerator(op) for op in users) else "host"


def users_of(value: SSAValue) -> Iterator[Operation]:
    """What reads a value or a view of it."""
    for use in value.uses:
        if isinstance(use.operation, qgraph.ReshapeOp):
            yield from users_of(use.operation.y)
        else:
            yield use.operation


def runs_on_accelerator(op: Operation) -> bool:
    """Whether the accelerator reads and writes an operation's tensors itself."""
    if isinstance(op, CallOp):
        return op.attributes.get("placement") == StringAttr("accelerator")
    return isinstance(op, qgraph.ACCELERATED)


def main_function(module: ModuleOp) -> FuncOp:
    """The module's graph function ``@main``.

    Raises
    ------
    CompileError
        If there is none.
    """
    function = find(module, "main")
    if not isinstance(function, FuncOp) or function.is_declaration:
        raise CompileError("the module has no graph function @main; name the function to compile so")
    return function


def place_of(value: SSAValue) -> Buffer:
    """The buffer that the pass gave a value."""
    value = storage_of(value)
    if isinstance(value, BlockArgument):
        function = value.block.parent_op()
        assert isinstance(function, FuncOp)
        assert function.arg_attrs is not None
        attribute = function.arg_attrs.data[value.index].data.get(PLACE)
    else:
        assert isinstance(value.owner, Operation)
        attribute = value.owner.attributes.get(_place_name(value))
    if attribute is None:
        raise CompileError("a tensor has no place in memory; run the pass plan-memory before")
    assert isinstance(attribute, DictionaryAttr)
    region, offset = attribute.data["region"], attribute.data["offset"]
    return Buffer(region.data, offset.value.data, nbytes_of(value))  # type: ignore[attr-defined]


def _place_name(value: SSAValue) -> str:
    """The attribute that holds the place of one of an operation's results."""
    assert isinstance(value, OpResult)
    return PLACE if value.index == 0 else f"{PLACE}{value.index}"


def _place_attribute(region: str, offset: int) -> DictionaryAttr:
    return DictionaryAttr({"region": StringAttr(region), "offset": qgraph.integer(offset)})


def _stored_values(function: FuncOp) -> Iterator[SSAValue]:
    yield from function.body.block.args
    for op in function.body.block.ops:
        yield from (result for result in op.results if storage_of(result) is result)


def _beside(function: FuncOp) -> dict[Operation, Operation]:
    """Host operations that wait for nothing of the launch before them, and that launch's first operation."""
    found: dict[Operation, Operation] = {}
    launch: list[Operation] = []
    launching = False
    for op in function.body.block.ops:
        if isinstance(op, qgraph.ConstantOp | qgraph.ReshapeOp | ReturnOp):
            continue
        if runs_on_accelerator(op):
            launch = [*launch, op] if launching else [op]
            launching = True
            continue
        launching = False
        if isinstance(op, CallOp) or any(storage_of(operand).owner in launch for operand in op.operands):
            launch = []
        elif launch:
            found[op] = launch[0]
    return found


def _lifetimes(function: FuncOp) -> dict[SSAValue, Lifetime]:
    """From the step that writes a value to the last that reads it or a view of it; arguments are there from step 0.

    What a step beside a launch writes is there as long as that launch.
    """
    order = {op: k for k, op in enumerate(function.body.block.ops, start=1)}
    begins = {**order, **{op: order[launch] for op, launch in _beside(function).items()}}

    def at(value: SSAValue, steps: Mapping[Operation, int]) -> int:
        return steps[value.owner] if isinstance(value.owner, Operation) else 0

    values = list(_stored_values(function))
    first, last = ({value: at(value, steps) for value in values} for steps in (begins, order))
    for op, step in order.items():
        for operand in op.operands:
            value = storage_of(operand)
            last[value] = max(last[value], step)
    return {value: Lifetime(nbytes_of(value), first[value], last[value]) for value in first}


@dataclass(frozen=True)
class PlanMemory(ModulePass):
    """Set the attribute ``buffer`` of every result and argument, and the regions' sizes on the function.

    Host operations that may run beside the launch before them get the attribute ``beside``, and memory of their own for
    as long as that runs.

    Constants come first and keep their place; other tensors share memory where their lifetimes do not meet.
    """

    name: ClassVar[str] = "plan-memory"
    config: AcceleratorConfig

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        function = main_function(op)
        for step in _beside(function):
            step.attributes[BESIDE] = UnitAttr()
        lifetimes = _lifetimes(function)
        forever = Lifetime(0, 0, len(lifetimes) + len(function.body.block.ops) + 1)
        sizes = {}
        for region in ("device", "host"):
            values = [value for value in lifetimes if region_of(value) == region]
            constants = [v for v in values if isinstance(v.owner, qgraph.ConstantOp)]
            others = [v for v in values if not isinstance(v.owner, qgraph.ConstantOp)]
            alignment = alignment_of(self.config)
            kept = [Lifetime(nbytes_of(v), forever.first, forever.last) for v in constants]
            offsets, end = place_lifetimes(kept, alignment)
            shared, end = place_lifetimes([lifetimes[v] for v in others], alignment, end)
            sizes[region] = qgraph.integer(end)
            for value, offset in zip([*constants, *others], [*offsets, *shared], strict=True):
                self._set(function, value, _place_attribute(region, offset))
        function.attributes[REGION_BYTES] = DictionaryAttr(sizes)

    @staticmethod
    def _set(function: FuncOp, value: SSAValue, place: DictionaryAttr) -> None:
        if isinstance(value, BlockArgument):
            assert function.arg_attrs is not None
            attributes = list(function.arg_attrs.data)
            attributes[value.index] = DictionaryAttr({**attributes[value.index].data, PLACE: place})
            function.properties["arg_attrs"] = ArrayAttr(attributes)
        else:
            assert isinstance(value.owner, Operation)
            assert not isinstance(value.owner, ReturnOp)
            value.owner.attributes[_place_name(value)] = place
