"""Transposed convolutions as convolutions whose results lie between one another; no inserted zero is multiplied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .conv_task import Phases
from .errors import CompileError


@dataclass(frozen=True)
class _Side:
    """One dimension: see `Phases`."""

    count: int
    offset: int
    kernel: int
    size: int
    taps: int
    pads: tuple[int, int]


def _side(expansion: int, pad: int, kernel: int, inputs: int, outputs: int) -> _Side:
    if pad < 0:
        raise CompileError(
            f"the transposed convolution drops {-pad} results more than its kernel spans; crop its input instead"
        )
    # Of a phase without a tap there would be no sum: a kernel shorter than the expansion gets taps that are 0.
    kernel = max(kernel, expansion)
    size, taps = -(-outputs // expansion), -(-kernel // expansion)
    before, offset = pad // expansion, expansion - 1 - pad % expansion
    reach = (expansion - 1 + offset) // expansion
    after = max(0, size + taps - 1 + reach - before - inputs)
    return _Side(expansion, offset, kernel, size, taps, (before, after))


def split_phases(
    expansion: Sequence[int],
    pads: Sequence[int],
    kernel: Sequence[int],
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    own_parameters: bool,
) -> tuple[Phases, tuple[int, int], tuple[int, int, int, int]]:
    """The phases, the rows and columns of one phase's kernel, and its padding at the top, left, bottom and right.

    Parameters
    ----------
    expansion : pair of int
        Places that an input takes among the zeros.
    pads : sequence of int
        Padding of the input with its zeros; at the top and left first.
    kernel, inputs, outputs : pair of int
        Rows and columns; the kernel's with those that its dilation leaves out.

    Raises
    ------
    CompileError
        If padding is negative.
    """
    rows, columns = (_side(expansion[k], pads[k], kernel[k], inputs[k], outputs[k]) for k in range(2))
    phases = Phases(
        count=(rows.count, columns.count),
        offset=(rows.offset, columns.offset),
        kernel=(rows.kernel, columns.kernel),
        size=(rows.size, columns.size),
        own_parameters=own_parameters,
    )
    return phases, (rows.taps, columns.taps), (rows.pads[0], columns.pads[0], rows.pads[1], columns.pads[1])


def dilated(weights: NDArray[np.int16], dilations: Sequence[int]) -> NDArray[np.int16]:
    """Weights (O, C, kh, kw) with zeros for the rows and columns that the dilation leaves out."""
    *outer, kh, kw = weights.shape
    result = np.zeros((*outer, (kh - 1) * dilations[0] + 1, (kw - 1) * dilations[1] + 1), weights.dtype)
    result[..., :: dilations[0], :: dilations[1]] = weights
    return result


def phase_weights(weights: NDArray[np.int16], phases: Phases) -> NDArray[np.int16]:
    """Weights (O, C, kh, kw) as (O, C, phases, phases, taps, taps): the taps of each phase, 0 beyond its last."""
    (down, right), (kh, kw) = phases.count, phases.kernel
    taps = -(-kh // down), -(-kw // right)
    whole = np.zeros((*weights.shape[:2], taps[0] * down, taps[1] * right), weights.dtype)
    whole[:, :, : weights.shape[2], : weights.shape[3]] = weights
    split = whole.reshape(*weights.shape[:2], taps[0], down, taps[1], right)
    rows, columns = (
        [n - 1 - (phase + offset) % n for phase in range(n)]
        for n, offset in zip(phases.count, phases.offset, strict=True)
    )
    return split[:, :, :, rows][..., columns].transpose(0, 1, 3, 5, 2, 4)
