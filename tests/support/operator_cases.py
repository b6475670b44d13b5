"""Random single operators between 8-bit tensors, many in one model, in onnxruntime's two quantised formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.onnx_models import ModelBuilder

MS = "com.microsoft"


@dataclass(frozen=True)
class Tensor8:
    """An 8-bit tensor of the model and what its values stand for."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero: NDArray[Any]


@dataclass
class Operators:
    """A model of independent operators under construction.

    Parameters
    ----------
    qdq : bool
        Float operators between QuantizeLinear and DequantizeLinear; otherwise quantised operators.
    dtype : numpy dtype
        Of all 8-bit tensors.
    """

    rng: np.random.Generator
    qdq: bool
    dtype: Any
    b: ModelBuilder = field(default_factory=ModelBuilder)
    inputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    outputs: list[tuple[str, int, str]] = field(default_factory=list)

    def zero(self) -> NDArray[Any]:
        """Any zero point, the usual ones often."""
        limits = np.iinfo(self.dtype)
        usual = [0, limits.min, (limits.min + limits.max + 1) // 2]
        value = self.rng.choice(usual) if self.rng.random() < 0.5 else self.rng.integers(limits.min, limits.max + 1)
        return np.asarray(value, self.dtype)

    def scale(self, low: float = 0.002, high: float = 0.1) -> float:
        return float(np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high)))))

    def input(self, shape: tuple[int, ...], scale: float | None = None, zero: Any = None) -> Tensor8:
        """An input of random bytes."""
        limits = np.iinfo(self.dtype)
        name = f"x{len(self.inputs)}"
        self.inputs[name] = self.rng.integers(limits.min, limits.max + 1, shape).astype(self.dtype)
        return Tensor8(name, shape, scale or self.scale(), self.zero() if zero is None else zero)

    def parameters(self, x: Tensor8) -> list[str]:
        return [self.b.constant(np.float32(x.scale)), self.b.constant(x.zero)]

    def float_of(self, x: Tensor8) -> str:
        return self.b.dequantize(x.name, x.scale, x.zero)

    def result(self, name: str, rank: int, what: str) -> None:
        self.outputs.append((name, rank, what))

    def quantised(self, y: str, scale: float, zero: NDArray[Any], rank: int, what: str) -> None:
        """Quantise a float and make it a result."""
        self.result(self.b.quantize(y, scale, zero), rank, what)

    def model(self) -> bytes:
        infos = [(name, x.shape, x.dtype) for name, x in self.inputs.items()]
        results = [(name, [f"{name}_{k}" for k in range(rank)], self.dtype) for name, rank, _ in self.outputs]
        return self.b.build(infos, results)

    def shape(self, rank: int, most: int = 9) -> tuple[int, ...]:
        return tuple(int(n) for n in self.rng.integers(1, most + 1, rank))


def _binary(m: Operators, op: str, ratio: float) -> None:
    shape = m.shape(int(m.rng.integers(1, 5)), 12)
    other = tuple(1 if m.rng.random() < 0.25 else n for n in shape)[int(m.rng.integers(0, 2)) * (len(shape) > 1) :]
    a, b = m.input(shape), m.input(other)
    if m.rng.random() < 0.3:
        a, b = b, a
    y_scale = float(np.float32(m.scale(0.3, 3) * ratio * (a.scale * b.scale if op == "Mul" else max(a.scale, b.scale))))
    y_zero = m.zero()
    what = f"{op} {a.shape} {b.shape}"
    if m.qdq:
        m.quantised(m.b.node(op, [m.float_of(a), m.float_of(b)]), y_scale, y_zero, len(shape), what)
    else:
        y = Tensor8("", (), y_scale, y_zero)
        inputs = [a.name, *m.parameters(a), b.name, *m.parameters(b), *m.parameters(y)]
        m.result(m.b.node(f"QLinear{op}", inputs, domain=MS), len(shape), what)


def add(m: Operators) -> None:
    _binary(m, "Add", 1.5)


def mul(m: Operators) -> None:
    _binary(m, "Mul", 80)


def function(m: Operators) -> None:
    """A function of one tensor: two of them have quantised operators, all of them are tables."""
    names: list[tuple[str, dict[str, Any]]] = [("Sigmoid", {}), ("LeakyRelu", {"alpha": float(m.rng.uniform(0, 0.5))})]
    if m.qdq:
        names += [("Tanh", {}), ("HardSwish", {}), ("HardSigmoid", {}), ("Relu", {}), ("Elu", {}), ("Erf", {})]
        names += [("Softplus", {}), ("Softsign", {}), ("Abs", {}), ("Neg", {}), ("Identity", {})]
    op, attributes = names[int(m.rng.integers(len(names)))]
    x = m.input(m.shape(3))
    y = Tensor8("", (), m.scale(0.003, 0.05), m.zero())
    if m.qdq:
        m.quantised(m.b.node(op, [m.float_of(x)], **attributes), y.scale, y.zero, 3, op)
    else:
        inputs = [x.name, *m.parameters(x), *m.parameters(y)]
        m.result(m.b.node(f"QLinear{op}", inputs, domain=MS, **attributes), 3, op)


