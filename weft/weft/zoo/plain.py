"""Networks without branches.

Source
------
Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 1998, section II.B; K. Simonyan,
A. Zisserman, "Very Deep Convolutional Networks", ICLR 2015, table 1, column A.
"""

from __future__ import annotations

from .builder import NetworkBuilder


def lenet5(*, size: int = 32, seed: int = 0) -> bytes:
    """LeNet-5 on one channel: tanh and average pools; its second convolution reads all planes."""
    b = NetworkBuilder("lenet5", seed)
    x = b.apply("Tanh", b.conv(b.input("image", (1, 1, size, size)), 6, 5, pad=0))
    x = b.pool("AveragePool", x, 2, 2)
    x = b.pool("AveragePool", b.apply("Tanh", b.conv(x, 16, 5, pad=0)), 2, 2)
    x = b.flatten(x)
    for outputs in (120, 84):
        x = b.apply("Tanh", b.dense(x, outputs))
    return b.model(b.dense(x, 10))


def mlp(*, size: int = 784, seed: int = 0) -> bytes:
    """Dense layers of 512, 256 and 10."""
    b = NetworkBuilder("mlp", seed)
    x = b.input("x", (1, size))
    for outputs in (512, 256):
        x = b.apply("Relu", b.dense(x, outputs))
    return b.model(b.dense(x, 10))


def vgg11(*, size: int = 224, seed: int = 0, width: int = 64, classes: int = 1000) -> bytes:
    """VGG-11; the hidden dense layers have 8 · ``width`` outputs instead of 4096."""
    b = NetworkBuilder("vgg11", seed)
    x = b.input("image", (1, 3, size, size))
    for convolutions, factor in ((1, 1), (1, 2), (2, 4), (2, 8), (2, 8)):
        for _ in range(convolutions):
            x = b.apply("Relu", b.conv(x, factor * width, 3))
        x = b.pool("MaxPool", x, 2, 2)
    x = b.flatten(x)
    for _ in range(2):
        x = b.apply("Relu", b.dense(x, 8 * width))
    return b.model(b.dense(x, classes))
