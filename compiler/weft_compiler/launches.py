"""Operations of the accelerator gathered into launches: those without a host step between them are one program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_runtime.module_model import AcceleratorStep, Buffer, Part
from xdsl.ir import Operation, SSAValue

from .accel.link import Linked
from .accel.link import Part as LinkedPart
from .dialects import qgraph
from .errors import CompileError
from .passes.plan_memory import place_of, storage_of, users_of

PlaceConstant = Callable[[str, NDArray], Buffer]
"""Puts an array into the device's region under a name."""


@dataclass(frozen=True)
class Pending:
    """An operation whose program will be part of the next launch.

    Parameters
    ----------
    layer : int
        Whose it is.
    inputs, outputs : tuple of SSAValue
        The tensors that it reads and writes.
    """

    op: Operation
    layer: int
    part: LinkedPart
    inputs: tuple[SSAValue, ...]
    outputs: tuple[SSAValue, ...]


def launches_of(
    pending: list[Pending], names: Callable[[int], str], place: PlaceConstant, config: AcceleratorConfig
) -> Iterator[AcceleratorStep]:
    """One launch of all that is pending, its program and micro-ops put among the constants.

    Where the token queues are too short for that each operation is a launch of its own.

    Raises
    ------
    CompileError
        If they are too short for an operation alone.
    """
    if len(pending) > 1:
        try:
            linked = Linked([p.part for p in pending], config)
        except CompileError:
            pass
        else:
            yield _launch(pending, linked, names, place)
            return
    for one in pending:
        yield _launch([one], Linked([one.part], config), names, place)


def _launch(
    pending: list[Pending], linked: Linked, names: Callable[[int], str], place: PlaceConstant
) -> AcceleratorStep:
    uops = [
        place(f"{names(p.layer)}.uops", encoded).offset if encoded.nbytes else 0
        for p, encoded in zip(pending, linked.uops, strict=True)
    ]
    words = linked.encode(uops).astype("<u8")
    parts = tuple(Part(p.layer, *map(int, counts)) for p, counts in zip(pending, linked.counts, strict=True))
    first, last = names(pending[0].layer), names(pending[-1].layer)
    stream = place(f"{first if first == last else f'{first}..{last}'}.instructions", words)
    reads, writes = tuple(_read(pending)), tuple(_written(pending))
    return AcceleratorStep(pending[0].layer, stream, len(words), reads, writes, parts if len(parts) > 1 else ())


def _read(pending: list[Pending]) -> Iterator[Buffer]:
    """What comes from outside; constants are on the device already."""
    made = {storage_of(value) for p in pending for value in p.outputs}
    inputs = dict.fromkeys(storage_of(value) for p in pending for value in p.inputs)
    for value in inputs:
        if value not in made and not isinstance(value.owner, qgraph.ConstantOp):
            yield place_of(value)


def _written(pending: list[Pending]) -> Iterator[Buffer]:
    """What anybody else reads."""
    ops = {p.op for p in pending}
    for p in pending:
        for value in p.outputs:
            if any(user not in ops for user in users_of(value)):
                yield place_of(value)
