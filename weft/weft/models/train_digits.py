"""Train the digit reader, quantise it, and write the files that the demo uses.

``python -m weft.models.train_digits --directory weft/weft/models`` needs the ``train``, ``compiler`` and ``reference``
extras. Everything is seeded: run twice on one machine it writes the same bytes.

The network: 3×3 convolutions 1→16→24, 2×2 max-pool, 3×3 convolution 24→32, dense 512→10; ReLU behind each convolution.
24 channels are no multiple of the accelerator's block, on purpose.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import scale_pixels

Floats = NDArray[np.float32]

SEED = 20
EPOCHS = 30
BATCH = 32
HELDOUT_STRIDE = 5
"""Of each digit's images, in the data set's order, every fifth is held out."""

CHANNELS = (1, 16, 24, 32)
CLASSES = 10


@dataclass(frozen=True)
class Split:
    """Images uint8 (N, 8, 8) of 0..16 and their digits, for training and held out."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    heldout_images: NDArray[np.uint8]
    heldout_labels: NDArray[np.int64]


def load_split() -> Split:
    """Scikit-learn's 1797 digits, one fifth of each class held out."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.int64)
    heldout = np.zeros(len(labels), bool)
    for digit in range(CLASSES):
        heldout[np.flatnonzero(labels == digit)[::HELDOUT_STRIDE]] = True
    return Split(images[~heldout], labels[~heldout], images[heldout], labels[heldout])


# Layers: each forward returns what its backward needs -----------------------------------------------------------


def patches(x: Floats) -> Floats:
    """The 3×3 neighbourhoods of (N, C, H, W), zero-padded by one, as (N·H·W, C·9)."""
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, c * 9)


def scatter_patches(columns: Floats, shape: tuple[int, ...]) -> Floats:
    """Add gradients of `patches` back to (N, C, H, W)."""
    n, c, h, w = shape
    windows = columns.reshape(n, h, w, c, 3, 3).transpose(0, 3, 1, 2, 4, 5)
    padded = np.zeros((n, c, h + 2, w + 2), np.float32)
    for dy in range(3):
        for dx in range(3):
            padded[:, :, dy : dy + h, dx : dx + w] += windows[..., dy, dx]
    return padded[:, :, 1:-1, 1:-1]


def conv_relu(x: Floats, weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """3×3 convolution and ReLU; returns the activations and the patches."""
    n, _, h, w = x.shape
    columns = patches(x)
    y = columns @ weight.reshape(len(weight), -1).T + bias
    return np.maximum(y, 0).reshape(n, h, w, -1).transpose(0, 3, 1, 2), columns


def conv_relu_gradient(
    gradient: Floats, y: Floats, columns: Floats, weight: Floats, input_shape: tuple[int, ...]
) -> tuple[Floats, Floats, Floats]:
    """Gradients of `conv_relu`: of its input, weight and bias."""
    flat = (gradient * (y > 0)).transpose(0, 2, 3, 1).reshape(-1, len(weight))
    to_input = scatter_patches(flat @ weight.reshape(len(weight), -1), input_shape)
    return to_input, (flat.T @ columns).reshape(weight.shape), flat.sum(0)


def max_pool(x: Floats) -> Floats:
    """2×2 max-pool with stride 2."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def max_pool_gradient(gradient: Floats, x: Floats, y: Floats) -> Floats:
    """Gradient of `max_pool`; equal maxima share it."""
    mask = x == y.repeat(2, 2).repeat(2, 3)
    n, c, h, w = x.shape
    winners = mask.reshape(n, c, h // 2, 2, w // 2, 2).sum((3, 5)).repeat(2, 2).repeat(2, 3)
    return mask * gradient.repeat(2, 2).repeat(2, 3) / winners.astype(np.float32)


# Training -------------------------------------------------------------------------------------------------------


def initial_parameters(rng: np.random.Generator) -> dict[str, Floats]:
    """He-initialised weights and zero biases."""
    parameters: dict[str, Floats] = {}
    for k, (c_in, c_out) in enumerate(itertools.pairwise(CHANNELS), start=1):
        scale = np.sqrt(2 / (9 * c_in))
        parameters[f"conv{k}_weight"] = (rng.standard_normal((c_out, c_in, 3, 3)) * scale).astype(np.float32)
        parameters[f"conv{k}_bias"] = np.zeros(c_out, np.float32)
    features = CHANNELS[-1] * 4 * 4
    parameters["dense_weight"] = (rng.standard_normal((CLASSES, features)) / np.sqrt(features)).astype(np.float32)
    parameters["dense_bias"] = np.zeros(CLASSES, np.float32)
    return parameters


def gradients(p: dict[str, Floats], x: Floats, labels: NDArray[np.int64]) -> dict[str, Floats]:
    """Gradients of the mean cross-entropy for one mini-batch."""
    y1, c1 = conv_relu(x, p["conv1_weight"], p["conv1_bias"])
    y2, c2 = conv_relu(y1, p["conv2_weight"], p["conv2_bias"])
    pooled = max_pool(y2)
    y3, c3 = conv_relu(pooled, p["conv3_weight"], p["conv3_bias"])
    flat = y3.reshape(len(x), -1)
    logits = flat @ p["dense_weight"].T + p["dense_bias"]

    exp = np.exp(logits - logits.max(1, keepdims=True))
    to_logits = exp / exp.sum(1, keepdims=True)
    to_logits[np.arange(len(x)), labels] -= 1
    to_logits /= len(x)

    out = {"dense_weight": to_logits.T @ flat, "dense_bias": to_logits.sum(0)}
    to_y3 = (to_logits @ p["dense_weight"]).reshape(y3.shape)
    to_pooled, out["conv3_weight"], out["conv3_bias"] = conv_relu_gradient(
        to_y3, y3, c3, p["conv3_weight"], pooled.shape
    )
    to_y2 = max_pool_gradient(to_pooled, y2, pooled)
    to_y1, out["conv2_weight"], out["conv2_bias"] = conv_relu_gradient(to_y2, y2, c2, p["conv2_weight"], y1.shape)
    _, out["conv1_weight"], out["conv1_bias"] = conv_relu_gradient(to_y1, y1, c1, p["conv1_weight"], x.shape)
    return out


def train(images: Floats, labels: NDArray[np.int64], epochs: int = EPOCHS) -> dict[str, Floats]:
    """Adam with a linearly falling step."""
    rng = np.random.default_rng(SEED)
    parameters = initial_parameters(rng)
    mean = {name: np.zeros_like(value) for name, value in parameters.items()}
    square = {name: np.zeros_like(value) for name, value in parameters.items()}
    steps = epochs * (len(images) // BATCH)
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for begin in range(0, len(images) - BATCH + 1, BATCH):
            rows = order[begin : begin + BATCH]
            rate = np.float32(2e-3 * (1 - step / steps))
            step += 1
            for name, gradient in gradients(parameters, images[rows], labels[rows]).items():
                mean[name] += np.float32(0.1) * (gradient - mean[name])
                square[name] += np.float32(0.001) * (gradient * gradient - square[name])
                unbiased_mean = mean[name] / np.float32(1 - 0.9**step)
                unbiased_square = square[name] / np.float32(1 - 0.999**step)
                parameters[name] -= rate * unbiased_mean / (np.sqrt(unbiased_square) + np.float32(1e-8))
    return parameters


# Export and quantisation ----------------------------------------------------------------------------------------


def float_model(parameters: dict[str, Floats]) -> Any:
    """The trained network as a float ONNX model, batch size free."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def convolution(k: int, source: str) -> list[Any]:
        inputs = [source, f"conv{k}_weight", f"conv{k}_bias"]
        return [
            helper.make_node("Conv", inputs, [f"conv{k}_sum"], name=f"conv{k}", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"conv{k}_sum"], [f"conv{k}_out"], name=f"relu{k}"),
        ]

    nodes = [
        *convolution(1, "image"),
        *convolution(2, "conv1_out"),
        helper.make_node("MaxPool", ["conv2_out"], ["pooled"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        *convolution(3, "pooled"),
        helper.make_node("Flatten", ["conv3_out"], ["features"], name="flatten", axis=1),
        helper.make_node("Gemm", ["features", "dense_weight", "dense_bias"], ["logits"], name="dense", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in parameters.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model


def quantise(model: Any, calibration: Floats) -> bytes:
    """QDQ with symmetric int8 activations and per-channel int8 weights, as onnxruntime's quantiser writes it."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[Floats] = iter(np.array_split(calibration, 8))

        def get_next(self) -> Any:
            batch = next(self.batches, None)
            return None if batch is None else {"image": batch}

    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "float.onnx"), Path(directory, "int8.onnx")
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            Images(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
        quantised = onnx.load(target)
    share_relu_scales(quantised)
    onnx.checker.check_model(quantised, full_check=True)
    return quantised.SerializeToString(deterministic=True)


def share_relu_scales(model: Any) -> None:
    """Give each ReLU's input the scale of its output: the quantiser would spend codes on values that ReLU drops.

    ReLU is then ``max(q, 0)`` on the quantised values themselves.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    consumers: dict[str, Any] = {name: node for node in model.graph.node for name in node.input}
    for relu in [node for node in model.graph.node if node.op_type == "Relu"]:
        dequantise = producers[relu.input[0]]
        quantise_input, quantise_output = producers[dequantise.input[0]], consumers[relu.output[0]]
        for node in (quantise_input, dequantise):
            node.input[1:] = quantise_output.input[1:]
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)


def write_files(directory: Path) -> None:
    """Train, quantise and write ``digits.onnx`` and ``digits_heldout.npz``."""
    split = load_split()
    images = scale_pixels(split.train_images)
    model = float_model(train(images, split.train_labels))
    directory.joinpath("digits.onnx").write_bytes(quantise(model, images))
    np.savez_compressed(
        directory / "digits_heldout.npz", images=split.heldout_images, labels=split.heldout_labels.astype(np.uint8)
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m weft.models.train_digits", description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent, help="where the two files go")
    write_files(parser.parse_args().directory)


if __name__ == "__main__":
    main()
