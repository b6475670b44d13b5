"""The models that come with Weft: a quantised CNN that reads handwritten digits, and the images it never saw.

``digits.onnx`` and ``digits_heldout.npz`` are what `train_digits` wrote; nothing here needs scikit-learn.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


def digits_onnx() -> bytes:
    """The quantised digit reader: float32 ``image`` (N, 1, 8, 8) in 0..1 to float32 ``logits`` (N, 10)."""
    return files(__name__).joinpath("digits.onnx").read_bytes()


def digits_heldout() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The held-out images, float32 (364, 1, 8, 8) in 0..1, and their digits, int64 (364,)."""
    with files(__name__).joinpath("digits_heldout.npz").open("rb") as file, np.load(file) as arrays:
        return scale_pixels(arrays["images"]), arrays["labels"].astype(np.int64)


def scale_pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn (N, 8, 8) pixels of 0..16 into the network's input, float32 (N, 1, 8, 8) in 0..1."""
    return images[:, None].astype(np.float32) / np.float32(16)
