"""Schedules: how tensors are computed, chosen step by step, without changing what they are.

A schedule starts with every tensor computed whole. Each primitive checks itself at once, and leaves the schedule as it
was if it is refused. What was done is kept as a list of plain dictionaries, from which the schedule can be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..errors import ScheduleError
from . import axes, caches
from .diagonal import diagonal
from .expr import Axis
from .intrinsic import Intrinsic
from .legality import verify
from .lower import lower
from .nest import Nest
from .rewrite import reads
from .state import Program, StageState, initial, read_tensor
from .tensor import Tensor

Step = dict[str, Any]
"""One primitive: ``{"primitive": name, "stage": name, …arguments}``, of strings, numbers and lists of strings."""

SCHEDULE_PRIMITIVES = ("cache_read", "cache_write")
STAGE_PRIMITIVES = (
    *("split", "fuse", "reorder", "parallel", "vectorize", "unroll", "pipeline", "virtual_thread"),
    *("compute_at", "compute_inline", "set_scope", "pack", "diagonal", "double_buffer", "tensorize"),
)
"""What a trace consists of; ``tile`` and ``auto_tensorize`` leave the steps that they took."""

UNMOVED = ("parallel", "vectorize", "unroll", "pipeline", "virtual_thread", "double_buffer")
"""Primitives that leave every index as it was, so that intrinsics still match."""

AxisLike = Axis | str
TensorLike = Tensor | str


class Schedule:
    """A schedule of some outputs and all that they need.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What is wanted; names of tensors are unique.

    Attributes
    ----------
    program : Program
        The present state.
    trace : list of dict
        The primitives applied so far; `Schedule.replay` applies them again.
    """

    def __init__(self, outputs: Tensor | Sequence[Tensor]):
        self.program: Program = initial((outputs,) if isinstance(outputs, Tensor) else tuple(outputs))
        self.trace: list[Step] = []
        self._waits = False

    @classmethod
    def replay(
        cls, outputs: Tensor | Sequence[Tensor], trace: Sequence[Step], intrinsics: Sequence[Intrinsic] = ()
    ) -> Schedule:
        """A schedule from the trace of another one of the same outputs.

        Parameters
        ----------
        intrinsics : sequence of Intrinsic
            Those that the trace names.
        """
        schedule = cls(outputs)
        known = {intrinsic.name: intrinsic for intrinsic in intrinsics}
        for step in trace:
            arguments = dict(step)
            primitive, stage = arguments.pop("primitive", None), arguments.pop("stage", None)
            legal = SCHEDULE_PRIMITIVES if stage is None else STAGE_PRIMITIVES
            if primitive not in legal:
                raise ScheduleError(f"the trace has the step {step}; a primitive is one of {', '.join(legal)}")
            for key in arguments.keys() & {"intrinsic", "initial"}:
                name = arguments[key]
                if name not in known:
                    raise ScheduleError(f"the trace names the intrinsic {name}; pass it to replay in intrinsics")
                arguments[key] = known[name]
            target = schedule if stage is None else schedule[stage]
            several = [arguments.pop(key) for key in ("axes", "tiles") if key in arguments]
            try:
                getattr(target, primitive)(*(several[0] if several else ()), **arguments)
            except TypeError:
                raise ScheduleError(
                    f"the trace has the step {step}, whose arguments are not those of {primitive}"
                ) from None
        return schedule

    def __getitem__(self, tensor: TensorLike) -> Stage:
        return Stage(self, self.program.find(tensor).tensor)

    def __str__(self) -> str:
        return self.loops()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages, producers first."""
        return tuple(Stage(self, stage.tensor) for stage in self.program.stages)

    def lower(self) -> Nest:
        """The loop nest of the present state."""
        return lower(self.program)

    def loops(self) -> str:
        """The loop nest as text."""
        return str(self.lower())

    def cache_read(self, tensor: TensorLike, scope: str, readers: Sequence[TensorLike] | None = None) -> Tensor:
        """Copy what stages read of a tensor into another memory.

        Parameters
        ----------
        readers : sequence of Tensor or str, optional
            The stages that read the copy; all if left out.

        Returns
        -------
        Tensor
            The copy, a stage of its own.
        """
        made: list[Tensor] = []

        def apply(program: Program) -> Program:
            program, copy = caches.cache_read(program, tensor, scope, readers)
            made.append(copy)
            return program

        names = None if readers is None else [_name(reader) for reader in readers]
        self.apply({"primitive": "cache_read", "tensor": _name(tensor), "scope": scope, "readers": names}, apply)
        return made[0]

    def cache_write(self, tensor: TensorLike, scope: str) -> Tensor:
        """Compute a tensor in another memory, and copy it from there.

        Returns
        -------
        Tensor
            The one that is computed; it has the reduction.
        """
        made: list[Tensor] = []

        def apply(program: Program) -> Program:
            program, copy = caches.cache_write(program, tensor, scope)
            made.append(copy)
            return program

        self.apply({"primitive": "cache_write", "tensor": _name(tensor), "scope": scope}, apply)
        return made[0]

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Match intrinsics once, when the block ends, instead of after each of its primitives.

        Raises
        ------
        ScheduleError
            If one of them does not match then; the schedule is what it was before the block.
        """
        before, steps, waited = self.program, len(self.trace), self._waits
        self._waits = True
        try:
            yield
            self._waits = waited
            verify(self.program, tiles=not waited)
        except BaseException:
            self.program = before
            del self.trace[steps:]
            raise
        finally:
            self._waits = waited

    def apply(self, step: Step, change: Callable[[Program], Program]) -> None:
        """Take one step, or none at all.

        Raises
        ------
        ScheduleError
            If it may not be taken; the message begins with the primitive and its stage.
        """
        try:
            program = change(self.program)
            verify(program, tiles=step["primitive"] not in UNMOVED and not self._waits)
        except ScheduleError as error:
            raise ScheduleError(f"{_call(step)}: {error}") from None
        self.program = program
        self.trace.append(step)


class Stage:
    """The computation of one tensor in a schedule: what its primitives are called on."""

    def __init__(self, schedule: Schedule, tensor: Tensor):
        self.schedule = schedule
        self.tensor = tensor

    def __repr__(self) -> str:
        return f"Stage({self.tensor.name}: {', '.join(axis.name for axis in self.leaves)})"

    @property
    def state(self) -> StageState:
        return self.schedule.program.find(self.tensor)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """One for each dimension, as they were before anything was split."""
        return self.state.axes

    @property
    def reduce_axes(self) -> tuple[Axis, ...]:
        return self.state.reduction

    @property
    def leaves(self) -> tuple[Axis, ...]:
        """The loops, outermost first."""
        return self.state.leaves

    def split(self, axis: AxisLike, factor: int | None = None, nparts: int | None = None) -> tuple[Axis, Axis]:
        """Make two loops of one: the inner with ``factor`` iterations, or the outer with ``nparts``."""
        made: list[Axis] = []

        def change(stage: StageState) -> StageState:
            stage, outer, inner = axes.split(stage, axis, factor, nparts)
            made.extend((outer, inner))
            return stage

        size = {"nparts": nparts} if factor is None else {"factor": factor}
        if factor is not None and nparts is not None:
            size = {"factor": factor, "nparts": nparts}
        self._change("split", {"axis": _name(axis), **size}, change)
        return made[0], made[1]

    def fuse(self, outer: AxisLike, inner: AxisLike) -> Axis:
        """Make one loop of two, of which one lies directly inside the other."""
        made: list[Axis] = []

        def change(stage: StageState) -> StageState:
            stage, fused = axes.fuse(stage, outer, inner)
            made.append(fused)
            return stage

        self._change("fuse", {"outer": _name(outer), "inner": _name(inner)}, change)
        return made[0]

    def reorder(self, *order: AxisLike) -> None:
        """Put loops into this order, outermost first; those not named keep their places."""
        self._change("reorder", {"axes": [_name(axis) for axis in order]}, lambda stage: axes.reorder(stage, order))

    def tile(self, y: AxisLike, x: AxisLike, y_factor: int, x_factor: int) -> tuple[Axis, Axis, Axis, Axis]:
        """Split two loops and put the inner parts together: yields y.outer, x.outer, y.inner, x.inner."""
        program, length = self.schedule.program, len(self.schedule.trace)
        try:
            (y_outer, y_inner), (x_outer, x_inner) = self.split(y, y_factor), self.split(x, x_factor)
            self.reorder(y_outer, x_outer, y_inner, x_inner)
        except ScheduleError:
            self.schedule.program = program
            del self.schedule.trace[length:]
            raise
        return y_outer, x_outer, y_inner, x_inner

    def parallel(self, axis: AxisLike) -> None:
        """Let threads share the iterations."""
        self._mark("parallel", axis)

    def vectorize(self, axis: AxisLike) -> None:
        """Let one instruction do several iterations."""
        self._mark("vectorize", axis)

    def unroll(self, axis: AxisLike) -> None:
        """Write the iterations out."""
        self._mark("unroll", axis)

    def pipeline(self, axis: AxisLike) -> None:
        """Let what is attached to the loop run ahead of the rest of it."""
        self._mark("pipeline", axis)

    def virtual_thread(self, axis: AxisLike) -> None:
        """Interleave the iterations in one instruction stream, each with its own part of the scratchpads."""
        self._change("virtual_thread", {"axis": _name(axis)}, lambda stage: axes.mark(stage, axis, "vthread"))

    def compute_at(self, where: Stage | TensorLike, axis: AxisLike) -> None:
        """Run inside a loop of a stage that reads this one, for the part that is read there."""
        target = where.tensor if isinstance(where, Stage) else where
        arguments = {"where": _name(target), "axis": _name(axis)}
        self._apply("compute_at", arguments, lambda p: caches.compute_at(p, self.tensor, target, axis))

    def compute_inline(self) -> None:
        """Compute each element where it is read; the stage is no more."""
        self._apply("compute_inline", {}, lambda p: caches.compute_inline(p, self.tensor))

    def set_scope(self, scope: str) -> None:
        """Say in which memory the tensor lies."""
        self._apply("set_scope", {"scope": scope}, lambda p: caches.set_scope(p, self.tensor, scope))

    def pack(self, *tiles: tuple[AxisLike, int]) -> None:
        """Hold dimensions in tiles of so many elements: the place in the tile becomes the last dimensions.

        What the tensor holds, and how it is read, stays as it is.
        """
        named = [[_name(axis), factor] for axis, factor in tiles]
        self._apply("pack", {"tiles": named}, lambda program: caches.pack(program, self.tensor, tiles))

    def diagonal(self, axis: AxisLike, factor: int, operand: TensorLike) -> Tensor:
        """Sum over ``factor`` channels, of which an operand is zero but for the one: ``te.diagonal`` says how.

        Returns
        -------
        Tensor
            The operand with its values on a diagonal, a stage of its own.
        """
        arguments = {"axis": _name(axis), "factor": factor, "operand": _name(operand)}
        self._apply("diagonal", arguments, lambda program: diagonal(program, self.tensor, axis, factor, operand))
        name = f"{_name(operand)}.diagonal"
        return next(read_tensor(read) for read in reads(self.state.value) if read.tensor.name.startswith(name))

    def double_buffer(self) -> None:
        """Take two buffers in turn, so that one can be filled while the other is read."""
        self._apply("double_buffer", {}, lambda p: caches.double_buffer(p, self.tensor))

    def tensorize(self, axis: AxisLike, intrinsic: Intrinsic, initial: Intrinsic | None = None) -> None:
        """Let an intrinsic do everything from one loop inwards.

        Parameters
        ----------
        initial : Intrinsic, optional
            The one of time 0; a scan has it, and nothing else.
        """

        def change(stage: StageState) -> StageState:
            return replace(stage, tensorized=(stage.axis(axis), intrinsic), initial=initial)

        more = {} if initial is None else {"initial": initial.name}
        self._change("tensorize", {"axis": _name(axis), "intrinsic": intrinsic.name, **more}, change)

    def _mark(self, kind: str, axis: AxisLike) -> None:
        self._change(kind, {"axis": _name(axis)}, lambda stage: axes.mark(stage, axis, kind))

    def _change(self, primitive: str, arguments: Mapping[str, Any], change: Callable[[StageState], StageState]) -> None:
        self._apply(primitive, arguments, lambda program: program.updated(change(program.find(self.tensor))))

    def _apply(self, primitive: str, arguments: Mapping[str, Any], change: Callable[[Program], Program]) -> None:
        self.schedule.apply({"primitive": primitive, "stage": self.tensor.name, **arguments}, change)


def _name(thing: Tensor | Axis | str) -> str:
    return thing if isinstance(thing, str) else thing.name


def _call(step: Step) -> str:
    """A step as it was written: ``C.split(k, factor=4)``."""
    rest = {k: v for k, v in step.items() if k not in ("primitive", "stage")}
    words = []
    for key, value in rest.items():
        if isinstance(value, list):
            words.append(f"readers=[{', '.join(value)}]" if key == "readers" else ", ".join(map(_word, value)))
        elif value is not None:
            words.append(f"{key}={value}" if key in ("factor", "nparts", "operand", "initial") else str(value))
    stage = f"{step['stage']}." if "stage" in step else ""
    return f"{stage}{step['primitive']}({', '.join(words)})"


def _word(value: Any) -> str:
    """A loop, or a dimension with its tile."""
    return f"{value[0]}:{value[1]}" if isinstance(value, list) else str(value)
