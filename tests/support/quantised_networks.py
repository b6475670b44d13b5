"""Small float networks, quantised by onnxruntime's own quantiser."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from support.onnx_models import ModelBuilder

INPUT_SHAPE = (2, 3, 12, 11)


def _float_network(activation: str) -> bytes:
    """Convolutions, activation, pools, flatten, a Gemm and a MatMul."""
    rng = np.random.default_rng(12)
    b = ModelBuilder()

    def weights(*shape: int) -> str:
        return b.constant(rng.normal(0, 0.3, shape).astype(np.float32))

    def activate(x: str) -> str:
        if activation == "Clip":
            return b.node("Clip", [x, b.constant(np.float32(0)), b.constant(np.float32(6))])
        return b.node(activation, [x])

    y = activate(b.node("Conv", ["x", weights(20, 3, 3, 3), weights(20)], pads=[1, 1, 1, 1]))
    y = b.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2])
    y = activate(b.node("Conv", [y, weights(9, 20, 3, 2), weights(9)], strides=[2, 1], pads=[0, 1, 1, 0]))
    y = b.node("Flatten", [y])
    y = activate(b.node("Gemm", [y, weights(30, 9 * 3 * 5), weights(30)], transB=1))
    y = b.node("MatMul", [y, weights(30, 7)])
    return b.build([("x", INPUT_SHAPE, np.float32)], [(y, (2, 7), np.float32)])


class _Calibration(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(13)
        self._data = iter([{"x": rng.normal(0, 1, INPUT_SHAPE).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> dict[str, NDArray[Any]] | None:  # type: ignore[override]
        return next(self._data, None)


def network(quant_format: QuantFormat, activations: QuantType, activation: str, per_channel: bool) -> bytes:
    """One network as the quantiser writes it."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantised.onnx"
        source.write_bytes(_float_network(activation))
        quantize_static(
            source,
            target,
            _Calibration(),
            quant_format=quant_format,
            activation_type=activations,
            weight_type=QuantType.QInt8,
            per_channel=per_channel,
        )
        return target.read_bytes()
