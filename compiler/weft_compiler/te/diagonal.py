"""A product without a sum over channels, as one with a sum: by a factor that is zero everywhere but on its diagonal."""

from __future__ import annotations

from dataclasses import replace

from ..errors import ScheduleError
from .caches import fresh_name
from .expr import Axis, Binary, Cast, Const, Expr, Read, Reduce, is_integer, select
from .rewrite import reads, transform
from .state import Program, StageState, read_tensor
from .tensor import Compute, Tensor


def diagonal(program: Program, tensor: Tensor | str, axis: Axis | str, factor: int, operand: Tensor | str) -> Program:
    """``Σ x[c] · w[c]`` as ``Σ x[c // f · f + i] · d[c, i]``, where ``d[c, i] = w[c] if c % f == i else 0``.

    Parameters
    ----------
    axis : Axis or str
        ``c``, a dimension of the stage that each of two factors has by itself in one of its dimensions.
    factor : int
        ``f``, iterations of the new sum.
    operand : Tensor or str
        ``w``; its copy ``d`` has one dimension more, the last.
    """
    stage, source = program.find(tensor), program.tensor(operand)
    if stage.relations or stage.marks or stage.tensorized:
        raise ScheduleError(f"the loops of {stage.name} are scheduled already; diagonal comes first")
    channel = stage.axis(axis)
    body, other = _factors(stage, source)
    places = [_place(stage, read, channel) for read in (body, other)]
    if factor < 1 or channel.extent % factor:
        raise ScheduleError(
            f"axis {channel.name} has {channel.extent} iterations, no whole number of {factor}; pad the tensor"
        )
    copy = _spread(program, source, places[0], factor)
    i = Axis(_unused(stage, "i"), factor, "reduction")
    moved = tuple(channel // factor * factor + i if k == places[1] else index for k, index in enumerate(other.indices))

    def change(part: Expr) -> Expr | None:
        if isinstance(part, Read) and part.tensor is source:
            return Read(copy, (*part.indices, i))
        return Read(part.tensor, moved) if isinstance(part, Read) and part.tensor is other.tensor else None

    value = stage.value
    assert isinstance(value, Reduce)
    changed = replace(stage, value=replace(value, body=transform(value.body, change), axes=(*value.axes, i)))
    changed = replace(changed, leaves=(*stage.leaves, i))
    assert copy.op is not None
    new = StageState(tensor=copy, axes=copy.op.axes, value=copy.op.body, leaves=copy.op.axes)
    return program.updated(changed).inserted(new, changed)


def _factors(stage: StageState, source: Tensor) -> tuple[Read, Read]:
    """The two reads of a sum of products, the operand's first."""
    value = stage.value
    if isinstance(value, Reduce) and value.combiner.name == "sum" and is_integer(value.dtype):
        product = value.body
        if isinstance(product, Binary) and product.op == "mul" and all(map(_is_read, (product.a, product.b))):
            found = sorted(reads(product), key=lambda read: read.tensor is not source)
            if [read_tensor(read) is source for read in found] == [True, False]:
                return found[0], found[1]
    raise ScheduleError(f"{stage.name} is no sum of products of whole numbers of {source.name} and another tensor")


def _is_read(expr: Expr) -> bool:
    return isinstance(expr.a if isinstance(expr, Cast) else expr, Read)


def _place(stage: StageState, read: Read, channel: Axis) -> int:
    """The dimension that an axis indexes by itself."""
    from .linear import variables

    found = [k for k, index in enumerate(read.indices) if channel in variables(index)]
    if channel.kind == "reduction" or len(found) != 1 or read.indices[found[0]] is not channel:
        raise ScheduleError(
            f"axis {channel.name} of {stage.name} does not index one dimension of {read.tensor.name} by itself"
        )
    return found[0]


def _spread(program: Program, source: Tensor, place: int, factor: int) -> Tensor:
    """The operand with its values on the diagonal of two dimensions."""
    axes = (*(Axis(f"i{k}", size) for k, size in enumerate(source.shape)), Axis("i", factor))
    value = select((axes[place] % factor).equal(axes[-1]), Read(source, axes[:-1]), Const(0, source.dtype))
    shape = (*source.shape, factor)
    return Tensor(fresh_name(program, source, "diagonal"), shape, source.dtype, Compute(axes, value))


def _unused(stage: StageState, name: str) -> str:
    taken = {axis.name for axis in (*stage.axes, *stage.reduction)}
    unique, k = name, 1
    while unique in taken:
        unique, k = f"{name}_{k}", k + 1
    return unique
