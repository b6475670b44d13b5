"""Find by itself how an intrinsic computes a stage: which loops are the tile's, and what has to lie in tiles for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import lcm, prod

from ..errors import ScheduleError
from .expr import Axis, Binary, Const, Expr, Read, Reduce, Select
from .intrinsic import Intrinsic
from .linear import variables
from .rewrite import reads, substitute, walk
from .schedule import Schedule
from .simplify import simplify
from .state import StageState, read_tensor
from .tensor import Compute, Tensor


@dataclass(frozen=True)
class Tensorized:
    """What came of it.

    Parameters
    ----------
    tensor : Tensor
        The stage that the intrinsic computes: the given one, or a copy that lies where the intrinsic writes.
    operands : tuple of Tensor
        What it reads, in the order of the intrinsic's inputs: stages in the right memories and in tiles, which may be
        tensorized in turn.
    axis : Axis
        The outermost loop inside the tile.
    """

    tensor: Tensor
    operands: tuple[Tensor, ...]
    axis: Axis


@dataclass(frozen=True)
class _Mapping:
    """Which axis of the stage each axis of the intrinsic is, and which of its reads each operand is."""

    axes: Mapping[Axis, Axis]
    reads: tuple[tuple[Read, Read], ...]
    fit: int


def auto_tensorize(schedule: Schedule, tensor: Tensor | str, intrinsic: Intrinsic) -> Tensorized:
    """Split and reorder a stage's loops, copy and pack its operands, and tensorize it.

    A stage that already has tiles, or operands that lie in them, keep them. Loops of the tile must not be split yet.
    A product of channels that the intrinsic sums over, as in a depthwise convolution, is summed over a diagonal. Where
    a condition asks for multiples, as in a transposed convolution, its loops are split by them and unrolled.

    Raises
    ------
    ScheduleError
        If the stage does not contain the intrinsic; the message names the axis for which there is no loop, or says
        what came in between. The schedule is then as it was.
    """
    stage = schedule.program.find(tensor)
    if stage.is_scan:
        raise ScheduleError(
            f"auto_tensorize({stage.name}, {intrinsic.name}): {stage.name} is a scan, whose time 0 and later times are "
            "two intrinsics; name both by tensorize(axis, intrinsic, initial=…)"
        )
    candidates = sorted(_mappings(schedule, stage, intrinsic), key=lambda mapping: -mapping.fit)
    if not candidates and (found := _on_a_diagonal(schedule, stage, intrinsic)) is not None:
        return found
    if not candidates:
        raise ScheduleError(f"auto_tensorize({stage.name}, {intrinsic.name}): {_explain(stage, intrinsic)}")
    errors = []
    for mapping in candidates:
        program, length = schedule.program, len(schedule.trace)
        try:
            return _apply(schedule, stage, intrinsic, mapping)
        except ScheduleError as error:
            errors.append(error)
            schedule.program = program
            del schedule.trace[length:]
    raise ScheduleError(f"auto_tensorize({stage.name}, {intrinsic.name}): {errors[0]}")


def _op(tensor: Tensor) -> Compute:
    assert tensor.op is not None
    return tensor.op


def _own_axes(intrinsic: Intrinsic) -> tuple[Axis, ...]:
    op = _op(intrinsic.output)
    return (*op.axes, *op.reduction)


def _value(stage: StageState, intrinsic: Intrinsic) -> Expr:
    """What is computed where nothing is padded."""
    value = stage.value
    if isinstance(value, Select) and not isinstance(_op(intrinsic.output).body, Select):
        return value.a
    return value


def _mappings(schedule: Schedule, stage: StageState, intrinsic: Intrinsic) -> Iterator[_Mapping]:
    mine, given = reads(_op(intrinsic.output).body), reads(_value(stage, intrinsic))
    if len(mine) != len(given):
        return
    own = [axis for axis in _own_axes(intrinsic) if axis.extent > 1]
    for order in permutations(given):
        pairs = tuple(zip(mine, order, strict=True))
        if any(a.dtype != b.dtype for a, b in pairs):
            continue
        choices = [[axis for axis in _loops(stage) if _agrees(stage, intrinsic, pairs, o, axis)] for o in own]
        for chosen in product(*choices):
            if len(set(chosen)) == len(chosen):
                axes = dict(zip(own, chosen, strict=True))
                yield _Mapping(axes, pairs, _fit(schedule, stage, intrinsic, pairs, axes))


def _loops(stage: StageState) -> tuple[Axis, ...]:
    return (*stage.axes, *stage.reduction)


def _on_a_diagonal(schedule: Schedule, stage: StageState, intrinsic: Intrinsic) -> Tensorized | None:
    """Tensorize a stage whose channels are not summed up by making a sum of each; None if there is no way."""
    own = [axis for axis in _op(intrinsic.output).reduction if axis.extent > 1]
    if len(own) != 1 or not stage.reduction:
        return None
    program, length = schedule.program, len(schedule.trace)
    smallest = sorted({read_tensor(read) for read in reads(stage.value)}, key=lambda t: (prod(t.shape), t.name))
    for axis in stage.axes:
        try:
            schedule[stage.tensor].diagonal(axis, own[0].extent, smallest[0])
            if any(True for _ in _mappings(schedule, schedule.program.find(stage.tensor), intrinsic)):
                return auto_tensorize(schedule, stage.tensor, intrinsic)
        except ScheduleError:
            pass
        schedule.program = program
        del schedule.trace[length:]
    return None


def _agrees(stage: StageState, intrinsic: Intrinsic, pairs: Sequence[tuple[Read, Read]], own: Axis, axis: Axis) -> bool:
    """Whether the tiles of a loop index just what an axis of the intrinsic indexes, alone in their dimension."""
    if (own in _op(intrinsic.output).reduction) != (axis in stage.reduction) or axis.extent % own.extent:
        return False
    for mine, given in pairs:
        inside = [_in_tile(subscript, axis, own.extent) for subscript in given.indices]
        moving = [found for found in inside if found is not False]
        if moving != ([True] if own in mine.indices else []):
            return False
    return True


def _in_tile(subscript: Expr, axis: Axis, size: int) -> bool | None:
    """Whether a loop's place in a tile is the subscript's; None if it has another part in it, False if it has none."""
    if axis not in variables(subscript):
        return False
    inner = Axis(axis.name, size, axis.kind)
    outer = Axis(f"{axis.name}.outer", axis.extent // size, axis.kind)
    place: Expr = inner if axis.extent == size else outer * size + inner
    moved = simplify(substitute(subscript, {axis: place}))
    if inner not in variables(moved):
        return False
    return True if simplify(moved % size) == inner else None


def _fit(
    schedule: Schedule,
    stage: StageState,
    intrinsic: Intrinsic,
    pairs: Sequence[tuple[Read, Read]],
    axes: Mapping[Axis, Axis],
) -> int:
    """How many operands lie in the tiles that a mapping wants already; of equals, inner loops are better."""
    wanted = [(intrinsic.output.op.axes if intrinsic.output.op else (), stage.axes, stage.tensor)]
    wanted += [(mine.indices, given.indices, read_tensor(given)) for mine, given in pairs]
    fitting = sum(_lies_in_tiles(schedule, tensor, own, indices, axes) for own, indices, tensor in wanted)
    return fitting * 100 + sum(_loops(stage).index(axis) for axis in axes.values())


def _lies_in_tiles(
    schedule: Schedule, tensor: Tensor, own: Sequence[Expr], indices: Sequence[Expr], axes: Mapping[Axis, Axis]
) -> bool:
    """Whether the last dimensions are the tile: by packing, or because the tensor was declared so."""
    packing = _packing(schedule, tensor)
    if packing:
        return packing == _tiles(own, indices, axes)
    trailing = indices[len(indices) - len(own) :]
    sizes = tensor.shape[len(indices) - len(own) :]
    return len(trailing) == len(own) and all(
        (size == mine.extent and (size == 1 or axes[mine] is subscript))
        if isinstance(mine, Axis)
        else mine == subscript
        for mine, subscript, size in zip(own, trailing, sizes, strict=True)
    )


def _packing(schedule: Schedule, tensor: Tensor) -> tuple[tuple[int, int], ...]:
    return next((stage.packing for stage in schedule.program.stages if stage.tensor is tensor), ())


def _tiles(own: Sequence[Expr], indices: Sequence[Expr], axes: Mapping[Axis, Axis]) -> tuple[tuple[int, int], ...]:
    """The dimensions that become the tile's; an axis of one iteration takes any that is free.

    Raises
    ------
    ScheduleError
        If a place in the tile is no axis, as in a table: such an operand has to be declared in tiles.
    """
    for mine in own:
        if not isinstance(mine, Axis):
            raise ScheduleError(f"an operand whose index in the tile is ({mine}) cannot be packed; declare it in tiles")
    places: dict[Expr, int] = {}
    for mine in own:
        if mine in axes:
            assert isinstance(mine, Axis)
            places[mine] = next(k for k, s in enumerate(indices) if _in_tile(s, axes[mine], mine.extent))
    tiles = []
    for mine in own:
        assert isinstance(mine, Axis)
        free = (k for k in range(len(indices)) if k not in places.values())
        if mine not in places:
            places[mine] = next(free, 0)
        tiles.append((places[mine], mine.extent))
    return tuple(tiles)


def _apply(schedule: Schedule, stage: StageState, intrinsic: Intrinsic, mapping: _Mapping) -> Tensorized:
    op = _op(intrinsic.output)
    axes, scope = mapping.axes, intrinsic.scopes[0]
    tensor = stage.tensor
    in_tiles = _lies_in_tiles(schedule, tensor, op.axes, stage.axes, axes)
    tiles = _tiles(op.axes, stage.axes, axes)
    if schedule.program.is_output(stage) and not (in_tiles and scope == stage.scope):
        tensor = schedule.cache_write(tensor, scope)
    elif stage.scope != scope:
        schedule[tensor].set_scope(scope)
    if not in_tiles:
        _pack(schedule, tensor, tiles)
    operands, copies = {}, {}
    for mine, given in mapping.reads:
        operands[mine.tensor] = _operand(schedule, tensor, intrinsic, mapping, mine, given, copies)
    axis = _tile_loops(schedule, tensor, stage, intrinsic, axes)
    schedule[tensor].tensorize(axis, intrinsic)
    return Tensorized(tensor, tuple(operands[own] for own in intrinsic.inputs), axis)


def _pack(schedule: Schedule, tensor: Tensor, tiles: Sequence[tuple[int, int]]) -> None:
    stage = schedule[tensor]
    stage.pack(*((stage.axes[dimension], factor) for dimension, factor in tiles))


def _operand(
    schedule: Schedule,
    tensor: Tensor,
    intrinsic: Intrinsic,
    mapping: _Mapping,
    mine: Read,
    given: Read,
    copies: dict[Tensor, Tensor],
) -> Tensor:
    """The tensor that the stage reads, where and as the intrinsic wants it: itself, moved and packed, or a copy.

    What is read twice has one copy in ``copies``, which `match` finds fit for both or not.
    """
    assert isinstance(mine.tensor, Tensor)
    source = read_tensor(given)
    if source in copies:
        return copies[source]
    scope = intrinsic.scopes[1 + intrinsic.inputs.index(mine.tensor)]
    in_tiles = _lies_in_tiles(schedule, source, mine.indices, given.indices, mapping.axes)
    program = schedule.program
    state = next((stage for stage in program.stages if stage.tensor is source), None)
    if in_tiles and scope == (state.scope if state else "global"):
        return source
    if in_tiles:
        first = len(given.indices) - len(mine.indices)
        tiles = tuple((first + k, size) for k, size in enumerate(mine.tensor.shape))
    else:
        tiles = _tiles(mine.indices, given.indices, mapping.axes)
    own = state is not None and not program.is_output(state) and len(program.consumers(source)) == 1
    own = own and state is not None and (scope == "global" or _is_whole(state, tiles))
    if own and state is not None and not state.packing and state.scope in ("global", scope):
        if state.scope != scope:
            schedule[source].set_scope(scope)
    else:
        copies[source] = source = schedule.cache_read(source, scope, [tensor])
        in_tiles = in_tiles and not (state and state.packing)
    if not in_tiles:
        _pack(schedule, source, tiles)
    return source


def _is_whole(stage: StageState, tiles: Sequence[tuple[int, int]]) -> bool:
    """Whether all of a tile is padding or nothing, so that it can be loaded."""
    if not isinstance(stage.value, Select):
        return True
    inside = {stage.axes[dimension] for dimension, _ in tiles}
    return not inside & variables(stage.value.condition)


def _tile_loops(
    schedule: Schedule, tensor: Tensor, stage: StageState, intrinsic: Intrinsic, axes: Mapping[Axis, Axis]
) -> Axis:
    """Split the loops by the tile and put the tile's inside; the outermost of these."""
    new = schedule[tensor]
    now = dict(zip(stage.axes, new.axes, strict=True)) | {axis: axis for axis in new.reduce_axes}
    inner = []
    for own in _own_axes(intrinsic):
        if own in axes:
            axis = now[axes[own]]
            inner.append(axis if axis.extent == own.extent else new.split(axis, own.extent)[1])
    phases = [new.split(axis, count)[1] for axis, count in _multiples(new.state, inner)]
    new.reorder(*phases, *(leaf for leaf in new.leaves if leaf not in (*phases, *inner)), *inner)
    for axis in phases:
        new.unroll(axis)
    return inner[0]


