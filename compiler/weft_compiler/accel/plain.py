"""Programs of the base instruction set that keep clear of what other RTL of it is known to get wrong.

Accumulators leave byte by byte: STORE narrows to the low 8 bits, so the four *planes* of a result are stored one after
another, the accumulators shifted right by 8 between. Beside that
- no two micro-ops of a GEMM that follow each other add to one accumulator: loops change places, or every second
  micro-op adds to a spare accumulator that nobody reads;
- an ALU operation on immediates names one accumulator as both its source and its destination;
- nothing is stored straight behind a reset: an ALU operation that changes nothing comes between;
- no LOAD fills a scratchpad, since all are taken to be a tile smaller, whose last ACC tile is the spare one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Alu, AluOp, Gemm, Memory, Queue, Store

from .columns import Column
from .micro_code import MicroKernels
from .stream import Rows, Stream

PLANES = 4
"""Bytes of an accumulator."""

LOOPS = ("dst", "src", "wgt")


def without_extensions(config: AcceleratorConfig) -> AcceleratorConfig:
    """The accelerator as a program sees it that uses the base instruction set alone; encodings are the same."""
    return replace(
        config, raw_store=False, pad_value=False, widening_load=False, gemm_overwrite=False, alu_extensions=False,
        epilogue_lanes=0, residual=False, table=False,
    )  # fmt: skip


def smaller(config: AcceleratorConfig) -> AcceleratorConfig:
    """The accelerator that a program is lowered for before `plain` changes it."""
    depths = {name: getattr(config, name) - 1 for name in ("inp_depth", "wgt_depth", "acc_depth")}
    return replace(config, raw_store=True, **depths)


def plain(stream: Stream, config: AcceleratorConfig) -> Stream:
    """A program for `smaller` that stores accumulators whole as one that does without; the result's planes lie one
    behind the other."""
    assert stream.nest is not None
    (out,) = stream.nest.outputs
    tiles = prod(out.shape) // (config.batch * config.block_out)
    kernels = MicroKernels(config)
    rows: list[Rows] = []
    for r in stream.rows:
        if r.cls is Store:
            rows += _by_planes(r, tiles, kernels)
        elif r.cls is Gemm:
            rows.append(_apart(r, stream.kernels, kernels, config))
        else:
            rows.append(r)
    return Stream(config, tuple(rows), kernels, stream.macs, None, stream.copies)


def _later(time: NDArray[np.int64], digit: int | Column) -> NDArray[np.int64]:
    """Times with one more digit."""
    return np.concatenate([time, np.broadcast_to(np.asarray(digit, np.int64), (len(time),))[:, None]], axis=1)


def _by_planes(r: Rows, tiles: int, kernels: MicroKernels) -> Iterator[Rows]:
    """STOREs of the low bytes, and before each the ALU operation that brings them there."""
    (touch,) = r.touches
    assert r.tensor is not None
    ones = np.ones(len(r), np.int64)
    kernel = np.array([kernels.add(np.array([[first, first, 0]])) for first in touch.first.tolist()], np.int64)
    loops = {"iter_out": ones, "iter_in": touch.end - touch.first, "dst_out": 0 * ones, "dst_in": ones}
    loops |= {"src_out": 0 * ones, "src_in": ones, "use_imm": ones}
    for plane in range(PLANES):
        op, amount = (AluOp.SHR, 8) if plane else (AluOp.ADD, 0)
        columns = loops | {"alu_op": ones * int(op), "imm": ones * amount}
        written = replace(touch, writes=True)
        yield Rows(
            cls=Alu, queue=Queue.COMPUTE, time=_later(r.time, 2 * plane), columns=columns, touches=(written,),
            kernel=kernel,
        )  # fmt: skip
        columns = {**r.columns, "memory": ones * int(Memory.OUT), "dram": r.columns["dram"] + plane * tiles}
        yield replace(r, time=_later(r.time, 2 * plane + 1), columns=columns, tensor=(r.tensor[0], Memory.OUT))


@dataclass(frozen=True)
class _Nest:
    """Micro-ops under two loops: counts, and steps of dst, src and wgt."""

    uops: NDArray[np.int64]
    counts: tuple[int, int]
    steps: tuple[tuple[int, int, int], tuple[int, int, int]]

    def swapped(self) -> _Nest:
        (outer, inner), (out, in_) = self.counts, self.steps
        return _Nest(self.uops, (inner, outer), (in_, out))

    def split(self) -> list[_Nest]:
        """One for each micro-op."""
        return [replace(self, uops=uop[None]) for uop in self.uops]

    def expanded(self) -> _Nest:
        """Without loops."""
        uops = self.uops
        for count, steps in zip(self.counts[::-1], self.steps[::-1], strict=True):
            uops = (uops[None] + np.arange(count)[:, None, None] * np.array(steps)).reshape(-1, 3)
        return _Nest(uops, (1, 1), ((0, 0, 0), (0, 0, 0)))

    def with_spare(self, tile: int) -> _Nest:
        """Behind each micro-op the same product into a spare accumulator."""
        spare = self.uops.copy()
        spare[:, 0] = tile
        return replace(self, uops=np.stack([self.uops, spare], axis=1).reshape(-1, 3))

    def is_clear(self) -> bool:
        """Whether no two steps that follow each other write one accumulator."""
        dst = self.uops[:, 0]
        outer, inner = (steps[0] for steps in self.steps)
        wraps = [inner] if self.counts[1] > 1 else []
        wraps += [outer - (self.counts[1] - 1) * inner] if self.counts[0] > 1 else []
        return bool((np.diff(dst) != 0).all()) and all(dst[-1] != dst[0] + wrap for wrap in wraps)


def _clear(nest: _Nest, spare: int, capacity: int) -> list[_Nest]:
    """The same sums as instructions of the fewest micro-ops that are clear."""
    for one in (nest, nest.swapped()):
        if one.is_clear():
            return [one]
    for one in (nest, nest.swapped()):
        if all(part.is_clear() for part in one.split()):
            return one.split()
    moves = any(count > 1 and steps[0] for count, steps in zip(nest.counts, nest.steps, strict=True))
    doubled = (nest.expanded() if moves else nest).with_spare(spare)
    size = capacity - capacity % 2
    return [replace(doubled, uops=doubled.uops[at : at + size]) for at in range(0, len(doubled.uops), size)]


def _apart(r: Rows, before: MicroKernels, kernels: MicroKernels, config: AcceleratorConfig) -> Rows:
    """GEMM instructions no two of whose neighbouring steps add to one accumulator."""
    assert r.kernel is not None
    columns = r.columns
    known: dict[tuple[int, ...], list[_Nest]] = {}
    names = ("iter_out", "iter_in", *(f"{operand}_{loop}" for loop in ("out", "in") for operand in LOOPS))
    table = np.stack([r.kernel, columns["reset"], *(columns[name] for name in names)], axis=1)
    source, order, made = [], [], []
    for number, row in enumerate(table.tolist()):
        key = tuple(row)
        if key not in known:
            kernel, reset, out, inner, *steps = row
            nest = _Nest(before.lists[kernel], (out, inner), (tuple(steps[:3]), tuple(steps[3:])))
            known[key] = [nest] if reset else _clear(nest, config.acc_depth - 1, kernels.capacity)
        for k, nest in enumerate(known[key]):
            source.append(number)
            order.append(k)
            made.append([kernels.add(nest.uops), *nest.counts, *nest.steps[0], *nest.steps[1]])
    which = np.array(source, np.int64)
    values = np.array(made, np.int64).reshape(-1, 9).T
    changed: Mapping[str, Column] = dict(zip(names, values[1:], strict=True))
    touches = tuple(replace(t, first=t.first[which], end=t.end[which]) for t in r.touches)
    return replace(
        r,
        time=_later(r.time[which], np.array(order, np.int64)),
        columns={**{name: column[which] for name, column in columns.items()}, **changed},
        touches=touches,
        kernel=values[0],
    )
