"""Networks whose output is an image.

Source
------
A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs", ICLR 2016,
figure 1; O. Ronneberger, P. Fischer, T. Brox, "U-Net", MICCAI 2015, with padded convolutions.
"""

from __future__ import annotations

import numpy as np

from . import ZooError
from .builder import NetworkBuilder, Value


def dcgan(*, size: int = 64, seed: int = 0, width: int = 64) -> bytes:
    """A generator from 100 numbers to 3 planes, by transposed convolutions."""
    steps = size.bit_length() - 4
    if size != 8 << steps or steps < 0:
        raise ZooError(f"dcgan makes images of 8, 16, 32 … pixels a side, not {size}; choose a power of two from 8")
    b = NetworkBuilder("dcgan", seed)
    x = b.input("z", (1, 100, 1, 1))
    x = b.apply("Relu", b.conv_transpose(x, width << steps, 4, 1, 0))
    for step in reversed(range(steps)):
        x = b.apply("Relu", b.conv_transpose(x, width << step, 4, 2, 1))
    return b.model(b.apply("Tanh", b.conv_transpose(x, 3, 4, 2, 1)))


def unet(*, size: int = 128, seed: int = 0, width: int = 32) -> bytes:
    """Three levels down and up; ``width`` channels at the top."""
    if size % 8:
        raise ZooError(f"unet halves its image three times, which {size} pixels do not allow; choose a multiple of 8")
    b = NetworkBuilder("unet", seed)
    x = b.input("image", (1, 3, size, size))
    skipped = []
    for level in range(3):
        skipped.append(_twice(b, x, width << level))
        x = b.pool("MaxPool", skipped[-1], 2, 2)
    x = _twice(b, x, width << 3)
    for level in reversed(range(3)):
        x = b.conv(_doubled(b, x), width << level, 3)
        kept = skipped[level]
        x = b.node("Concat", [kept, x], (1, kept.shape[1] + x.shape[1], *x.shape[2:]), axis=1)
        x = _twice(b, x, width << level)
    return b.model(b.apply("Sigmoid", b.conv(x, 1, 1)))


def _twice(b: NetworkBuilder, x: Value, channels: int) -> Value:
    for _ in range(2):
        x = b.apply("Relu", b.conv(x, channels, 3))
    return x


def _doubled(b: NetworkBuilder, x: Value) -> Value:
    """Twice the height and width, by nearest neighbours."""
    shape = (*x.shape[:2], *(2 * n for n in x.shape[2:]))
    scales = b.constant(np.array([1, 1, 2, 2], np.float32))
    return b.node(
        "Resize",
        [x, "", scales],
        shape,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
