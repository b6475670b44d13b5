"""Micro-kernels: the contraction of a step as micro-ops under the two loops of GEMM instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import pack_uops

from .streams import Column, Contraction
from .tiling import MAX_ITERATIONS

MAX_UOP_LOAD = (1 << 16) - 1
"""Micro-ops that one LOAD can bring."""

STEPS = ("dst", "src", "wgt")


@dataclass(frozen=True)
class Loop:
    """One hardware loop: iterations, and the tiles by which each moves (dst, src, wgt)."""

    count: int
    steps: tuple[int, int, int]


NO_LOOP = Loop(1, (0, 0, 0))


@dataclass(frozen=True)
class Kernel:
    """The loops and micro-ops of one contraction; ``uops`` has the columns dst, src, wgt."""

    outer: Loop
    inner: Loop
    uops: NDArray[np.int64]


def _fused(loops: list[Loop]) -> list[Loop]:
    """Join neighbouring loops that walk every operand as one loop would."""
    result: list[Loop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        if result:
            outer = result[-1]
            seamless = outer.steps == tuple(loop.count * step for step in loop.steps)
            if seamless and outer.count * loop.count <= MAX_ITERATIONS:
                result[-1] = Loop(outer.count * loop.count, loop.steps)
                continue
        result.append(loop)
    return result


def make_kernel(loops: list[Loop], base: tuple[int, int, int]) -> Kernel:
    """The two longest loops in hardware, the others unrolled into micro-ops.

    Parameters
    ----------
    loops : list of Loop
        The dimensions of the contraction, outermost first.
    base : tuple of int
        First tile of each operand (dst, src, wgt).
    """
    fused = _fused(loops)
    longest = sorted(range(len(fused)), key=lambda k: -fused[k].count)[:2]
    hardware = [fused[k] for k in sorted(longest)]
    hardware = [NO_LOOP] * (2 - len(hardware)) + hardware
    uops = np.array([base], np.int64)
    for loop in (fused[k] for k in range(len(fused)) if k not in longest):
        moves = np.arange(loop.count)[:, None] * np.array(loop.steps)
        uops = (uops[:, None, :] + moves[None]).reshape(-1, 3)
    return Kernel(hardware[0], hardware[1], uops)


@dataclass(frozen=True, kw_only=True)
class MicroCode:
    """All kernels of a program, their micro-ops in pieces that fit the micro-op buffer.

    Parameters
    ----------
    uops : array
        Encoded, piece after piece, as they lie in DRAM.
    begin, size : Column
        Where each piece lies in ``uops``.
    resident : bool
        Whether all of them fit the buffer at once, so that one load at the start serves the whole program.
    """

    uops: NDArray
    begin: Column
    size: Column
    resident: bool


class MicroCodeBuilder:
    """Collects kernels; equal micro-op lists are kept once."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.capacity = min(config.uop_depth, MAX_UOP_LOAD)
        self._pieces: dict[bytes, int] = {}
        self._lists: list[NDArray[np.int64]] = []

    def add(self, kernel: Kernel) -> list[int]:
        """The pieces whose micro-ops make up a kernel."""
        pieces = []
        for first in range(0, len(kernel.uops), self.capacity):
            part = kernel.uops[first : first + self.capacity]
            key = part.tobytes()
            if key not in self._pieces:
                self._pieces[key] = len(self._lists)
                self._lists.append(part)
            pieces.append(self._pieces[key])
        return pieces

    def build(self) -> MicroCode:
        size = np.array([len(part) for part in self._lists], np.int64)
        uops = np.concatenate(self._lists)
        return MicroCode(
            uops=pack_uops(self.config, uops[:, 0], uops[:, 1], uops[:, 2]),
            begin=np.cumsum(size) - size,
            size=size,
            resident=int(size.sum()) <= self.capacity,
        )


