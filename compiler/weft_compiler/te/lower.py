"""From a schedule's state to its loop nest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import ScheduleError
from .bounds import Placed, infer
from .expr import Axis, Const, Expr, Read, Reduce, Select, compare, every
from .intrinsic import Intrinsic
from .linear import variables
from .match import Point, match
from .nest import Allocate, Assign, Block, Buffer, For, Guard, Invoke, Nest, Statement
from .rewrite import substitute, transform
from .simplify import simplify
from .state import Program, StageState, read_tensor
from .tensor import Tensor


def lower(program: Program) -> Nest:
    """The function of the inputs and outputs that a schedule describes."""
    return lowering(program).nest()


def lowering(program: Program) -> Lowering:
    """A state's lowering; found once, since states never change: what the schedule checks is what comes out."""
    found: Lowering | None = program.__dict__.get("_lowering")
    if found is None:
        inputs = {tensor: Buffer(tensor.name, tensor.shape, tensor.dtype) for tensor in program.inputs}
        found = Lowering(program, infer(program), inputs)
        object.__setattr__(program, "_lowering", found)
    return found


def point(
    program: Program, stage: StageState, placed: Mapping[Tensor, Placed], inputs: Mapping[Tensor, Buffer]
) -> Point:
    """What a stage does in one iteration of its loops, on buffers."""
    here = placed[stage.tensor]

    def on_buffers(part: Expr) -> Expr | None:
        if not isinstance(part, Read):
            return None
        tensor = read_tensor(part)
        if tensor in inputs:
            return Read(inputs[tensor], part.indices)
        there = placed[tensor]
        offsets = [simplify(i - r.low) for i, r in zip(part.indices, there.region, strict=True)]
        return Read(there.buffer, there.subscripts(offsets))

    value = simplify(transform(simplify(substitute(stage.value, here.values)), on_buffers))
    return Point(here.buffer, here.subscripts([here.local[axis] for axis in stage.axes]), value)


@dataclass(frozen=True)
class _Init:
    """What comes before the outermost reduction loop, at a depth of the loops, in loops of its own."""

    depth: int
    leaves: tuple[Axis, ...]
    statement: Statement


@dataclass(frozen=True)
class _Loops:
    """The loops of one stage around a statement; what is attached to them runs inside, if they are the main ones."""

    stage: StageState
    leaves: tuple[Axis, ...]
    statement: Statement
    init: _Init | None = None
    main: bool = True


@dataclass
class Lowering:
    """A state on its way to a loop nest.

    Parameters
    ----------
    placed : Mapping
        Where each stage runs, and what it computes there.
    inputs : Mapping
        The buffers of the program's inputs.
    """

    program: Program
    placed: Mapping[Tensor, Placed]
    inputs: Mapping[Tensor, Buffer]
    _invocations: dict[Tensor, tuple[Statement | None, Statement]] = field(default_factory=dict)

    def tensorized(self, stage: StageState) -> tuple[Statement | None, Statement]:
        """See `tensorized`; each stage is matched once.

        Raises
        ------
        ScheduleError
            If the stage is not what the intrinsic computes.
        """
        if stage.tensor not in self._invocations:
            self._invocations[stage.tensor] = tensorized(self.program, stage, self.placed, self.inputs)
        return self._invocations[stage.tensor]

    def nest(self) -> Nest:
        """The loop nest."""
        roots = [stage for stage in self.program.stages if stage.attachment is None]
        body = Block(tuple(self._stage(stage) for stage in roots))
        for stage in reversed(roots):
            if not self.program.is_output(stage):
                body = Allocate(self.placed[stage.tensor].buffer, body)
        outputs = tuple(self.placed[tensor].buffer for tensor in self.program.outputs)
        return Nest(tuple(self.inputs.values()), outputs, body)

    def _stage(self, stage: StageState) -> Statement:
        here = self.placed[stage.tensor]
        outer = stage.leaves
        if stage.tensorized is not None:
            outer = outer[: stage.position(stage.tensorized[0])]
        if stage.tensorized is None:
            init, update = _assignments(point(self.program, stage, self.placed, self.inputs))
        else:
            init, update = self.tensorized(stage)
        before = None
        if init is not None:
            first = self._beginning(stage, outer)
            parallel = tuple(leaf for leaf in outer[first:] if leaf.kind != "reduction")
            before = _Init(first, parallel, init)
        return self._loops(_Loops(stage, outer, update, before), 0, frozenset(here.around), here.guards)

    def _beginning(self, stage: StageState, outer: Sequence[Axis]) -> int:
        """At which depth initial values are computed: outside reductions; time 0 of a tensorized scan inside its time.

        What runs inside other loops of such a scan is there for time 0, too.
        """
        if stage.initial is None:
            return next((k for k, leaf in enumerate(outer) if leaf.kind == "reduction"), len(outer))
        return max((k + 1 for k, leaf in enumerate(outer) if leaf.kind == "time" or self.program.attached(stage, leaf)))

    def _loops(self, loops: _Loops, depth: int, known: frozenset[Axis], guards: Sequence[Expr]) -> Statement:
        """The loops from a depth on; each guard stands where all that it names is known."""
        here, init = self.placed[loops.stage.tensor], loops.init
        now = [guard for guard in guards if variables(guard) <= known]
        later = [guard for guard in guards if guard not in now]
        if depth == len(loops.leaves):
            body = loops.statement
        else:
            leaf = loops.leaves[depth]
            loop = here.loops[leaf]
            body = self._loops(loops, depth + 1, known | {loop}, later)
            if loops.main:
                body = self._attached(loops.stage, leaf, body)
            if loop.extent > 1:
                body = For(loop, loops.stage.marks.get(leaf, "serial"), body)
        if init is not None and depth == init.depth:
            # Guards that name a reduction loop do not concern the initial values.
            running = {here.loops[leaf] for leaf in loops.leaves if leaf.kind == "reduction"}
            mine = [guard for guard in later if not variables(guard) & running]
            first = _Loops(loops.stage, init.leaves, init.statement, main=False)
            body = Block((self._loops(first, 0, known, mine), body))
        return _guarded(now, body)

    def _attached(self, stage: StageState, leaf: Axis, body: Statement) -> Statement:
        attached = self.program.attached(stage, leaf)
        if not attached:
            return body
        body = Block((*(self._stage(inner) for inner in attached), body))
        for inner in reversed(attached):
            body = Allocate(self.placed[inner.tensor].buffer, body)
        return body


