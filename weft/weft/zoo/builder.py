"""Float networks node by node, with shapes tracked and weights drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


@dataclass(frozen=True)
class Value:
    """A tensor of the graph."""

    name: str
    shape: tuple[int, ...]


class NetworkBuilder:
    """One graph under construction; every method returns the value that it made.

    Weights are normal with mean 0 over each filter, so that what a layer computes does not drown in the mean of its
    input, and a variance that keeps that of the activations behind a ReLU.
    """

    def __init__(self, name: str, seed: int):
        self._name, self._rng = name, np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[Value] = []

    def input(self, name: str, shape: Sequence[int]) -> Value:
        self._inputs.append(Value(name, tuple(shape)))
        return self._inputs[-1]

    def constant(self, values: ArrayLike) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weights(self, shape: Sequence[int], fan_in: int, gain: float = 2.0, centre: Sequence[int] = ()) -> str:
        """Random weights; their means over the axes ``centre`` are taken out."""
        values = self._rng.normal(0, np.sqrt(gain / fan_in), shape)
        if centre and fan_in > 1:
            values = values - values.mean(axis=tuple(centre), keepdims=True)
        return self.constant(values.astype(np.float32))

    def vector(self, length: int, spread: float, mean: float = 0.0) -> str:
        """Biases, or scales around a mean."""
        return self.constant(self._rng.normal(mean, spread, length).astype(np.float32))

    def node(self, op: str, inputs: Sequence[Value | str], shape: Sequence[int], **attributes: Any) -> Value:
        """Any node, whose result has this shape."""
        return self.nodes(op, inputs, [shape], **attributes)[0]

    def nodes(
        self, op: str, inputs: Sequence[Value | str], shapes: Sequence[Sequence[int]], **attributes: Any
    ) -> list[Value]:
        """Any node with several results."""
        name = f"{op.lower()}{len(self._nodes)}"
        results = [f"{name}_out{k or ''}" for k in range(len(shapes))]
        names = [value.name if isinstance(value, Value) else value for value in inputs]
        self._nodes.append(helper.make_node(op, names, results, name=name, **attributes))
        return [Value(result, tuple(shape)) for result, shape in zip(results, shapes, strict=True)]

    def model(self, *outputs: Value) -> bytes:
        """The network, checked, with the types of all values."""
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(x.name, TensorProto.FLOAT, x.shape) for x in self._inputs],
            [helper.make_tensor_value_info(y.name, TensorProto.FLOAT, y.shape) for y in outputs],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(model)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True).SerializeToString()

    # Layers ------------------------------------------------------------------------------------------------

    def conv(
        self, x: Value, channels: int, kernel: int, stride: int = 1, groups: int = 1, pad: int | None = None
    ) -> Value:
        """A convolution with bias, padded to keep the size at stride 1."""
        pad = kernel // 2 if pad is None else pad
        depth = x.shape[1] // groups
        w = self.weights((channels, depth, kernel, kernel), depth * kernel * kernel, centre=(1, 2, 3))
        side = [(n + 2 * pad - kernel) // stride + 1 for n in x.shape[2:]]
        return self.node(
            "Conv",
            [x, w, self.vector(channels, 0.1)],
            (x.shape[0], channels, *side),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=groups,
        )

    def conv_transpose(self, x: Value, channels: int, kernel: int, stride: int, pad: int) -> Value:
        depth = x.shape[1]
        # Each result is a sum over only kernel² / stride² taps a channel.
        fan_in = max(1, depth * kernel * kernel // (stride * stride))
        w = self.weights((depth, channels, kernel, kernel), fan_in, centre=(0,))
        side = [(n - 1) * stride - 2 * pad + kernel for n in x.shape[2:]]
        return self.node(
            "ConvTranspose",
            [x, w, self.vector(channels, 0.1)],
            (x.shape[0], channels, *side),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def dense(self, x: Value, outputs: int) -> Value:
        """A Gemm on (N, inputs)."""
        w = self.weights((outputs, x.shape[1]), x.shape[1], centre=(1,))
        return self.node("Gemm", [x, w, self.vector(outputs, 0.1)], (x.shape[0], outputs), transB=1)

    def linear(self, x: Value, outputs: int, gain: float = 1.0) -> Value:
        """A MatMul over the last axis and a bias, as transformers are exported."""
        w = self.weights((x.shape[-1], outputs), x.shape[-1], gain=gain)
        shape = (*x.shape[:-1], outputs)
        return self.node("Add", [self.node("MatMul", [x, w], shape), self.vector(outputs, 0.1)], shape)

    def apply(self, op: str, x: Value, **attributes: Any) -> Value:
        """A function of each element."""
        return self.node(op, [x], x.shape, **attributes)

    def relu6(self, x: Value) -> Value:
        return self.node("Clip", [x, self.constant(np.float32(0)), self.constant(np.float32(6))], x.shape)

    def add(self, a: Value, b: Value) -> Value:
        return self.node("Add", [a, b], a.shape)

    def pool(self, op: str, x: Value, kernel: int, stride: int, pad: int = 0) -> Value:
        """``MaxPool`` or ``AveragePool``."""
        side = [(n + 2 * pad - kernel) // stride + 1 for n in x.shape[2:]]
        return self.node(
            op, [x], (*x.shape[:2], *side), kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[pad] * 4
        )

    def global_pool(self, x: Value) -> Value:
        """The mean of each plane, as a vector."""
        pooled = self.node("GlobalAveragePool", [x], (*x.shape[:2], 1, 1))
        return self.flatten(pooled)

    def flatten(self, x: Value) -> Value:
        return self.node("Flatten", [x], (x.shape[0], int(np.prod(x.shape[1:]))))

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        return self.node("Reshape", [x, self.constant(np.asarray(shape, np.int64))], shape)

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        return self.node("Transpose", [x], [x.shape[k] for k in permutation], perm=list(permutation))


def random_input(shape: Sequence[int], seed: int) -> NDArray[np.float32]:
    """An input of about unit variance; images are smooth, as real ones are."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, shape)
    if len(shape) == 4 and min(shape[2:]) >= 8:
        coarse = rng.normal(0, 1, (*shape[:2], *(-(-n // 8) for n in shape[2:])))
        smooth = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, : shape[2], : shape[3]]
        values = 0.8 * smooth + 0.4 * values
    return values.astype(np.float32)
