"""The state of a schedule, as values: stages, the relations between their axes, where each runs.

A primitive makes a new state of an old one; nothing here changes in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from ..errors import ScheduleError
from .expr import Axis, Combiner, Expr, Read, Reduce
from .intrinsic import Intrinsic
from .rewrite import reads
from .tensor import Tensor, dependencies


@dataclass(frozen=True)
class Split:
    """``parent = outer · extent(inner) + inner``, by the extent of the inner axis or the number of outer parts."""

    parent: Axis
    outer: Axis
    inner: Axis
    factor: int | None
    nparts: int | None

    def inner_extent(self, parent: int) -> int:
        """Iterations of the inner axis for so many of the parent."""
        wanted = self.factor if self.factor is not None else -(-parent // (self.nparts or 1))
        return min(wanted, parent)


@dataclass(frozen=True)
class Fuse:
    """``fused = outer · extent(inner) + inner``."""

    outer: Axis
    inner: Axis
    fused: Axis


Relation: TypeAlias = Split | Fuse


@dataclass(frozen=True)
class Attachment:
    """A stage runs inside the loop over one axis of another."""

    tensor: Tensor
    axis: Axis


@dataclass(frozen=True, kw_only=True)
class StageState:
    """One tensor's computation.

    Parameters
    ----------
    axes : tuple of Axis
        One for each dimension.
    value : Expr
        One element; what it reads are tensors of other stages, inputs, or (in a recurrence) the tensor itself.
    relations : tuple
        What became of the axes, in order.
    leaves : tuple of Axis
        The loops, outermost first.
    marks : mapping
        Kind of loop of the leaves that are not serial.
    slots : int
        2 if double buffered.
    packing : tuple of (int, int)
        Dimensions of the tensor that its buffer holds in tiles, and how many elements each: the place in the tile comes
        last, in this order.
    tensorized : (Axis, Intrinsic), optional
        From which leaf on an intrinsic does the work.
    initial : Intrinsic, optional
        The one that does it at time 0, in a recurrence.
    """

    tensor: Tensor
    axes: tuple[Axis, ...]
    value: Expr
    leaves: tuple[Axis, ...]
    relations: tuple[Relation, ...] = ()
    marks: Mapping[Axis, str] = field(default_factory=lambda: MappingProxyType({}))
    attachment: Attachment | None = None
    scope: str = "global"
    slots: int = 1
    packing: tuple[tuple[int, int], ...] = ()
    tensorized: tuple[Axis, Intrinsic] | None = None
    initial: Intrinsic | None = None

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def reduction(self) -> tuple[Axis, ...]:
        return self.value.axes if isinstance(self.value, Reduce) else ()

    @property
    def combiner(self) -> Combiner | None:
        return self.value.combiner if isinstance(self.value, Reduce) else None

    @property
    def is_scan(self) -> bool:
        return bool(self.axes) and self.axes[0].kind == "time"

    def axis(self, axis: Axis | str) -> Axis:
        """A leaf, by itself or by name."""
        for leaf in self.leaves:
            if leaf is axis or leaf.name == axis:
                return leaf
        name = axis if isinstance(axis, str) else axis.name
        every = [*self.axes, *self.reduction, *(a for r in self.relations for a in _made(r))]
        if any(a is axis or a.name == name for a in every):
            raise ScheduleError(f"axis {name} was split or fused; {self._legal()}")
        raise ScheduleError(f"{self.name} has no axis {name}; {self._legal()}")

    def _legal(self) -> str:
        return f"its loops are {', '.join(leaf.name for leaf in self.leaves)}"

    def position(self, axis: Axis) -> int:
        return self.leaves.index(axis)

    def attached_at(self, tensor: Tensor, axis: Axis) -> bool:
        at = self.attachment
        return at is not None and at.tensor is tensor and at.axis is axis


def _made(relation: Relation) -> tuple[Axis, ...]:
    return (relation.fused,) if isinstance(relation, Fuse) else (relation.outer, relation.inner)


@dataclass(frozen=True)
class Program:
    """All stages, producers first, and which of their tensors are wanted."""

    stages: tuple[StageState, ...]
    outputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]

    def __getitem__(self, tensor: Tensor) -> StageState:
        return next(stage for stage in self.stages if stage.tensor is tensor)

    def find(self, tensor: Tensor | str) -> StageState:
        """A stage by its tensor or name."""
        for stage in self.stages:
            if stage.tensor is tensor or stage.name == tensor:
                return stage
        name = tensor if isinstance(tensor, str) else tensor.name
        legal = ", ".join(stage.name for stage in self.stages)
        if any(t is tensor or t.name == tensor for t in self.inputs):
            raise ScheduleError(f"{name} is an input, it has no loops; the stages are {legal}")
        raise ScheduleError(f"no stage computes {name}; the stages are {legal}")

    def tensor(self, tensor: Tensor | str) -> Tensor:
        """A stage's tensor or an input."""
        for known in (*self.inputs, *(stage.tensor for stage in self.stages)):
            if known is tensor or known.name == tensor:
                return known
        return self.find(tensor).tensor

    def is_output(self, stage: StageState) -> bool:
        return any(stage.tensor is tensor for tensor in self.outputs)

    def consumers(self, tensor: Tensor) -> list[StageState]:
        """The stages that read a tensor, without itself."""
        return [s for s in self.stages if s.tensor is not tensor and any(r.tensor is tensor for r in reads(s.value))]

    def attached(self, stage: StageState, axis: Axis) -> list[StageState]:
        """The stages that run inside a loop of another one, producers first."""
        return [s for s in self.stages if s.attached_at(stage.tensor, axis)]

    def enclosing(self, stage: StageState) -> Iterator[tuple[StageState, Axis]]:
        """The loops of other stages around a stage, innermost first."""
        while stage.attachment is not None:
            outer, axis = self[stage.attachment.tensor], stage.attachment.axis
            for leaf in reversed(outer.leaves[: outer.position(axis) + 1]):
                yield outer, leaf
            stage = outer

    def updated(self, stage: StageState) -> Program:
        """With a new state of one stage."""
        return replace(self, stages=tuple(stage if s.tensor is stage.tensor else s for s in self.stages))

    def inserted(self, stage: StageState, before: StageState) -> Program:
        """With a new stage, before another one."""
        k = next(k for k, s in enumerate(self.stages) if s.tensor is before.tensor)
        return replace(self, stages=(*self.stages[:k], stage, *self.stages[k:]))

    def names(self) -> set[str]:
        return {stage.name for stage in self.stages} | {tensor.name for tensor in self.inputs}


def initial(outputs: tuple[Tensor, ...]) -> Program:
    """Every tensor computed whole, one after another, in the order of its axes."""
    tensors = dependencies(outputs)
    names = [tensor.name for tensor in tensors]
    for name in names:
        if names.count(name) > 1:
            raise ScheduleError(f"two tensors are named {name}; give each a name of its own")
    for tensor in outputs:
        if tensor.op is None:
            raise ScheduleError(f"output {tensor.name} is an input; there is nothing to compute")
    stages = tuple(
        StageState(tensor=t, axes=t.op.axes, value=t.op.body, leaves=(*t.op.axes, *t.op.reduction))
        for t in tensors
        if t.op is not None
    )
    return Program(stages, outputs, tuple(t for t in tensors if t.op is None))


def read_tensor(read: Read) -> Tensor:
    """The tensor of a read in a stage, which names no buffer."""
    assert isinstance(read.tensor, Tensor)
    return read.tensor
