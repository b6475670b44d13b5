"""ResNet, batch normalisation folded.

Source
------
K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from .builder import NetworkBuilder, Value


def resnet18(*, size: int = 224, seed: int = 0, width: int = 64, classes: int = 1000) -> bytes:
    """Basic blocks, two a stage; ``width`` channels in the first stage."""
    return _resnet("resnet18", size, seed, width, classes, (2, 2, 2, 2), bottleneck=False)


def resnet50(*, size: int = 224, seed: int = 0, width: int = 64, classes: int = 1000) -> bytes:
    """Bottlenecks of three convolutions."""
    return _resnet("resnet50", size, seed, width, classes, (3, 4, 6, 3), bottleneck=True)


def _resnet(
    name: str, size: int, seed: int, width: int, classes: int, stages: Sequence[int], bottleneck: bool
) -> bytes:
    b = NetworkBuilder(name, seed)
    x = b.apply("Relu", b.conv(b.input("image", (1, 3, size, size)), width, 7, 2))
    x = b.pool("MaxPool", x, 3, 2, 1)
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = (_bottleneck if bottleneck else _basic)(b, x, width << stage, stride)
    return b.model(b.dense(b.global_pool(x), classes))


def _basic(b: NetworkBuilder, x: Value, channels: int, stride: int) -> Value:
    y = b.apply("Relu", b.conv(x, channels, 3, stride))
    return _joined(b, b.conv(y, channels, 3), x, stride)


def _bottleneck(b: NetworkBuilder, x: Value, channels: int, stride: int) -> Value:
    y = b.apply("Relu", b.conv(x, channels, 1))
    y = b.apply("Relu", b.conv(y, channels, 3, stride))
    return _joined(b, b.conv(y, 4 * channels, 1), x, stride)


def _joined(b: NetworkBuilder, y: Value, x: Value, stride: int) -> Value:
    """The residual sum, with a projection where the shapes differ."""
    if x.shape != y.shape:
        x = b.conv(x, y.shape[1], 1, stride)
    return b.apply("Relu", b.add(y, x))
