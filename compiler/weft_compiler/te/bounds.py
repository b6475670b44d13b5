"""Which part of its tensor each stage computes where it runs, and what its loops therefore are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .expr import INDEX, Axis, Binary, Const, Expr, minimum
from .interval import interval
from .linear import Linear, linear, variables
from .nest import Buffer
from .rewrite import reads, substitute
from .simplify import simplify
from .state import Fuse, Program, Split, StageState
from .tensor import Tensor

ZERO = Const(0, INDEX)


@dataclass(frozen=True)
class Span:
    """``extent`` indices from ``low`` on, an expression of the loops around."""

    low: Expr
    extent: int


@dataclass(frozen=True)
class Placed:
    """A stage with its loops.

    Parameters
    ----------
    around : tuple of Axis
        The loops of other stages around it, outermost first.
    region : tuple of Span
        The part of the tensor that it computes there, and that its buffer holds.
    loops : mapping
        The loop of each leaf.
    local : mapping
        The value of each axis of the stage counted from the region, an expression of the loops.
    guards : tuple of Expr
        What must hold for an iteration to count; more iterations than elements come of splits that do not divide.
    """

    stage: StageState
    around: tuple[Axis, ...]
    region: tuple[Span, ...]
    loops: Mapping[Axis, Axis]
    local: Mapping[Axis, Expr]
    guards: tuple[Expr, ...]
    buffer: Buffer

    def value(self, axis: Axis) -> Expr:
        """The index in the whole tensor that an axis of the stage stands for."""
        if axis in self.stage.axes:
            return simplify(self.region[self.stage.axes.index(axis)].low + self.local[axis])
        return self.local[axis]

    def subscripts(self, local: Sequence[Expr]) -> tuple[Expr, ...]:
        """Where the buffer holds an element, given its indices counted from the region."""
        factors = dict(self.stage.packing)
        tiles = tuple(simplify(i // factors[d]) if d in factors else i for d, i in enumerate(local))
        return (*tiles, *(simplify(local[d] % factor) for d, factor in self.stage.packing))

    @property
    def values(self) -> dict[Expr, Expr]:
        return {axis: self.value(axis) for axis in (*self.stage.axes, *self.stage.reduction)}


def infer(program: Program) -> dict[Tensor, Placed]:
    """Place every stage, consumers first."""
    placed: dict[Tensor, Placed] = {}
    for stage in reversed(program.stages):
        around = _around(program, stage, placed)
        placed[stage.tensor] = _place(program, stage, around, _region(program, stage, around, placed))
    return placed


def _around(program: Program, stage: StageState, placed: Mapping[Tensor, Placed]) -> tuple[Axis, ...]:
    loops = [placed[outer.tensor].loops[leaf] for outer, leaf in program.enclosing(stage)]
    return tuple(reversed(loops))


def _region(
    program: Program, stage: StageState, around: Sequence[Axis], placed: Mapping[Tensor, Placed]
) -> tuple[Span, ...]:
    shape = stage.tensor.shape
    whole = tuple(Span(ZERO, size) for size in shape)
    if program.is_output(stage) or stage.is_scan:
        return whole
    needed: list[list[Span]] = [[] for _ in shape]
    for consumer in program.consumers(stage.tensor):
        values = placed[consumer.tensor].values
        for read in reads(consumer.value):
            if read.tensor is stage.tensor:
                for spans, subscript in zip(needed, read.indices, strict=True):
                    spans.append(span(simplify(substitute(subscript, values)), around))
    if not all(needed):
        return whole
    factors = dict(stage.packing)
    return tuple(
        _clipped(_aligned(_union(spans), factors.get(d, 1)), size, factors.get(d, 1))
        for d, (spans, size) in enumerate(zip(needed, shape, strict=True))
    )


def span(subscript: Expr, fixed: Sequence[Axis]) -> Span:
    """Where a subscript goes while the loops in ``fixed`` stand still and all others run."""
    low, high = Linear(0, {}), 0
    form = linear(subscript)
    for part, factor in form.terms.items():
        inner = variables(part)
        if inner <= set(fixed):
            low = low.plus(Linear(0, {part: factor}))
            continue
        base, extent = _part(part, fixed) if inner & set(fixed) else _numeric(part)
        low = low.plus(linear(base), factor)
        if factor < 0:
            low = low.plus(Linear(factor * (extent - 1), {}))
        high += abs(factor) * (extent - 1)
    return Span(simplify(low.plus(Linear(form.constant, {})).expr()), high + 1)


def _numeric(part: Expr) -> tuple[Expr, int]:
    low, high = interval(part)
    return Const(low, INDEX), high - low + 1


def _part(part: Expr, fixed: Sequence[Axis]) -> tuple[Expr, int]:
    """Lowest value and extent of what is no sum and depends on loops that stand still and on others that run."""
    match part:
        case Binary("floordiv", a, Const(divisor, _) as by):
            inner, size = span(a, fixed), int(divisor)
            low = linear(inner.low)
            # From floor(low / d) to floor((low + extent - 1) / d), wherever low may lie between multiples of d.
            beyond = low.constant % size if all(f % size == 0 for f in low.terms.values()) else size - 1
            steps = (beyond + inner.extent - 1) // size
            return simplify(Binary("floordiv", inner.low, by)), steps + 1
        case _:
            return _numeric(part)


def _union(spans: Sequence[Span]) -> Span:
    result = spans[0]
    for other in spans[1:]:
        if other == result:
            continue
        least, most = interval(simplify(other.low - result.low))
        low = result.low if least >= 0 else other.low if most <= 0 else minimum(result.low, other.low)
        extent = max(other.extent + max(most, 0), result.extent + max(-least, 0))
        result = Span(low, extent)
    return result


def _aligned(wanted: Span, factor: int) -> Span:
    """The whole tiles around a span."""
    if factor == 1:
        return wanted
    low = linear(wanted.low)
    beyond = low.constant % factor if all(f % factor == 0 for f in low.terms.values()) else factor - 1
    return Span(simplify(wanted.low // factor * factor), -(-(wanted.extent + beyond) // factor) * factor)


def _clipped(wanted: Span, size: int, factor: int) -> Span:
    """Without what lies outside the tensor, as far as that is the same in every iteration; at least one tile."""
    if wanted.extent >= size:
        return Span(ZERO, size)
    if isinstance(wanted.low, Const):
        low = min(max(int(wanted.low.value), 0), size - factor)
        high = min(max(int(wanted.low.value) + wanted.extent, low + factor), size)
        return Span(Const(low, INDEX), high - low)
    return wanted


def _place(program: Program, stage: StageState, around: tuple[Axis, ...], region: tuple[Span, ...]) -> Placed:
    extents = {axis: part.extent for axis, part in zip(stage.axes, region, strict=True)}
    extents |= {axis: axis.extent for axis in stage.reduction}
    for relation in stage.relations:
        if isinstance(relation, Split):
            size = extents[relation.parent]
            inner = relation.inner_extent(size)
            extents |= {relation.inner: inner, relation.outer: -(-size // inner)}
        else:
            extents[relation.fused] = extents[relation.outer] * extents[relation.inner]
    loops = _loops(stage, extents, around)
    local: dict[Axis, Expr] = {leaf: loop if loop.extent > 1 else ZERO for leaf, loop in loops.items()}
    guards: list[Expr] = []
    for relation in reversed(stage.relations):
        if isinstance(relation, Fuse):
            inner = Const(extents[relation.inner], INDEX)
            local[relation.outer] = simplify(Binary("floordiv", local[relation.fused], inner))
            local[relation.inner] = simplify(Binary("mod", local[relation.fused], inner))
        else:
            value = simplify(local[relation.outer] * extents[relation.inner] + local[relation.inner])
            local[relation.parent] = value
            if interval(value)[1] >= extents[relation.parent]:
                guards.append(value < extents[relation.parent])
    for axis, part, size in zip(stage.axes, region, stage.tensor.shape, strict=True):
        value = simplify(part.low + local[axis])
        low, high = interval(value)
        if high >= size:
            guards.append(value < size)
        if low < 0:
            guards.append(value >= 0)
    return Placed(
        stage=stage,
        around=around,
        region=region,
        loops=loops,
        local=local,
        guards=tuple(dict.fromkeys(guards)),
        buffer=Buffer(stage.name, _shape(stage, region), stage.tensor.dtype, stage.scope, stage.slots),
    )


def _shape(stage: StageState, region: Sequence[Span]) -> tuple[int, ...]:
    factors = dict(stage.packing)
    tiles = tuple(part.extent // factors.get(d, 1) for d, part in enumerate(region))
    return (*tiles, *(factor for _, factor in stage.packing))


def _loops(stage: StageState, extents: Mapping[Axis, int], around: Sequence[Axis]) -> dict[Axis, Axis]:
    """A variable for each loop, with a name that no loop around it has."""
    taken = {loop.name for loop in around}
    loops = {}
    for leaf in stage.leaves:
        name, k = leaf.name, 1
        while name in taken:
            name, k = f"{leaf.name}_{k}", k + 1
        taken.add(name)
        loops[leaf] = Axis(name, extents[leaf], leaf.kind)
    return loops
