"""A loop nest of hardware intrinsics as operations over all their steps.

The loops around an intrinsic fall in two: those that only it stands in, next to it, are its *own*, which one
instruction can run; an iteration of all others is a *step*. Nothing is expanded but index columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig

from ..errors import CompileError
from ..te.expr import INDEX, Axis, Const, Expr
from ..te.linear import variables
from ..te.nest import Allocate, Assign, Block, Buffer, For, Guard, Invoke, Nest, Region, Statement, bodies
from ..te.rewrite import substitute
from ..te.simplify import simplify
from .boxes import Linear
from .columns import Column
from .evaluate import Values, conjuncts, linear_over, not_negative
from .intrinsic import AcceleratorIntrinsic
from .scratchpads import SCOPES, Copies, Wanted, place

MAX_DIGIT = 1 << 62
"""Values of one digit of time at most."""


@dataclass(frozen=True)
class Operand:
    """The tile of one operand in every iteration.

    Parameters
    ----------
    tile : Linear
        In the scratchpad, or in its tensor in DRAM, over the own loops.
    """

    buffer: Buffer
    tile: Linear

    @property
    def is_dram(self) -> bool:
        return self.buffer.scope not in SCOPES


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One intrinsic with the steps and own loops in which it runs.

    Parameters
    ----------
    time : int64 array (steps, digits)
        When each step comes, see `stream.Rows`; nearly always a single digit.
    extents : tuple of int
        Iterations of the own loops, outermost first; at least one.
    output, inputs : Operand
        Tiles written and read.
    guards : tuple of Linear
        Nothing runs where one of them is negative.
    inside : tuple of Linear
        The output is padded where one of them is negative.
    omits : tuple of Linear
        Where one of them is negative a reduction adds nothing; its first value is there all the same.
    zeros : tuple of Linear
        Where one of them is negative an input is padded with zeros.
    begins : bool array
        The steps in which a reduction starts: its output has no value yet.
    """

    invoke: Invoke
    time: NDArray[np.int64]
    extents: tuple[int, ...]
    output: Operand
    inputs: tuple[Operand, ...]
    guards: tuple[Linear, ...]
    inside: tuple[Linear, ...]
    omits: tuple[Linear, ...]
    zeros: tuple[Linear, ...]
    begins: NDArray[np.bool_]

    @property
    def steps(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class _Place:
    """Where in the nest a statement stands.

    Parameters
    ----------
    chain : tuple
        What is around it, outermost first: loops, and its position in each block.
    own : int
        How many loops, the innermost, hold nothing else.
    """

    chain: tuple[For | int, ...] = ()
    own: int = 0
    guards: tuple[Expr, ...] = ()

    @property
    def loops(self) -> tuple[For, ...]:
        return tuple(part for part in self.chain if isinstance(part, For))

    @property
    def around(self) -> tuple[For | int, ...]:
        """The chain without the own loops."""
        return self.chain[: len(self.chain) - self.own]

    @property
    def outer(self) -> tuple[For, ...]:
        return self.loops[: len(self.loops) - self.own]

    @property
    def inner(self) -> tuple[Axis, ...]:
        return tuple(loop.axis for loop in self.loops[len(self.loops) - self.own :])

    @property
    def scope(self) -> tuple[int, ...]:
        """The positions alone: statements of one block that differ in them run one after the other."""
        return tuple(part for part in self.chain if isinstance(part, int))

    @property
    def body(self) -> tuple[tuple[int | Axis, ...], tuple[int, ...]]:
        """The way to the innermost loop around, virtual threads left out, and the positions inside it."""
        parts = [p if isinstance(p, int) else p.axis for p in self.around if isinstance(p, int) or p.kind != "vthread"]
        inner = max((k + 1 for k, part in enumerate(parts) if isinstance(part, Axis)), default=0)
        return tuple(parts[:inner]), tuple(part for part in parts[inner:] if isinstance(part, int))

    @property
    def flat(self) -> tuple[int | Axis, ...]:
        """Behind the innermost loop around: the virtual threads outside it, then threads and positions as they nest."""
        last = max((k + 1 for k, p in enumerate(self.around) if isinstance(p, For) and p.kind != "vthread"), default=0)
        threads = [p.axis for p in self.around[:last] if isinstance(p, For) and p.kind == "vthread"]
        return (*threads, *(p if isinstance(p, int) else p.axis for p in self.around[last:]))

    def into(self, loop: For) -> _Place:
        # A virtual thread's iterations have scratchpads of their own, those of an unrolled loop have instructions.
        alone = loop.kind in ("vthread", "unroll")
        return replace(self, chain=(*self.chain, loop), own=0 if alone else self.own + 1)

    def sibling(self, position: int) -> _Place:
        """The place of one of several statements."""
        return replace(self, chain=(*self.chain, position), own=0)


def _parts(conditions: Iterable[Expr]) -> set[Expr]:
    return {part for condition in conditions for part in conjuncts(condition)}


def _only_fills(statement: Statement) -> bool:
    if isinstance(statement, Invoke):
        return statement.fill
    inner = bodies(statement)
    return bool(inner) and all(map(_only_fills, inner))


@dataclass
class _Walk:
    found: list[tuple[_Place, Invoke]] = field(default_factory=list)
    filled: dict[Buffer, set[Expr]] = field(default_factory=dict)
    """Under which conditions accumulators get a first value."""
    allocated: dict[Buffer, _Place] = field(default_factory=dict)

    def statement(self, statement: Statement, place: _Place) -> None:
        match statement:
            case Block(statements):
                # A reduction's first step gives its output a value: what would fill it before is no instruction.
                left = [inner for inner in statements if not _only_fills(inner)]
                for fill in (inner for inner in statements if _only_fills(inner)):
                    self.fills(fill, _parts(place.guards))
                for position, inner in enumerate(left):
                    self.statement(inner, place.sibling(position) if len(left) > 1 else place)
            case Allocate(buffer, body):
                place = replace(place, own=0)
                self.allocated[buffer] = place
                self.statement(body, place)
            case For():
                self.statement(statement.body, place.into(statement))
            case Guard(condition, body):
                self.statement(body, replace(place, guards=(*place.guards, condition)))
            case Invoke():
                self.found.append((place, statement))
            case Assign(buffer, _, _):
                raise CompileError(
                    f"{buffer.name} is computed element by element, which the accelerator cannot; tensorize its stage"
                )

    def fills(self, statement: Statement, guards: set[Expr]) -> None:
        if isinstance(statement, Invoke):
            self.filled[statement.output.buffer] = guards
        if isinstance(statement, Guard):
            guards = guards | _parts([statement.condition])
        for inner in bodies(statement):
            self.fills(inner, guards)


class Space:
    """The steps of one place: all iterations of the loops around it, and the values of their axes."""

    def __init__(self, place: _Place, unit: Axis) -> None:
        self.outer = [loop.axis for loop in place.outer]
        self.own = place.inner or (unit,)
        self.steps = prod(axis.extent for axis in self.outer)
        indices = np.indices([*(axis.extent for axis in self.outer), 1]).reshape(len(self.outer) + 1, -1)
        self.values: Values = dict(zip(self.outer, indices[:-1], strict=True))

    def keep(self, wanted: NDArray[np.bool_]) -> None:
        """Drop the other steps."""
        self.steps = int(wanted.sum())
        self.values = {axis: column[wanted] for axis, column in self.values.items()}

    def linear(self, expr: Expr) -> Linear:
        return linear_over(simplify(expr), self.own, self.values, self.steps)


def _copies(place: _Place, buffer: Buffer) -> int:
    return buffer.slots * prod(loop.axis.extent for loop in place.loops if loop.kind == "vthread")


def _copy(place: _Place, buffer: Buffer, space: Space) -> Column:
    """Which copy of a buffer each step uses: one for each virtual thread, and slots in turn."""
    thread = np.zeros(space.steps, np.int64)
    turn = np.zeros(space.steps, np.int64)
    for loop in place.loops:
        value = space.values[loop.axis]
        if loop.kind == "vthread":
            thread = thread * loop.axis.extent + value
        else:
            turn = turn * loop.axis.extent + value
    threads = _copies(place, buffer) // buffer.slots
    return turn % buffer.slots * threads + thread


class _Builder:
    """Turns the intrinsics of one nest into operations."""

    def __init__(self, nest: Nest, config: AcceleratorConfig) -> None:
        self.walk = _Walk()
        self.walk.statement(nest.body, _Place())
        self.unit = Axis("unit", 1)
        self.digits = max((len(place.chain) for place, _ in self.walk.found), default=1)
        bodies = {place.body[0] for place, _ in self.walk.found}
        self.flat = {body for body in bodies if not any(b[: len(body)] == body != b for b in bodies)}
        self.spans = [1] * (3 * self.digits)
        for where, _ in self.walk.found:
            ends = (part + 1 if isinstance(part, int) else part.extent for part in self._when(where))
            self.spans = [max(span, end) for span, end in zip(self.spans, ends, strict=True)]
        self.addresses = self._addresses(config)
        self.producers = {i.output.buffer: (p, i) for p, i in self.walk.found if i.predicate is not None}

    def _addresses(self, config: AcceleratorConfig) -> dict[Buffer, Column]:
        """Where each copy of each buffer lies; results that overwrite an input lie where it does."""
        for buffer in self.walk.allocated:
            if buffer.scope not in SCOPES:
                raise CompileError(
                    f"{buffer.name} lies in {buffer.scope}, which the accelerator has not; "
                    f"set its scope to one of {', '.join(SCOPES)}"
                )
        homes = self._homes()
        scopes: dict[Buffer, tuple[int, ...]] = {}
        for buffer, where in self.walk.allocated.items():
            home = homes.get(buffer, buffer)
            scopes[home] = _common(scopes[home], where.scope) if home in scopes else where.scope
        wanted = [
            Wanted(
                buffer=buffer,
                tiles=prod(buffer.shape[: len(buffer.shape) - self._tile_rank(buffer)]),
                copies=_copies(self.walk.allocated[buffer], buffer),
                scope=scope,
            )
            for buffer, scope in scopes.items()
        ]
        placed = place(wanted, config)
        self.copies = tuple(Copies(w.memory, w.tiles, tuple(placed[w.buffer].tolist())) for w in wanted)
        return {buffer: placed[homes.get(buffer, buffer)] for buffer in self.walk.allocated}

    def _homes(self) -> dict[Buffer, Buffer]:
        """For each result that can overwrite an input of its operation, the buffer whose place it takes."""
        readers = Counter(region.buffer for _, invoke in self.walk.found for region in invoke.inputs)
        homes: dict[Buffer, Buffer] = {}
        for _, invoke in self.walk.found:
            if not isinstance(invoke.intrinsic, AcceleratorIntrinsic):
                continue
            target = invoke.output
            for source in (invoke.inputs[k] for k in invoke.intrinsic.in_place):
                if readers[source.buffer] == 1 and self._overlay(source, target):
                    homes[target.buffer] = homes.get(source.buffer, source.buffer)
                    break
        return homes

    def _overlay(self, source: Region, target: Region) -> bool:
        """Whether each tile of the target can lie exactly where the tile lies that it is computed from."""
        a, b = source.buffer, target.buffer
        if a is b or a not in self.walk.allocated or b not in self.walk.allocated:
            return False
        alike = a.shape == b.shape and a.slots == b.slots and a.scope == b.scope
        loops = self.walk.allocated[a].loops == self.walk.allocated[b].loops
        return alike and loops and tuple(map(simplify, source.offsets)) == tuple(map(simplify, target.offsets))

    def _tile_rank(self, buffer: Buffer) -> int:
        for _, invoke in self.walk.found:
            for region in (invoke.output, *invoke.inputs):
                if region.buffer is buffer:
                    return len(buffer.shape) - len(region.offsets)
        raise CompileError(f"{buffer.name} is allocated and never used; remove its stage")

    def operand(self, region: Region, space: Space) -> Operand:
        buffer = region.buffer
        counts = buffer.shape[: len(region.offsets)]
        index: Expr | None = None
        for count, offset in zip(counts, region.offsets, strict=True):
            index = offset if index is None else index * count + offset
        tile = space.linear(Const(0, INDEX) if index is None else index)
        if buffer in self.addresses:
            copy = _copy(self.walk.allocated[buffer], buffer, space)
            tile = Linear(tile.base + self.addresses[buffer][copy], tile.factors)
        return Operand(buffer, tile)

    def _when(self, place: _Place) -> list[int | Axis]:
        """Positions and iterations from the outside in, as many for all places.

        Iterations of virtual threads stand behind those of all other loops, which interleaves the threads; in a body
        without loops before the positions inside the threads, so that all that one thread does there comes together.
        """
        threads = [loop.axis for loop in place.outer if loop.kind == "vthread"]
        head, tail = place.body
        digits: list[int | Axis] = [*head, *(place.flat if head in self.flat else tail)]
        spare = [0] * (2 * self.digits - len(digits))
        return [*digits, *spare, *threads, *([0] * (self.digits - len(threads)))]

    def time(self, place: _Place, space: Space) -> NDArray[np.int64]:
        """`_when`, its parts joined to as few numbers as hold them."""
        numbers: list[Column] = []
        size = MAX_DIGIT
        for part, span in zip(self._when(place), self.spans, strict=True):
            if span == 1:
                continue
            if size * span > MAX_DIGIT:
                numbers.append(np.zeros(space.steps, np.int64))
                size = 1
            numbers[-1] = numbers[-1] * span + (part if isinstance(part, int) else space.values[part])
            size *= span
        return np.stack(numbers, axis=1) if numbers else np.zeros((space.steps, 1), np.int64)

    def operation(self, place: _Place, invoke: Invoke) -> Operation:
        space = Space(place, self.unit)
        # Where nothing is added to an accumulator it still gets its first value: products there are zero.
        parts = _parts(place.guards)
        begun = parts & self.walk.filled.get(invoke.output.buffer, parts)
        conditions = [form for part in begun for form in not_negative(part)]
        nothing = [form for part in parts - begun for form in not_negative(part)]
        self._drop_idle(conditions, space)
        guards = tuple(form for form in map(space.linear, conditions) if any(form.factors))
        inside: tuple[Linear, ...] = ()
        if invoke.predicate is not None:
            inside = tuple(space.linear(form) for form in not_negative(invoke.predicate))
        return Operation(
            invoke=invoke,
            time=self.time(place, space),
            extents=tuple(axis.extent for axis in space.own),
            output=self.operand(invoke.output, space),
            inputs=tuple(self.operand(region, space) for region in invoke.inputs),
            guards=guards,
            inside=inside,
            omits=tuple(map(space.linear, nothing)),
            zeros=tuple(form for region in invoke.inputs for form in self._zeros_here(region, space)),
            begins=self._begins(place, invoke.output.buffer, space),
        )

    def _drop_idle(self, conditions: Sequence[Expr], space: Space) -> None:
        """Leave out the steps in which a condition about the loops around fails."""
        wanted = np.ones(space.steps, bool)
        for form in map(space.linear, conditions):
            if not any(form.factors):
                wanted &= form.base >= 0
        if not wanted.all():
            space.keep(wanted)

    def _zeros_here(self, region: Region, space: Space) -> list[Linear]:
        """`_zeros` in the reader's loops, without what names a loop of the producer alone."""
        reach = {*space.values, *space.own}
        return [space.linear(form) for form in self._zeros(region) if variables(form) <= reach]

    def _zeros(self, region: Region) -> list[Expr]:
        """Where an input is padded with zeros, as conditions on its reader's loops."""
        place, producer = self.producers.get(region.buffer, (None, None))
        if producer is None or producer.predicate is None or producer.otherwise is None or producer.otherwise.value:
            return []
        axes = producer.output.offsets
        known: Mapping[Expr, Expr] = {
            mine: theirs for mine, theirs in zip(axes, region.offsets, strict=True) if isinstance(mine, Axis)
        }
        assert place is not None
        if any(axis.extent > 1 and axis not in known for axis in place.inner):
            return []
        return not_negative(substitute(producer.predicate, known))

    def _begins(self, place: _Place, buffer: Buffer, space: Space) -> NDArray[np.bool_]:
        """Reductions around the buffer's allocation are those of stages that read it."""
        begins = np.ones(space.steps, bool)
        around = self.walk.allocated[buffer].loops if buffer in self.walk.allocated else ()
        for loop in place.outer[len(around) :]:
            if loop.axis.kind == "reduction":
                begins &= space.values[loop.axis] == 0
        return begins


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """What two scopes begin with."""
    length = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:length]


def operations(nest: Nest, config: AcceleratorConfig) -> tuple[list[Operation], tuple[Copies, ...]]:
    """Everything that a nest asks of the accelerator, and where its buffers lie in the scratchpads.

    Raises
    ------
    CompileError
        If a stage is not tensorized, an index is not linear, or a scratchpad is too small.
    """
    builder = _Builder(nest, config)
    return [builder.operation(place, invoke) for place, invoke in builder.walk.found], builder.copies