def _guarded(conditions: Sequence[Expr], body: Statement) -> Statement:
    return Guard(every(conditions), body) if conditions else body


def _assignments(what: Point) -> tuple[Statement | None, Statement]:
    """The initial value, if the point reduces, and what is done at every point."""
    combiner = what.combiner
    if combiner is None:
        return None, Assign(what.buffer, what.indices, what.value)
    total = combiner.merge(Read(what.buffer, what.indices), what.body)
    step = Assign(what.buffer, what.indices, total, combiner.reassociable)
    return Assign(what.buffer, what.indices, combiner.identity), step


def tensorized(
    program: Program, stage: StageState, placed: Mapping[Tensor, Placed], inputs: Mapping[Tensor, Buffer]
) -> tuple[Statement | None, Statement]:
    """The intrinsic's invocations: the fill, if it accumulates, and the one at every point outside the tile.

    A condition around what is reduced, otherwise the reduction's identity, guards the second one alone. In a recurrence
    one intrinsic does time 0, another one all later times.
    """
    assert stage.tensorized is not None
    axis, intrinsic = stage.tensorized
    here = placed[stage.tensor]
    inner = tuple(here.loops[leaf] for leaf in stage.leaves[stage.position(axis) :])
    if stage.is_scan or stage.initial is not None:
        return _recurrence(program, stage, placed, inputs, inner)
    what = point(program, stage, placed, inputs)
    condition, what = _reduced_where(what, intrinsic, inner)
    invoke = match(intrinsic, what, inner, here.guards)
    update = invoke if condition is None else Guard(condition, invoke)
    if intrinsic.init is None:
        return None, update
    return Invoke(intrinsic, invoke.output, (), fill=True), update


def _recurrence(
    program: Program,
    stage: StageState,
    placed: Mapping[Tensor, Placed],
    inputs: Mapping[Tensor, Buffer],
    inner: Sequence[Axis],
) -> tuple[Statement | None, Statement]:
    """What is done at time 0, and what at later times."""
    assert stage.tensorized is not None
    _, intrinsic = stage.tensorized
    here, value = placed[stage.tensor], stage.value
    if not stage.is_scan:
        raise ScheduleError(f"{stage.name} is no scan, it has no time 0; leave initial out")
    if stage.initial is None:
        raise ScheduleError(
            f"{stage.name} is a scan, {intrinsic.name} would compute its later steps alone; "
            "name the intrinsic of time 0, too: initial=…"
        )
    if not isinstance(value, Select):
        raise ScheduleError(f"{stage.name} reduces at every step; only steps that do not can be tensorized")
    time = here.value(stage.axes[0])
    parts: list[Statement] = []
    for what, step, when in (
        (stage.initial, value.a, simplify(compare("lt", time, 1))),
        (intrinsic, value.b, simplify(compare("ge", time, 1))),
    ):
        here_and_now = point(program, replace(stage, value=step), placed, inputs)
        invoke = match(what, here_and_now, inner, here.guards)
        if when == Const(True, "bool"):
            return None, invoke
        parts.append(Guard(when, invoke))
    return parts[0], parts[1]


def _reduced_where(what: Point, intrinsic: Intrinsic, inner: Sequence[Axis]) -> tuple[Expr | None, Point]:
    """The condition under which a point adds to its reduction, and what it adds then."""
    value, op = what.value, intrinsic.output.op
    if not isinstance(value, Reduce) or not isinstance(value.body, Select) or op is None:
        return None, what
    own = op.body.body if isinstance(op.body, Reduce) else op.body
    condition, chosen, otherwise = value.body.condition, value.body.a, value.body.b
    if isinstance(own, Select) or intrinsic.init is None or otherwise != value.combiner.identity:
        return None, what
    for loop in inner:
        if loop in variables(condition):
            raise ScheduleError(
                f"{what.buffer.name} is not {intrinsic.name}: the condition {condition} differs inside the tile, "
                f"along {loop.name}; reduce whole tiles or nothing"
            )
    return condition, replace(what, value=replace(value, body=chosen))