def concat(m: Operators) -> None:
    rank = int(m.rng.integers(1, 5))
    axis, shape = int(m.rng.integers(rank)), m.shape(rank)
    y = Tensor8("", (), m.scale(), m.zero())
    parts = []
    for _ in range(int(m.rng.integers(1, 5))):
        size = (*shape[:axis], int(m.rng.integers(1, 9)), *shape[axis + 1 :])
        same = m.rng.random() < 0.3
        parts.append(m.input(size, y.scale if same else None, y.zero if same else None))
    what = f"Concat {[p.shape for p in parts]} axis {axis}"
    if m.qdq:
        m.quantised(m.b.node("Concat", [m.float_of(p) for p in parts], axis=axis), y.scale, y.zero, rank, what)
    else:
        inputs = [*m.parameters(y), *(v for p in parts for v in (p.name, *m.parameters(p)))]
        m.result(m.b.node("QLinearConcat", inputs, domain=MS, axis=axis), rank, what)


def global_average_pool(m: Operators) -> None:
    x = m.input((int(m.rng.integers(1, 3)), int(m.rng.integers(1, 20)), *m.shape(2, 14)))
    y = Tensor8("", (), float(np.float32(x.scale * m.scale(0.05, 1.5))), m.zero())
    if m.qdq:
        m.quantised(m.b.node("GlobalAveragePool", [m.float_of(x)]), y.scale, y.zero, 4, f"{x.shape}")
    else:
        inputs = [x.name, *m.parameters(x), *m.parameters(y)]
        m.result(m.b.node("QLinearGlobalAveragePool", inputs, domain=MS, channels_last=0), 4, f"{x.shape}")


def average_pool(m: Operators) -> None:
    kernel, strides = m.rng.integers(1, 5, 2), m.rng.integers(1, 4, 2)
    pads = [int(m.rng.integers(0, k)) for k in [*kernel] * 2]
    x = m.input(
        (int(m.rng.integers(1, 3)), int(m.rng.integers(1, 10)), *(int(k + m.rng.integers(0, 8)) for k in kernel))
    )
    y = Tensor8("", (), float(np.float32(x.scale * m.scale(0.3, 1.5))), m.zero())
    attributes: dict[str, Any] = {"kernel_shape": [int(v) for v in kernel], "strides": [int(v) for v in strides]}
    attributes |= {"pads": pads, "count_include_pad": int(m.rng.integers(0, 2))}
    what = f"{x.shape} {attributes}"
    if m.qdq:
        m.quantised(m.b.node("AveragePool", [m.float_of(x)], **attributes), y.scale, y.zero, 4, what)
    else:
        inputs = [x.name, *m.parameters(x), *m.parameters(y)]
        m.result(m.b.node("QLinearAveragePool", inputs, domain=MS, channels_last=0, **attributes), 4, what)


def softmax(m: Operators) -> None:
    rank = int(m.rng.integers(1, 5))
    shape = (*m.shape(rank - 1, 5), int(m.rng.integers(1, 150)))
    axis = -1 if m.rng.random() < 0.7 else int(m.rng.integers(rank))
    x = m.input(shape, m.scale(0.01, 0.3))
    lowest = np.asarray(np.iinfo(m.dtype).min, m.dtype)
    y = Tensor8("", (), 1 / 256 if m.rng.random() < 0.5 else m.scale(0.002, 0.02), lowest)
    what = f"{shape} axis {axis}"
    if m.qdq:
        m.quantised(m.b.node("Softmax", [m.float_of(x)], axis=axis), y.scale, y.zero, rank, what)
    else:
        inputs = [x.name, *m.parameters(x), *m.parameters(y)]
        m.result(m.b.node("QLinearSoftmax", inputs, domain=MS, axis=axis, opset=13), rank, what)


def matmul(m: Operators) -> None:
    leading = m.shape(int(m.rng.integers(0, 3)), 4)
    rows, depth, columns = (int(v) for v in m.rng.integers(1, 40, 3))
    narrow = leading[int(m.rng.integers(0, len(leading) + 1)) :]
    a, b = m.input((*leading, rows, depth)), m.input((*narrow, depth, columns))
    y = Tensor8("", (), float(np.float32(a.scale * b.scale * depth * m.scale(10, 100))), m.zero())
    what = f"{a.shape} {b.shape}"
    if m.qdq:
        m.quantised(m.b.node("MatMul", [m.float_of(a), m.float_of(b)]), y.scale, y.zero, len(a.shape), what)
    else:
        inputs = [a.name, *m.parameters(a), b.name, *m.parameters(b), *m.parameters(y)]
        m.result(m.b.node("QLinearMatMul", inputs), len(a.shape), what)


