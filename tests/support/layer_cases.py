"""ResNet-18's layers with random operands: what `support.layers` is run on, with onnxruntime's or numpy's answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from support.layers import (
    CONFIG,
    Conv,
    LayerProgram,
    Requantisation,
    Sum,
    add_program,
    conv_program,
    max_pool_program,
    to_tiles,
)
from weft_hardware.config import AcceleratorConfig
from weft_simulator.lockstep.epilogue import add_residual, float_bits, requantise, residual_offset

SCALES = {"first": 0.061, "second": 0.043, "sum": 0.071}
ZEROS = {"first": 5, "second": -17, "sum": -9}


@dataclass(frozen=True)
class Operands:
    """A convolution's operands as a network has them, and the residual tensor of its output's shape."""

    x: NDArray[np.int8]
    weights: NDArray[np.int8]
    quant: Requantisation
    residual: NDArray[np.int8]


def residual_sum(residual: NDArray[np.int8]) -> Sum:
    """The second input of the QLinearAdd whose quantisation `SCALES` and `ZEROS` give."""
    scales = [float_bits(np.float32(SCALES[name]) / np.float32(SCALES["sum"])) for name in ("first", "second")]
    offset = residual_offset(scales[0], ZEROS["first"], scales[1], ZEROS["second"], ZEROS["sum"])
    return Sum(to_tiles(residual), *scales, offset)


def conv_operands(conv: Conv, seed: int = 0) -> Operands:
    """Random operands whose results use all of int8 and saturate now and then."""
    rng = np.random.default_rng(seed)
    shape = (conv.out_channels, conv.in_channels, conv.kernel, conv.kernel)
    spread = 74.0**2 * np.sqrt(conv.in_channels * conv.kernel**2)
    scale = (rng.uniform(30, 90, conv.out_channels) / spread).astype(np.float32)
    bias = rng.integers(-int(spread), int(spread), conv.out_channels)
    return Operands(
        x=rng.integers(-128, 128, (conv.in_channels, conv.size, conv.size), np.int8),
        weights=rng.integers(-127, 128, shape, np.int8),
        quant=Requantisation(bias, scale, in_zero=-7, out_zero=ZEROS["first"]),
        residual=rng.integers(-128, 128, (conv.out_channels, conv.out_size, conv.out_size), np.int8),
    )


def add_by_numpy(first: NDArray, residual: NDArray[np.int8]) -> NDArray[np.int8]:
    total = residual_sum(residual)
    wide = residual.astype(np.int64)
    sums = add_residual(first.astype(np.int64), total.scale, wide, total.residual_scale, total.offset, -128, 127)
    return sums.astype(np.int8)


def conv_by_numpy(conv: Conv, operands: Operands) -> NDArray[np.int8]:
    """The convolution in float64, whose sums here are exact, then the epilogue's reference."""
    quant = operands.quant
    centred = operands.x.astype(np.float64) - quant.in_zero
    padded = np.pad(centred, ((0, 0), (conv.pad, conv.pad), (conv.pad, conv.pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (conv.kernel, conv.kernel), (1, 2))
    windows = windows[:, :: conv.stride, :: conv.stride]
    sums = np.tensordot(operands.weights.astype(np.float64), windows, ((1, 2, 3), (0, 3, 4))).astype(np.int64)
    scale = quant.scale.view(np.uint32).astype(np.int64)[:, None, None]
    return requantise(sums + quant.bias[:, None, None], scale, quant.out_zero, -128, 127).astype(np.int8)


@dataclass(frozen=True)
class Case:
    """A layer by name: its program, and what it must leave, as a (channels, rows, columns) tensor."""

    name: str
    build: Callable[[AcceleratorConfig], LayerProgram]
    expected: Callable[[], NDArray[np.int8]]
    macs: int = 0


def conv_case(name: str, conv: Conv, *, is_sum: bool = False) -> Case:
    operands = conv_operands(conv)

    def build(config: AcceleratorConfig) -> LayerProgram:
        total = residual_sum(operands.residual) if is_sum else None
        return conv_program(conv, to_tiles(operands.x), operands.weights, operands.quant, total, config)

    def expected() -> NDArray[np.int8]:
        result = conv_by_numpy(conv, operands)
        return add_by_numpy(result, operands.residual) if is_sum else result

    return Case(name, build, expected, conv.macs)


def add_case(name: str, channels: int, size: int) -> Case:
    rng = np.random.default_rng(1)
    first, second = (rng.integers(-128, 128, (channels, size, size), np.int8) for _ in range(2))
    return Case(
        name,
        lambda config: add_program(to_tiles(first), residual_sum(second), config),
        lambda: add_by_numpy(first, second),
    )


def max_pool_by_numpy(x: NDArray[np.int8]) -> NDArray[np.int8]:
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-128)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2].max(axis=(3, 4))


def pool_case(name: str, channels: int, size: int) -> Case:
    x = np.random.default_rng(2).integers(-128, 128, (channels, size, size), np.int8)
    return Case(name, lambda config: max_pool_program(to_tiles(x), config), lambda: max_pool_by_numpy(x))


CONV_3X3 = Conv(size=56, in_channels=64, out_channels=64)
CONV_1X1 = Conv(size=56, in_channels=64, out_channels=128, kernel=1, stride=2, rows=2, group=2)


def cases() -> list[Case]:
    """Of ResNet-18: a 3×3 layer, the same with its block's sum, a 1×1 layer, the sum alone, the pool of the stem."""
    return [
        conv_case("conv 3x3, 56², 64 to 64", CONV_3X3),
        conv_case("conv 3x3, 56², 64 to 64, with residual", CONV_3X3, is_sum=True),
        conv_case("conv 1x1 stride 2, 56², 64 to 128", CONV_1X1),
        add_case("residual add, 56², 64", 64, 56),
        pool_case("max-pool 3x3 stride 2, 112², 64", 64, 112),
    ]


__all__ = ["CONFIG", "CONV_1X1", "CONV_3X3", "Case", "cases", "conv_operands", "residual_sum"]
