"""What holds in every state of a schedule; each rule says what broke it and what would not."""

from __future__ import annotations

from ..errors import ScheduleError
from .expr import Axis
from .lower import lowering
from .state import Program, StageState

UNROLL_LIMIT = 256
"""Iterations that may be written out."""


def verify(program: Program, tiles: bool = True) -> None:
    """Check a state.

    Parameters
    ----------
    tiles : bool
        Match the tensorized stages with their intrinsics, too.

    Raises
    ------
    ScheduleError
        If a rule is broken.
    """
    for stage in program.stages:
        _attached_to_a_loop(program, stage)
    for stage in program.stages:
        _attachment(program, stage)
        for axis, kind in stage.marks.items():
            _mark(program, stage, axis, kind)
    if tiles and any(stage.tensorized for stage in program.stages):
        _tensorized(program)


def _names(axes: tuple[Axis, ...] | list[Axis]) -> str:
    return ", ".join(axis.name for axis in axes) or "none"


def _attached_to_a_loop(program: Program, stage: StageState) -> None:
    at = stage.attachment
    if at is not None and at.axis not in program[at.tensor].leaves:
        raise ScheduleError(f"{stage.name} is attached at axis {at.axis.name}; split and fuse before compute_at")


def _attachment(program: Program, stage: StageState) -> None:
    at = stage.attachment
    if at is None:
        if stage.slots > 1:
            raise ScheduleError(
                f"{stage.name} runs once, two buffers have nothing to alternate over; attach it to a loop by compute_at"
            )
        return
    outer = program[at.tensor]
    depth = outer.position(at.axis)
    if outer.tensorized is not None and depth >= outer.position(outer.tensorized[0]):
        raise ScheduleError(
            f"{stage.name} would run inside the tile of {outer.name}, which an intrinsic computes at once; "
            f"attach it at {_names(outer.leaves[: outer.position(outer.tensorized[0])])}"
        )
    for consumer in program.consumers(stage.tensor):
        if not _inside(program, consumer, outer, depth):
            raise ScheduleError(
                f"{consumer.name} reads {stage.name} outside loop {at.axis.name} of {outer.name}; "
                f"attach {consumer.name} inside that loop first"
            )


def _inside(program: Program, consumer: StageState, outer: StageState, depth: int) -> bool:
    """Whether all of a stage runs inside one loop of another."""
    if consumer.tensor is outer.tensor:
        return True
    while consumer.attachment is not None:
        at = consumer.attachment
        if at.tensor is outer.tensor:
            return outer.position(at.axis) >= depth
        consumer = program[at.tensor]
    return False


def _mark(program: Program, stage: StageState, axis: Axis, kind: str) -> None:
    where = f"axis {axis.name} of {stage.name}"
    if kind in ("parallel", "vectorize", "vthread") and axis.kind != "parallel":
        what = "a reduction" if axis.kind == "reduction" else "the time of a scan"
        legal = [leaf for leaf in stage.leaves if leaf.kind == "parallel"]
        raise ScheduleError(
            f"{where} is {what}, its iterations depend on each other; a loop of kind {kind} is one of {_names(legal)}"
        )
    depth = stage.position(axis)
    if stage.tensorized is not None and depth >= stage.position(stage.tensorized[0]):
        raise ScheduleError(f"{where} is inside the tile that {stage.tensorized[1].name} computes at once")
    attached = program.attached(stage, axis)
    match kind:
        case "parallel" if stage.attachment is not None:
            raise ScheduleError(
                f"{stage.name} runs inside a loop of {stage.attachment.tensor.name}; "
                f"a parallel loop is the outermost of all: mark the outermost loop there"
            )
        case "parallel" if depth > 0:
            raise ScheduleError(
                f"{where} lies inside loop {stage.leaves[depth - 1].name}; a parallel loop is the outermost: "
                f"reorder it first, or fuse the loops before it"
            )
        case "vectorize" if depth != len(stage.leaves) - 1:
            raise ScheduleError(
                f"{where} has loop {stage.leaves[depth + 1].name} inside; "
                f"a vector loop is the innermost: reorder it last"
            )
        case "vectorize" if attached:
            raise ScheduleError(f"{attached[0].name} runs inside {where}; a vector loop holds nothing else")
        case "vthread" if any(leaf.kind == "reduction" for leaf in stage.leaves[:depth]):
            raise ScheduleError(
                f"{where} lies inside a reduction loop; each virtual thread keeps its own sums: reorder it outside"
            )
        # An attached stage has fewer iterations than its tensor has elements.
        case "unroll" if axis.extent > UNROLL_LIMIT and (count := _iterations(program, stage, axis)) > UNROLL_LIMIT:
            raise ScheduleError(
                f"{where} has {count} iterations, at most {UNROLL_LIMIT} are written out; split it first"
            )
        case "pipeline" if not attached:
            raise ScheduleError(
                f"nothing runs inside {where} that could run ahead; attach a stage to it by compute_at first"
            )


def _iterations(program: Program, stage: StageState, axis: Axis) -> int:
    """Of a loop where its stage runs."""
    return lowering(program).placed[stage.tensor].loops[axis].extent


def _tensorized(program: Program) -> None:
    for stage in program.stages:
        if stage.tensorized is not None:
            lowering(program).tensorized(stage)
