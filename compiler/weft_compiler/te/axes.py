"""Primitives on the loops of one stage: each gives a new state, or says why it may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from ..errors import ScheduleError
from .expr import Axis
from .state import Fuse, Program, Split, StageState


def split(stage: StageState, axis: Axis | str, factor: int | None, nparts: int | None) -> tuple[StageState, Axis, Axis]:
    """One loop as two; the inner one has ``factor`` iterations, or the outer one ``nparts``."""
    axis = stage.axis(axis)
    if (factor is None) == (nparts is None):
        raise ScheduleError("give either factor, the iterations of the inner loop, or nparts, those of the outer one")
    size = factor if factor is not None else nparts
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ScheduleError(f"a loop of {size} iterations is impossible; give a whole number from 1")
    _unmarked(stage, axis)
    inner_size = min(size, axis.extent) if factor is not None else -(-axis.extent // size)
    outer = Axis(_fresh(stage, f"{axis.name}.outer"), -(-axis.extent // inner_size), axis.kind)
    inner = Axis(_fresh(stage, f"{axis.name}.inner"), inner_size, axis.kind)
    relation = Split(axis, outer, inner, factor, nparts)
    return _replaced(stage, (axis,), (outer, inner), relation), outer, inner


def fuse(stage: StageState, outer: Axis | str, inner: Axis | str) -> tuple[StageState, Axis]:
    """Two loops as one."""
    outer, inner = stage.axis(outer), stage.axis(inner)
    for axis in (outer, inner):
        _unmarked(stage, axis)
    if outer.kind != inner.kind:
        raise ScheduleError(
            f"axis {outer.name} is {outer.kind}, axis {inner.name} is {inner.kind}; only loops of one kind can be fused"
        )
    if stage.position(inner) != stage.position(outer) + 1:
        raise ScheduleError(f"loop {inner.name} does not lie directly inside loop {outer.name}; reorder them first")
    fused = Axis(_fresh(stage, f"{outer.name}.{inner.name}.fused"), outer.extent * inner.extent, outer.kind)
    return _replaced(stage, (outer, inner), (fused,), Fuse(outer, inner, fused)), fused


def reorder(stage: StageState, axes: Sequence[Axis | str]) -> StageState:
    """Put loops into a new order, in the places that they have together."""
    order = [stage.axis(axis) for axis in axes]
    for k, axis in enumerate(order):
        if axis in order[:k]:
            raise ScheduleError(f"axis {axis.name} is named twice; name each loop once")
    places = iter(order)
    leaves = tuple(next(places) if leaf in order else leaf for leaf in stage.leaves)
    before, combiner = _of_kind(stage.leaves, "reduction"), stage.combiner
    if before != _of_kind(leaves, "reduction") and combiner is not None and not combiner.reassociable:
        raise ScheduleError(
            f"the {combiner.name} of {combiner.dtype} depends on its order, {_names(before)} must stay as they are; "
            f"declare it with reassociable=True to let them change"
        )
    times = _of_kind(stage.leaves, "time")
    if leaves[: len(times)] != times:
        raise ScheduleError(
            f"each step of a scan reads the whole one before, {_names(times)} must stay outermost, in this order"
        )
    if stage.tensorized is not None:
        start = stage.position(stage.tensorized[0])
        if set(leaves[start:]) != set(stage.leaves[start:]) or leaves[start] is not stage.leaves[start]:
            raise ScheduleError(f"the loops from {stage.leaves[start].name} on are tensorized; reorder those before it")
    return replace(stage, leaves=leaves)


def mark(stage: StageState, axis: Axis | str, kind: str) -> StageState:
    """Say how a loop runs."""
    axis = stage.axis(axis)
    if axis in stage.marks and stage.marks[axis] != kind:
        raise ScheduleError(f"loop {axis.name} is already marked {stage.marks[axis]}; a loop is of one kind")
    return replace(stage, marks=MappingProxyType({**stage.marks, axis: kind}))


def pack(stage: StageState, tiles: Sequence[tuple[Axis | str, int]]) -> StageState:
    """Hold dimensions in tiles; they are named by the axes that the stage has for them."""
    packing = []
    for axis, factor in tiles:
        found = [d for d, a in enumerate(stage.axes) if a is axis or a.name == axis]
        if not found:
            name = axis if isinstance(axis, str) else axis.name
            raise ScheduleError(f"{stage.name} has no dimension {name}; its dimensions are {_names(stage.axes)}")
        name, size = stage.axes[found[0]].name, stage.axes[found[0]].extent
        if factor < 1 or size % factor:
            raise ScheduleError(f"dimension {name} has {size} elements, no whole number of tiles of {factor}; pad it")
        if found[0] in dict(packing):
            raise ScheduleError(f"dimension {name} is named twice; name each once")
        packing.append((found[0], factor))
    return replace(stage, packing=tuple(packing))


def untouched(program: Program, stage: StageState, what: str) -> None:
    """Refuse what has to come before everything else."""
    if stage.relations or stage.marks or stage.tensorized or any(program.attached(stage, a) for a in stage.leaves):
        raise ScheduleError(f"the loops of {stage.name} are scheduled already; {what} first")


def _of_kind(leaves: Sequence[Axis], kind: str) -> tuple[Axis, ...]:
    return tuple(leaf for leaf in leaves if leaf.kind == kind)


def _names(axes: Sequence[Axis]) -> str:
    return ", ".join(axis.name for axis in axes)


def _unmarked(stage: StageState, axis: Axis) -> None:
    if axis in stage.marks:
        raise ScheduleError(f"loop {axis.name} is marked {stage.marks[axis]}; split and fuse before marking")
    if stage.tensorized is not None and stage.position(axis) >= stage.position(stage.tensorized[0]):
        raise ScheduleError(
            f"loop {axis.name} is inside the tile that {stage.tensorized[1].name} computes; "
            f"split and fuse before tensorize"
        )


def _fresh(stage: StageState, name: str) -> str:
    taken = {a.name for a in (*stage.axes, *stage.reduction, *stage.leaves)}
    for relation in stage.relations:
        made = (relation.fused,) if isinstance(relation, Fuse) else (relation.outer, relation.inner)
        taken |= {axis.name for axis in made}
    unique, k = name, 1
    while unique in taken:
        unique, k = f"{name}_{k}", k + 1
    return unique


def _replaced(stage: StageState, old: tuple[Axis, ...], new: tuple[Axis, ...], relation: Split | Fuse) -> StageState:
    start = stage.position(old[0])
    leaves = (*stage.leaves[:start], *new, *stage.leaves[start + len(old) :])
    return replace(stage, leaves=leaves, relations=(*stage.relations, relation))
