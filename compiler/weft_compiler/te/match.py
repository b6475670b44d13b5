"""The structural match of a point of a loop nest with a hardware intrinsic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import ScheduleError
from .expr import INDEX, Axis, Binary, Call, Cast, Combiner, Compare, Const, Expr, Read, Reduce, Select
from .intrinsic import Intrinsic
from .linear import variables
from .nest import Buffer, Invoke, Region
from .rewrite import substitute, walk
from .simplify import simplify
from .tensor import Tensor

COMMUTATIVE = ("add", "mul", "min", "max", "and", "or")


@dataclass(frozen=True)
class Point:
    """``buffer[indices] = value``, on buffers, at one iteration of all loops."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    value: Expr

    @property
    def combiner(self) -> Combiner | None:
        return self.value.combiner if isinstance(self.value, Reduce) else None

    @property
    def body(self) -> Expr:
        return self.value.body if isinstance(self.value, Reduce) else self.value


class _Mismatch(Exception):  # noqa: N818 - control flow inside this file
    """Why two expressions differ."""


@dataclass(frozen=True)
class _Binding:
    """What the intrinsic's axes and operands stand for, so far."""

    axes: Mapping[Axis, Axis]
    operands: Mapping[Tensor, Region]

    def with_axis(self, own: Axis, loop: Axis) -> _Binding:
        return replace(self, axes={**self.axes, own: loop})

    def with_operand(self, own: Tensor, region: Region) -> _Binding:
        return replace(self, operands={**self.operands, own: region})


def match(intrinsic: Intrinsic, point: Point, inner: Sequence[Axis], guards: Sequence[Expr] = ()) -> Invoke:
    """The invocation that does what a point does over the loops of ``inner``.

    Raises
    ------
    ScheduleError
        If the point computes something else; the message says where they part.
    """
    try:
        return _Matcher(intrinsic, point, tuple(inner)).invoke(guards)
    except _Mismatch as mismatch:
        raise ScheduleError(f"{point.buffer.name} is not {intrinsic.name}: {mismatch}") from None


