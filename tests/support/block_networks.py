"""Small networks with what ResNets have between convolutions: sums, pools, tables, a view before a dense layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.onnx_models import ModelBuilder

SPREAD = 45.0
"""Standard deviation that every layer's 8-bit values are scaled to."""


@dataclass(frozen=True)
class Value:
    """A float tensor between Q/DQ: its name, shape, scale and zero point."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero: NDArray[Any]


@dataclass
class Blocks:
    """A QDQ network under construction."""

    rng: np.random.Generator
    dtype: Any
    b: ModelBuilder = field(default_factory=ModelBuilder)

    def _zero(self, is_positive: bool) -> NDArray[Any]:
        limits = np.iinfo(self.dtype)
        if self.dtype == np.int8:
            return np.asarray(0 if self.rng.random() < 0.7 else self.rng.integers(-40, 40), np.int8)
        return np.asarray(limits.min if is_positive else self.rng.integers(90, 160), self.dtype)

    def quantised(self, y: str, shape: tuple[int, ...], deviation: float, is_positive: bool = False) -> Value:
        zero = self._zero(is_positive)
        scale = float(np.float32(deviation / (SPREAD * (2 if is_positive and self.dtype == np.uint8 else 1))))
        return Value(self.b.pair(y, scale, zero), shape, scale, zero)

    def input(self, shape: tuple[int, ...]) -> Value:
        zero, scale = self._zero(False), 0.02
        return Value(self.b.dequantize("x", scale, zero), shape, scale, zero)

    def _weights(self, x: Value, shape: tuple[int, ...]) -> tuple[str, str, float]:
        """Weights, bias, and about the deviation of their sums."""
        channels, depth = shape[0], int(np.prod(shape[1:]))
        scale = self.rng.uniform(0.004, 0.008, channels).astype(np.float32)
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        w = self.b.dequantize(self.b.constant(values), scale, np.zeros(channels, np.int8), 0)
        bias = self.rng.integers(-9000, 9000, channels).astype(np.int32)
        bias_scale = (np.float32(x.scale) * scale).astype(np.float32)
        bias_name = self.b.dequantize(self.b.constant(bias), bias_scale, np.zeros(channels, np.int32))
        return w, bias_name, float(x.scale * SPREAD * 0.006 * 73 * np.sqrt(depth))

    def conv(self, x: Value, channels: int, kernel: int = 3, stride: int = 1, activation: str = "") -> Value:
        w, bias, deviation = self._weights(x, (channels, x.shape[1], kernel, kernel))
        pad = kernel // 2
        y = self.b.node("Conv", [x.name, w, bias], kernel_shape=[kernel] * 2, pads=[pad] * 4, strides=[stride] * 2)
        size = tuple((s + 2 * pad - kernel) // stride + 1 for s in x.shape[2:])
        shape = (x.shape[0], channels, *size)
        if activation == "Sigmoid":
            value = self.quantised(y, shape, deviation)
            return self.quantised(self.b.node("Sigmoid", [value.name]), shape, 0.25, True)
        y = self.b.node(activation, [y]) if activation else y
        return self.quantised(y, shape, deviation, activation == "Relu")

    def add(self, a: Value, b: Value, relu: bool) -> Value:
        pair = [a.name, b.name] if self.rng.random() < 0.5 else [b.name, a.name]
        y = self.b.node("Add", pair)
        y = self.b.node("Relu", [y]) if relu else y
        return self.quantised(y, a.shape, 1.3 * SPREAD * max(a.scale, b.scale), relu)

    def pool(self, x: Value) -> Value:
        y = self.b.node("MaxPool", [x.name], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        size = tuple((s - 1) // 2 + 1 for s in x.shape[2:])
        return Value(self.b.pair(y, x.scale, x.zero), (*x.shape[:2], *size), x.scale, x.zero)

    def head(self, x: Value, classes: int) -> str:
        mean = self.quantised(self.b.node("GlobalAveragePool", [x.name]), (*x.shape[:2], 1, 1), SPREAD * x.scale / 3)
        flat = self.b.node("Flatten", [mean.name], axis=1)
        flat = Value(self.b.pair(flat, mean.scale, mean.zero), x.shape[:2], mean.scale, mean.zero)
        w, bias, deviation = self._weights(flat, (classes, x.shape[1]))
        y = self.b.node("Gemm", [flat.name, w, bias], transB=1)
        return self.b.quantize(y, 3 * deviation / SPREAD, self._zero(False))


def block_network(seed: int) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """A model with its input: every second one of uint8 activations."""
    rng = np.random.default_rng(seed)
    net = Blocks(rng, np.uint8 if seed % 2 else np.int8)
    images, size = int(rng.integers(1, 3)), int(rng.integers(9, 15))
    channels = int(rng.choice([16, 20, 32]))
    limits = np.iinfo(net.dtype)
    x = net.input((images, 3, size, size))
    values = rng.integers(limits.min, limits.max + 1, x.shape).astype(net.dtype)
    y = net.pool(net.conv(x, channels, activation="Relu"))
    inner = net.conv(net.conv(y, channels, activation="Relu"), channels)
    y = net.add(inner, y, relu=bool(rng.integers(2)))
    wide = 2 * channels
    inner = net.conv(net.conv(y, wide, stride=2, activation="Relu"), wide)
    y = net.add(inner, net.conv(y, wide, kernel=1, stride=2), relu=True)
    y = net.conv(y, channels, kernel=1, activation="Sigmoid")
    result = net.head(y, 40)
    return net.b.build([("x", x.shape, net.dtype)], [(result, (images, 40), net.dtype)]), {"x": values}