def _multiples(stage: StageState, tile: Sequence[Axis]) -> list[tuple[Axis, int]]:
    """The loops that stand in a remainder of which a condition depends, and by how much to split them."""
    value = stage.value
    if not isinstance(value, Reduce) or not isinstance(value.body, Select):
        return []
    found: dict[Axis, int] = {}
    for part in walk(value.body.condition):
        if isinstance(part, Binary) and part.op == "mod" and isinstance(part.b, Const):
            for axis in (leaf for leaf in stage.leaves if leaf in variables(part.a) and leaf not in tile):
                if axis.extent > 1:
                    found[axis] = lcm(found.get(axis, 1), int(part.b.value))
    # A result gets its first value once, whichever taps come after it.
    order = sorted(found, key=lambda axis: axis.kind == "reduction")
    return [(axis, min(found[axis], axis.extent)) for axis in order]


def _explain(stage: StageState, intrinsic: Intrinsic) -> str:
    """Why there is no mapping."""
    mine, given = reads(_op(intrinsic.output).body), reads(_value(stage, intrinsic))
    if isinstance(_op(intrinsic.output).body, Reduce) and not stage.reduction:
        return f"{stage.name} reduces nothing, {intrinsic.name} does"
    if len(mine) != len(given):
        return f"{stage.name} reads {len(given)} elements at a point, {intrinsic.name} {len(mine)}"
    types, wanted = sorted(r.dtype for r in given), sorted(r.dtype for r in mine)
    if types != wanted:
        return f"{stage.name} reads {', '.join(types)}; {intrinsic.name} reads {', '.join(wanted)}"
    pairs = tuple(zip(mine, given, strict=True))
    for own in _own_axes(intrinsic):
        if own.extent > 1 and not any(
            _agrees(stage, intrinsic, tuple(zip(mine, order, strict=True)), own, axis)
            for order in permutations(given)
            for axis in _loops(stage)
        ):
            kind = "reduction" if own.kind == "reduction" else "loop"
            where = [intrinsic.output.name] if own.kind != "reduction" else []
            where += [m.tensor.name for m, _ in pairs if own in m.indices]
            found = "; ".join(_indexed(stage, axis, given) for axis in _loops(stage))
            return (
                f"axis {own.name} of {intrinsic.name} is a {kind} of {own.extent} that indexes "
                f"{' and '.join(where)} only, alone in its dimension; {stage.name} has {found}"
            )
    return f"no choice of the loops of {stage.name} gives every axis of {intrinsic.name} one of its own"


def _indexed(stage: StageState, axis: Axis, given: Sequence[Read]) -> str:
    where = [stage.name] if axis in stage.axes else []
    where += [r.tensor.name for r in given if any(axis is subscript for subscript in r.indices)]
    mixed = [
        r.tensor.name for r in given if any(axis in variables(s) and axis is not s for s in r.indices)
    ]  # fmt: skip
    places = " and ".join([*where, *(f"{name} with others" for name in mixed)])
    return f"{axis.name} of {axis.extent} on {places or 'nothing'}"
