"""Primitives that add or remove stages: copies of tensors in other memories, and values put in where they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import ScheduleError
from .axes import pack as packed
from .axes import untouched
from .expr import Axis, Expr, Read, Reduce
from .nest import SCOPES
from .rewrite import substitute, transform
from .simplify import simplify
from .state import Attachment, Program, StageState
from .tensor import Compute, Tensor


def cache_read(
    program: Program, tensor: Tensor | str, scope: str, readers: Sequence[Tensor | str] | None
) -> tuple[Program, Tensor]:
    """A copy of a tensor for some of its readers, all if None."""
    tensor = program.tensor(tensor)
    _require_scope(scope)
    consumers = program.consumers(tensor)
    legal = ", ".join(stage.name for stage in consumers) or "none"
    chosen = consumers if readers is None else [program.find(reader) for reader in readers]
    if not chosen:
        raise ScheduleError(f"nothing reads {tensor.name}; its readers are {legal}")
    for stage in chosen:
        if not any(stage.tensor is consumer.tensor for consumer in consumers):
            raise ScheduleError(f"{stage.name} does not read {tensor.name}; its readers are {legal}")
    copy = _copy(program, tensor, scope)
    new = StageState(tensor=copy, axes=_axes(copy), value=_op(copy).body, leaves=_axes(copy), scope=scope)
    first = next(s for s in program.stages if any(s.tensor is c.tensor for c in chosen))
    for stage in chosen:
        program = program.updated(replace(stage, value=_redirected(stage.value, tensor, copy)))
    return program.inserted(new, program[first.tensor]), copy


def cache_write(program: Program, tensor: Tensor | str, scope: str) -> tuple[Program, Tensor]:
    """Compute a tensor in another memory; what is left of its stage copies it out."""
    stage = program.find(tensor)
    _require_scope(scope)
    if stage.is_scan:
        raise ScheduleError(f"{stage.name} is a scan, which reads itself; cache what reads it instead")
    untouched(program, stage, "cache_write comes")
    axes = tuple(Axis(axis.name, axis.extent, axis.kind) for axis in stage.axes)
    value = substitute(stage.value, dict(zip(stage.axes, axes, strict=True)))
    copy = Tensor(
        fresh_name(program, stage.tensor, scope), stage.tensor.shape, stage.tensor.dtype, Compute(axes, value)
    )
    reduction = value.axes if isinstance(value, Reduce) else ()
    new = StageState(tensor=copy, axes=axes, value=value, leaves=(*axes, *reduction), scope=scope)
    parallel = tuple(leaf for leaf in stage.leaves if leaf.kind != "reduction")
    left = replace(stage, value=Read(copy, stage.axes), leaves=parallel)
    return program.updated(left).inserted(new, left), copy


def compute_inline(program: Program, tensor: Tensor | str) -> Program:
    """Put a stage's value wherever it is read, and drop the stage."""
    stage = program.find(tensor)
    if program.is_output(stage):
        raise ScheduleError(f"{stage.name} is an output; it has to be computed")
    if stage.reduction:
        raise ScheduleError(
            f"{stage.name} is a {stage.combiner.name if stage.combiner else ''}; attach it by compute_at"
        )
    if stage.is_scan:
        raise ScheduleError(f"{stage.name} is a scan, which reads itself; only stages that do not can be put in place")
    untouched(program, stage, "compute_inline comes")

    def in_place(part: Expr) -> Expr | None:
        if isinstance(part, Read) and part.tensor is stage.tensor:
            return simplify(substitute(stage.value, dict(zip(stage.axes, part.indices, strict=True))))
        return None

    for consumer in program.consumers(stage.tensor):
        program = program.updated(replace(consumer, value=transform(consumer.value, in_place)))
    return replace(program, stages=tuple(s for s in program.stages if s.tensor is not stage.tensor))


def set_scope(program: Program, tensor: Tensor | str, scope: str) -> Program:
    """Say where a stage's tensor lies."""
    stage = program.find(tensor)
    _require_scope(scope)
    if program.is_output(stage) and scope != "global":
        raise ScheduleError(f"{stage.name} is an output, which lies in global; use cache_write to compute it elsewhere")
    return program.updated(replace(stage, scope=scope))


def compute_at(program: Program, tensor: Tensor | str, where: Tensor | str, axis: Axis | str) -> Program:
    """Run a stage inside a loop of another, for the part that is read there."""
    stage, outer = program.find(tensor), program.find(where)
    if stage.tensor is outer.tensor:
        raise ScheduleError("a stage cannot run inside itself; name a stage that reads it")
    if program.is_output(stage):
        raise ScheduleError(f"{stage.name} is an output, it is computed whole; cache_write it and attach the copy")
    if stage.is_scan:
        raise ScheduleError(f"{stage.name} is a scan, it is computed whole; attach what it reads to it instead")
    if any(kind == "parallel" for kind in stage.marks.values()):
        raise ScheduleError(
            f"{stage.name} has a parallel loop, which is the outermost of all; attach it before marking"
        )
    return program.updated(replace(stage, attachment=Attachment(outer.tensor, outer.axis(axis))))


def pack(program: Program, tensor: Tensor | str, tiles: Sequence[tuple[Axis | str, int]]) -> Program:
    """Hold a tensor in tiles."""
    stage = program.find(tensor)
    if program.is_output(stage):
        raise ScheduleError(
            f"{stage.name} is an output, which lies as it is declared; cache_write it and pack the copy"
        )
    return program.updated(packed(stage, tiles))


def double_buffer(program: Program, tensor: Tensor | str) -> Program:
    """Let a stage write one buffer while the other is read."""
    stage = program.find(tensor)
    return program.updated(replace(stage, slots=2))


def _require_scope(scope: str) -> None:
    if scope not in SCOPES:
        raise ScheduleError(f"scope {scope!r} is unknown; choose one of {', '.join(SCOPES)}")


def fresh_name(program: Program, tensor: Tensor, scope: str) -> str:
    """A name for a copy of a tensor that no other tensor has."""
    name = unique = f"{tensor.name}.{scope}"
    k = 1
    while unique in program.names():
        unique, k = f"{name}_{k}", k + 1
    return unique


def _copy(program: Program, tensor: Tensor, scope: str) -> Tensor:
    names = [axis.name for axis in tensor.op.axes] if tensor.op else [f"i{k}" for k in range(len(tensor.shape))]
    axes = tuple(Axis(name, size) for name, size in zip(names, tensor.shape, strict=True))
    return Tensor(fresh_name(program, tensor, scope), tensor.shape, tensor.dtype, Compute(axes, Read(tensor, axes)))


def _op(tensor: Tensor) -> Compute:
    assert tensor.op is not None
    return tensor.op


def _axes(tensor: Tensor) -> tuple[Axis, ...]:
    return _op(tensor).axes


def _redirected(value: Expr, old: Tensor, new: Tensor) -> Expr:
    def change(part: Expr) -> Expr | None:
        return Read(new, part.indices) if isinstance(part, Read) and part.tensor is old else None

    return transform(value, change)
