"""Micro-kernels: boxes of iterations as micro-ops under the two loops of a GEMM or ALU instruction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from weft_hardware.isa import LoopInstruction, field_limits

MAX_ITERATIONS = field_limits(LoopInstruction, "iter_out")[1]
"""Most iterations of one hardware loop."""

OPERANDS = ("dst", "src", "wgt")


@dataclass(frozen=True)
class Loop:
    """``count`` iterations, each ``steps`` tiles (dst, src, wgt) from the one before."""

    count: int
    steps: tuple[int, int, int]


NO_LOOP = Loop(1, (0, 0, 0))


@dataclass(frozen=True)
class Kernel:
    """What one instruction runs; ``uops`` has the columns dst, src, wgt."""

    outer: Loop
    inner: Loop
    uops: NDArray[np.int64]

    def span(self, operand: int) -> tuple[int, int]:
        """The tiles ``[first, end)`` of one operand between which all indices lie."""
        indices = self.uops[:, operand]
        moves = sum((loop.count - 1) * loop.steps[operand] for loop in (self.outer, self.inner))
        return int(indices.min()), int(indices.max()) + moves + 1

    def columns(self) -> dict[str, int]:
        """The loop fields of the instruction."""
        fields = {"iter_out": self.outer.count, "iter_in": self.inner.count}
        for name, out, inner in zip(OPERANDS, self.outer.steps, self.inner.steps, strict=True):
            fields[f"{name}_out"], fields[f"{name}_in"] = out, inner
        return fields


def _fused(loops: Sequence[Loop]) -> list[Loop]:
    """Join neighbouring loops that walk every operand as one loop would; drop those of one iteration."""
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


def make_kernel(loops: Sequence[Loop], bases: Sequence[tuple[int, int, int]]) -> Kernel:
    """The two longest loops in hardware, the others and all bases unrolled into micro-ops.

    Parameters
    ----------
    loops : sequence of Loop
        Outermost first.
    bases : sequence of tuple
        The tiles (dst, src, wgt) of the first iteration; the loops run once for each.
    """
    fused = _fused(loops)
    # Steps of the hardware's loops are never negative.
    able = [k for k, loop in enumerate(fused) if min(loop.steps) >= 0 and loop.count <= MAX_ITERATIONS]
    longest = sorted(able, key=lambda k: -fused[k].count)[:2]
    hardware = [fused[k] for k in sorted(longest)]
    hardware = [NO_LOOP] * (2 - len(hardware)) + hardware
    uops = np.array(bases, np.int64).reshape(-1, 3)
    for loop in (fused[k] for k in range(len(fused)) if k not in longest):
        moves = np.arange(loop.count)[:, None] * np.array(loop.steps)
        uops = (uops[:, None, :] + moves[None]).reshape(-1, 3)
    return Kernel(hardware[0], hardware[1], uops)


def pieces(kernel: Kernel, capacity: int) -> Iterator[Kernel]:
    """A kernel in parts whose micro-ops fit the buffer."""
    for first in range(0, len(kernel.uops), capacity):
        yield replace(kernel, uops=kernel.uops[first : first + capacity])
