"""Images of few channels: windows of pixels become channels, so that tiles are filled instead of padded with zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig

from .conv_task import ConvTask, Fold
from .errors import CompileError
from .tiling_search import choose_tiling


def folded(task: ConvTask, channels: int, fold: Fold, config: AcceleratorConfig) -> ConvTask:
    """The same convolution on a folded image, which holds its padding.

    Parameters
    ----------
    channels : int
        Of the image as it was, not in blocks.
    """
    taps = [-(-k // w) for k, w in zip((task.kh, task.kw), fold.window, strict=True)]
    stride = [s // p for s, p in zip(task.stride, fold.pitch, strict=True)]
    # Only where a kernel keeps several taps do windows follow one another, in whole pitches.
    dilation = [
        w * d // p if n > 1 else 1 for w, d, p, n in zip(fold.window, task.dilation, fold.pitch, taps, strict=True)
    ]
    size = [
        (o - 1) * s + (n - 1) * d + 1 for o, s, n, d in zip((task.oh, task.ow), stride, taps, dilation, strict=True)
    ]
    return replace(
        task,
        ic=-(-channels * fold.taps // config.block_in),
        ih=size[0],
        iw=size[1],
        kh=taps[0],
        kw=taps[1],
        stride=(stride[0], stride[1]),
        dilation=(dilation[0], dilation[1]),
        pads=(0, 0, 0, 0),
        pad_value=0,
    )


def fold_weights(weights: NDArray[np.int16], fold: Fold) -> NDArray[np.int16]:
    """Weights (O, C, kh, kw) for the folded image; taps beyond the kernel are 0."""
    outputs, channels, kh, kw = weights.shape
    (rows, columns), taps = fold.window, [-(-k // w) for k, w in zip((kh, kw), fold.window, strict=True)]
    whole = np.zeros((outputs, channels, taps[0] * rows, taps[1] * columns), weights.dtype)
    whole[:, :, :kh, :kw] = weights
    split = whole.reshape(outputs, channels, taps[0], rows, taps[1], columns)
    return split.transpose(0, 1, 3, 5, 2, 4).reshape(outputs, channels * fold.taps, *taps)


def _choices(kernel: int, stride: int, dilation: int) -> Iterator[tuple[int, int]]:
    """Pitch and window along one dimension: windows follow each other in whole pitches, or one has the kernel."""
    for pitch in (p for p in range(1, stride + 1) if stride % p == 0):
        for window in range(1, kernel + 1):
            if window == kernel or window * dilation % pitch == 0:
                yield pitch, window


def _candidates(task: ConvTask, channels: int, config: AcceleratorConfig) -> Iterator[tuple[Fold, ConvTask]]:
    """The folds that no other beats in products and in size of the image alike."""
    found: list[tuple[int, int, Fold, ConvTask]] = []
    for top, height in _choices(task.kh, task.stride[0], task.dilation[0]):
        for left, width in _choices(task.kw, task.stride[1], task.dilation[1]):
            fold = Fold((top, left), (height, width), task.dilation)
            made = folded(task, channels, fold, config)
            if fold.taps > 1:
                found.append((made.macs, made.ic * made.ih * made.iw, fold, made))
    smallest = None
    for _, size, fold, made in sorted(found, key=lambda choice: choice[:2]):
        if smallest is None or size < smallest:
            smallest = size
            yield fold, made


def choose_fold(task: ConvTask, channels: int, config: AcceleratorConfig) -> tuple[Fold, ConvTask] | None:
    """The fold that takes the fewest cycles, with its task; None if the image is best left as it is.

    Parameters
    ----------
    task : ConvTask
        The convolution of the image as it is.
    channels : int
        Of the image; a whole block of them or more is left alone.
    """
    if channels >= config.block_in:
        return None
    best, found = _cycles(task, config), None
    for fold, made in _candidates(task, channels, config):
        cycles = _cycles(made, config)
        if cycles < best:
            best, found = cycles, (fold, made)
    return found


def _cycles(task: ConvTask, config: AcceleratorConfig) -> float:
    try:
        return choose_tiling(task, config).cycles
    except CompileError:
        return inf