@dataclass(frozen=True)
class _Matcher:
    intrinsic: Intrinsic
    point: Point
    inner: tuple[Axis, ...]

    def invoke(self, guards: Sequence[Expr]) -> Invoke:
        for guard in guards:
            for loop in self.inner:
                if loop in variables(guard):
                    raise _Mismatch(f"loop {loop.name} does not divide, it needs the guard {guard}; split it evenly")
        op = self.intrinsic.output.op
        assert op is not None
        output, binding = self._operand(
            self.intrinsic.output, self.point.buffer, self.point.indices, op.axes, _Binding({}, {})
        )
        value, wanted = self.point.value, op.body
        predicate, otherwise = None, None
        if isinstance(value, Select) and not isinstance(wanted, Select):
            value, predicate, otherwise = self._padding(value)
        binding = self._unify(_unit(wanted), value, binding)
        loops = set(binding.axes.values())
        for loop in self.inner:
            if loop.extent > 1 and loop not in loops:
                raise _Mismatch(f"loop {loop.name} is inside the tile, {self._tile()}; reorder it outside")
        inputs = tuple(binding.operands[tensor] for tensor in self.intrinsic.inputs if tensor in binding.operands)
        assert len(inputs) == len(self.intrinsic.inputs), f"{self.intrinsic.name} declares an input that it never reads"
        return Invoke(self.intrinsic, output, inputs, predicate, otherwise)

    def _tile(self) -> str:
        op = self.intrinsic.output.op
        assert op is not None
        axes = ", ".join(f"{axis.name} of {axis.extent}" for axis in (*op.axes, *op.reduction))
        return f"{self.intrinsic.name} has the loops {axes}"

    def _padding(self, value: Select) -> tuple[Expr, Expr, Const]:
        for loop in self.inner:
            if loop in variables(value.condition):
                raise _Mismatch(
                    f"the condition {value.condition} differs inside the tile, along {loop.name}; pad whole tiles"
                )
        if not isinstance(value.b, Const):
            raise _Mismatch(f"where the condition fails it is ({value.b}); padding is a constant")
        return value.a, value.condition, value.b

    def _operand(
        self, own: Tensor, buffer: Buffer, indices: tuple[Expr, ...], wanted: Sequence[Expr], binding: _Binding
    ) -> tuple[Region, _Binding]:
        """Compare one operand's place, type and subscripts; ``wanted`` are the intrinsic's subscripts."""
        tensors = (self.intrinsic.output, *self.intrinsic.inputs)
        scope = self.intrinsic.scopes[tensors.index(own)]
        if buffer.scope != scope:
            raise _Mismatch(f"{buffer.name} lies in {buffer.scope}, operand {own.name} must lie in {scope}")
        if buffer.dtype != own.dtype:
            raise _Mismatch(f"{buffer.name} is {buffer.dtype}, operand {own.name} is {own.dtype}")
        rank = len(own.shape)
        leading, trailing = indices[: len(indices) - rank], indices[len(indices) - rank :]
        if buffer.shape[len(buffer.shape) - rank :] != own.shape:
            raise _Mismatch(
                f"{buffer.name} has the shape {list(buffer.shape)}, "
                f"its last dimensions must be a whole tile of operand {own.name}, {list(own.shape)}"
            )
        for k, (given, mine) in enumerate(zip(trailing, wanted, strict=True)):
            where = f"index {len(leading) + k} of {buffer.name}"
            binding = self._subscript(given, mine, where, own, binding)
        for k, given in enumerate(leading):
            for loop in self.inner:
                if loop in variables(given):
                    raise _Mismatch(
                        f"index {k} of {buffer.name}, ({given}), runs inside the tile, along {loop.name}; "
                        f"operand {own.name} is one tile"
                    )
        return Region(buffer, leading), binding

    def _subscript(self, given: Expr, mine: Expr, where: str, own: Tensor, binding: _Binding) -> _Binding:
        mine = _unit(mine)
        if isinstance(mine, Axis):
            bound = binding.axes.get(mine)
            if bound is None and isinstance(given, Axis) and given in self.inner:
                if given.extent != mine.extent:
                    raise _Mismatch(
                        f"loop {given.name} has {given.extent} iterations, axis {mine.name} of operand {own.name} has "
                        f"{mine.extent}; split it by {mine.extent}"
                    )
                if given not in binding.axes.values():
                    return binding.with_axis(mine, given)
            elif bound is not None and bound is given:
                return binding
        elif given == mine:
            return binding
        elif any(isinstance(part, Read) for part in walk(mine)):
            # A table: the index is computed from other operands.
            return self._unify(mine, given, binding)
        expected = f"axis {mine.name}" if isinstance(mine, Axis) else f"({mine})"
        if isinstance(mine, Axis) and mine in binding.axes:
            expected += f", loop {binding.axes[mine].name}"
        elif isinstance(mine, Axis):
            loops = ", ".join(loop.name for loop in self.inner) or "none"
            expected += f", one of the loops inside: {loops}"
        raise _Mismatch(f"{where} is ({given}), operand {own.name} has {expected} there")

    def _unify(self, mine: Expr, given: Expr, binding: _Binding) -> _Binding:
        """Extend the binding so that both are the same, ``mine`` being the intrinsic's."""
        match mine, given:
            case Reduce(), Reduce():
                return self._reduction(mine, given, binding)
            case Const(), Const() if mine == given:
                return binding
            case Axis(), _ if mine.dtype == INDEX:
                return self._subscript(given, mine, "the value", self.intrinsic.output, binding)
            case Read(own, wanted), Read(buffer, indices):
                assert isinstance(own, Tensor)
                assert isinstance(buffer, Buffer)
                region, binding = self._operand(own, buffer, indices, wanted, binding)
                if binding.operands.get(own, region) != region:
                    raise _Mismatch(f"operand {own.name} would be two tiles of {buffer.name}")
                return binding.with_operand(own, region)
            case Binary(op, a, b), Binary(other, x, y) if op == other:
                return self._either(op, (a, b), (x, y), binding)
            case Compare(op, a, b), Compare(other, x, y) if op == other:
                return self._unify(b, y, self._unify(a, x, binding))
            case Select(c, a, b), Select(d, x, y):
                return self._unify(b, y, self._unify(a, x, self._unify(c, d, binding)))
            case Cast(dtype, a), Cast(other, x) if dtype == other:
                return self._unify(a, x, binding)
            case Call(name, args), Call(other, values) if name == other:
                for a, x in zip(args, values, strict=True):
                    binding = self._unify(a, x, binding)
                return binding
            case _:
                raise _Mismatch(f"it computes ({given}), {self.intrinsic.name} has ({mine}) there")

    def _either(self, op: str, mine: tuple[Expr, Expr], given: tuple[Expr, Expr], binding: _Binding) -> _Binding:
        (a, b), (x, y) = mine, given
        try:
            return self._unify(b, y, self._unify(a, x, binding))
        except _Mismatch:
            if op not in COMMUTATIVE:
                raise
            try:
                return self._unify(b, x, self._unify(a, y, binding))
            except _Mismatch:
                pass
            raise

    def _reduction(self, mine: Reduce, given: Reduce, binding: _Binding) -> _Binding:
        if not mine.combiner.same(given.combiner):
            raise _Mismatch(f"it reduces by {given.combiner.name}, {self.intrinsic.name} by {mine.combiner.name}")
        if mine.combiner.reassociable and not given.combiner.reassociable:
            raise _Mismatch(
                f"{self.intrinsic.name} adds up in any order, the {given.combiner.name} of {given.combiner.dtype} "
                f"depends on it; declare it with reassociable=True"
            )
        binding = self._unify(mine.body, given.body, binding)
        for own in mine.axes:
            loop = binding.axes.get(own)
            if loop is not None and loop.kind != "reduction":
                raise _Mismatch(f"loop {loop.name} is no reduction, axis {own.name} of {self.intrinsic.name} is one")
        for own, loop in binding.axes.items():
            if loop.kind == "reduction" and own not in mine.axes:
                raise _Mismatch(f"loop {loop.name} is a reduction, axis {own.name} of {self.intrinsic.name} is none")
        return binding


def _unit(expr: Expr) -> Expr:
    """With 0 for every axis that has one iteration only, as loop nests have it."""
    single: dict[Expr, Expr] = {
        axis: Const(0, INDEX) for axis in variables(expr) if isinstance(axis, Axis) and axis.extent == 1
    }
    return simplify(substitute(expr, single))
