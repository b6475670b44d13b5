"""MobileNet, batch normalisation folded.

Source
------
A. Howard et al., "MobileNets", arXiv:1704.04861, table 1; M. Sandler et al., "MobileNetV2", CVPR 2018, table 2.
"""

from __future__ import annotations

from .builder import NetworkBuilder, Value

_V1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
"""Channels and stride of each separable convolution."""

_V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
"""Expansion, channels, blocks and stride of each group."""


def mobilenet_v1(*, size: int = 224, seed: int = 0, width: float = 1.0, classes: int = 1000) -> bytes:
    """Depthwise separable convolutions; ``width`` is the width multiplier."""
    b = NetworkBuilder("mobilenet_v1", seed)
    x = b.relu6(b.conv(b.input("image", (1, 3, size, size)), _channels(32, width), 3, 2))
    for channels, stride in _V1:
        x = b.relu6(b.conv(x, x.shape[1], 3, stride, groups=x.shape[1]))
        x = b.relu6(b.conv(x, _channels(channels, width), 1))
    return b.model(b.dense(b.global_pool(x), classes))


def mobilenet_v2(*, size: int = 224, seed: int = 0, width: float = 1.0, classes: int = 1000) -> bytes:
    """Inverted residuals with linear bottlenecks."""
    b = NetworkBuilder("mobilenet_v2", seed)
    x = b.relu6(b.conv(b.input("image", (1, 3, size, size)), _channels(32, width), 3, 2))
    for expansion, channels, blocks, stride in _V2:
        for block in range(blocks):
            x = _inverted_residual(b, x, expansion, _channels(channels, width), stride if not block else 1)
    x = b.relu6(b.conv(x, _channels(1280, max(1.0, width)), 1))
    return b.model(b.dense(b.global_pool(x), classes))


def _inverted_residual(b: NetworkBuilder, x: Value, expansion: int, channels: int, stride: int) -> Value:
    hidden = x.shape[1] * expansion
    y = x if expansion == 1 else b.relu6(b.conv(x, hidden, 1))
    y = b.relu6(b.conv(y, hidden, 3, stride, groups=hidden))
    y = b.conv(y, channels, 1)
    return b.add(x, y) if x.shape == y.shape else y


def _channels(channels: int, width: float) -> int:
    """A multiple of 8, as the papers' authors round."""
    return max(8, int(channels * width + 4) // 8 * 8)