def max_pool(m: Operators) -> None:
    kernel, strides = m.rng.integers(1, 4, 2), m.rng.integers(1, 4, 2)
    pads = [int(m.rng.integers(0, k)) for k in [*kernel] * 2]
    x = m.input((1, int(m.rng.integers(1, 10)), *(int(k + m.rng.integers(0, 8)) for k in kernel)))
    attributes: dict[str, Any] = {"kernel_shape": [int(v) for v in kernel], "strides": [int(v) for v in strides]}
    attributes |= {"pads": pads, "ceil_mode": int(m.rng.integers(0, 2))}
    if m.qdq:
        m.quantised(m.b.node("MaxPool", [m.float_of(x)], **attributes), x.scale, x.zero, 4, f"{x.shape} {attributes}")
    else:
        m.result(m.b.node("MaxPool", [x.name], **attributes), 4, f"{x.shape} {attributes}")


def _moved(m: Operators, op: str, x: Tensor8, rank: int, *inputs: str, **attributes: Any) -> None:
    """An operator that moves data, on bytes or between Q/DQ of one scale."""
    what = f"{op} {x.shape} {attributes}"
    if m.qdq:
        m.quantised(m.b.node(op, [m.float_of(x), *inputs], **attributes), x.scale, x.zero, rank, what)
    else:
        m.result(m.b.node(op, [x.name, *inputs], **attributes), rank, what)


def movement(m: Operators) -> None:
    """One of the operators that pick and place elements."""
    rank = int(m.rng.integers(1, 5))
    x = m.input(m.shape(rank))
    integers = lambda *values: m.b.constant(np.asarray(values, np.int64))  # noqa: E731
    axis = int(m.rng.integers(rank))
    size = x.shape[axis]
    match int(m.rng.integers(9)):
        case 0:
            _moved(m, "Transpose", x, rank, perm=[int(v) for v in m.rng.permutation(rank)])
        case 1:
            _moved(m, "Flatten", x, 2, axis=axis)
        case 2:
            begin, end = sorted(int(v) for v in m.rng.integers(0, size + 1, 2))
            begin, end = (begin, end) if begin < end else (0, size)
            backwards = m.rng.random() < 0.3
            bounds = (end - 1, begin - 1 - size) if backwards else (begin, end)
            step = int(m.rng.integers(1, 3)) * (-1 if backwards else 1)
            _moved(m, "Slice", x, rank, *map(integers, (*bounds, axis, step)))
        case 3:
            indices = m.rng.integers(-size, size, int(m.rng.integers(1, 6)))
            _moved(m, "Gather", x, rank, integers(*indices), axis=axis)
        case 4:
            _moved(m, "Unsqueeze", x, rank + 1, integers(axis))
        case 5:
            _moved(m, "Reshape", x, 1, integers(-1))
        case 6:
            factors = [float(v) for v in m.rng.choice([1.0, 2.0, 1.5, 0.6], rank)]
            mode = str(m.rng.choice(["asymmetric", "half_pixel", "align_corners"]))
            roundings = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]
            sizes = [max(1, int(n * f)) for n, f in zip(x.shape, factors, strict=True)]
            _moved(m, "Resize", x, rank, "", "", integers(*sizes), mode="nearest", coordinate_transformation_mode=mode,
                   nearest_mode=str(m.rng.choice(roundings)))  # fmt: skip
        case 7:
            pads = [int(v) for v in m.rng.integers(0, 3, 2 * rank)]
            zero = m.b.constant(np.float32(0) if m.qdq else x.zero)
            _moved(m, "Pad", x, rank, integers(*pads), zero)
        case _:
            _moved(m, "Expand", x, rank + 1, integers(2, *x.shape))


CASES: dict[str, Callable[[Operators], None]] = {
    case.__name__: case
    for case in (*(add, mul, function, concat, global_average_pool, average_pool, softmax, matmul, max_pool, movement),)
}
"""Every kind of operator."""


def operators(seed: int, count: int, kinds: tuple[str, ...] = tuple(CASES)) -> Operators:
    """A model of ``count`` random operators."""
    rng = np.random.default_rng(seed)
    m = Operators(rng, bool(seed % 2), np.uint8 if seed // 2 % 2 else np.int8)
    for k in range(count):
        CASES[kinds[k % len(kinds)]](m)
    return m