@dataclass(frozen=True, kw_only=True)
class GemmRows:
    """GEMM instructions in the order of the compute queue.

    Parameters
    ----------
    step : Column
        The step each belongs to.
    piece : Column
        Which piece of the micro-code each runs.
    columns : dict
        Loop fields of GEMM, and ``reset``.
    """

    step: Column
    piece: Column
    columns: dict[str, Column]


def _loop_columns(kernel: Kernel) -> dict[str, int]:
    columns = {"iter_out": kernel.outer.count, "iter_in": kernel.inner.count}
    for name, out, inner in zip(STEPS, kernel.outer.steps, kernel.inner.steps, strict=True):
        columns[f"{name}_out"], columns[f"{name}_in"] = out, inner
    return columns


def _reset_columns(kernel: Kernel) -> dict[str, int]:
    return {**_loop_columns(kernel), "reset": 1}


def _expand(steps: Column, which: Column, rows: list[list[dict[str, int]]]) -> dict[str, Column]:
    """Give every step the rows of its kernel."""
    counts = np.array([len(r) for r in rows])
    names = rows[0][0].keys()
    flat = {name: np.array([row[name] for r in rows for row in r], np.int64) for name in names}
    first = np.cumsum(counts) - counts
    per_step = counts[which]
    index = np.repeat(first[which] - np.cumsum(per_step) + per_step, per_step) + np.arange(per_step.sum())
    return {"step": np.repeat(steps, per_step), **{name: values[index] for name, values in flat.items()}}


def distinct_rows(columns: Sequence[Column], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct rows of a table of ``count`` rows, given column by column.

    Returns
    -------
    rows : array
        The distinct rows, one column each.
    which : array
        For every row of the table, which distinct one it is.
    """
    code = np.zeros(count, np.int64)
    size = 1
    for column in columns:
        low, high = int(column.min()), int(column.max())
        if low == high:
            continue
        if size * (high - low + 1) >= 1 << 62:
            distinct, code = np.unique(code, return_inverse=True)
            size = len(distinct)
        size *= high - low + 1
        code = code * (high - low + 1) + (column - low)
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    return np.stack([np.broadcast_to(column, count)[first] for column in columns], axis=1), which


def gemm_rows(
    contraction: Contraction, bases: tuple[Column, Column, Column], fresh: NDArray[np.bool_], config: AcceleratorConfig
) -> tuple[GemmRows, MicroCode]:
    """Every GEMM of a program and its micro-code; steps of equal shape and slots share a kernel.

    Parameters
    ----------
    bases : tuple of Column
        First tile of each operand (dst, src, wgt), step by step.
    fresh : bool array
        The steps that begin an accumulator tile: a reset comes before their sum.
    """
    count = len(fresh)
    dims = len(contraction.bounds)
    operands = (contraction.dst, contraction.src, contraction.wgt)
    keys = [*contraction.bounds, *(c for operand in operands for c in operand), *bases, fresh.astype(np.int64)]
    unique, which = distinct_rows(keys, count)
    builder = MicroCodeBuilder(config)
    rows: list[list[dict[str, int]]] = []
    for key in unique.tolist():
        bounds, steps = key[:dims], np.array(key[dims : 4 * dims]).reshape(3, dims).T.tolist()
        base, is_fresh = tuple(key[4 * dims : 4 * dims + 3]), key[-1]
        loops = [Loop(n, tuple(s)) for n, s in zip(bounds, steps, strict=True)]
        kernel = make_kernel(loops, base)
        program = []
        if is_fresh:
            written = [Loop(loop.count, (loop.steps[0], 0, 0)) for loop in loops if loop.steps[0]]
            reset = make_kernel(written, (base[0], 0, 0))
            program += [{"piece": piece, **_reset_columns(reset)} for piece in builder.add(reset)]
        program += [{"piece": piece, "reset": 0, **_loop_columns(kernel)} for piece in builder.add(kernel)]
        rows.append(program)
    columns = _expand(np.arange(count), which, rows)
    step, piece = columns.pop("step"), columns.pop("piece")
    return GemmRows(step=step, piece=piece, columns=columns), builder.build()
