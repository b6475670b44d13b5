"""Quantisation by onnxruntime's static quantiser, calibrated on random inputs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from . import ZooError
from .builder import random_input

_TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
_ELEMENTS = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
CALIBRATION_INPUTS = 2


class _Inputs(CalibrationDataReader):
    """Random inputs of a model."""

    def __init__(self, model: onnx.ModelProto, seed: int):
        shapes = {x.name: [d.dim_value for d in x.type.tensor_type.shape.dim] for x in model.graph.input}
        self._data: Iterator[dict[str, NDArray[Any]]] = iter(
            [
                {name: random_input(shape, 1000 * seed + k + 1) for name, shape in shapes.items()}
                for k in range(CALIBRATION_INPUTS)
            ]
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:  # type: ignore[override]
        return next(self._data, None)


def quantised(model: bytes, *, activations: str, per_channel: bool, qdq: bool, bytes_in: bool, seed: int = 0) -> bytes:
    """A float network, quantised; see `weft.zoo.network`."""
    if activations not in _TYPES:
        raise ZooError(f"activations = {activations!r}; choose {' or '.join(map(repr, _TYPES))}")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantised.onnx"
        source.write_bytes(model)
        logging.getLogger().addFilter(_no_advice)
        try:
            quantize_static(
                source,
                target,
                _Inputs(onnx.load_model_from_string(model), seed),
                quant_format=QuantFormat.QDQ if qdq else QuantFormat.QOperator,
                activation_type=_TYPES[activations],
                weight_type=QuantType.QInt8,
                per_channel=per_channel,
                extra_options={"ActivationSymmetric": activations == "int8"},
            )
        finally:
            logging.getLogger().removeFilter(_no_advice)
        made = onnx.load_model(target)
    if bytes_in:
        _take_bytes(made, _ELEMENTS[activations])
    return made.SerializeToString()


def _no_advice(record: logging.LogRecord) -> bool:
    """Without the quantiser's advice to preprocess, which has nothing to do here."""
    return "pre-processing" not in record.getMessage()


def _take_bytes(model: onnx.ModelProto, element: int) -> None:
    """Let the inputs be what their QuantizeLinear gives."""
    graph = model.graph
    for x in graph.input:
        readers = [node for node in graph.node if x.name in node.input]
        if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
            raise ZooError(f"input {x.name!r} is not quantised by one node alone; leave bytes_in out")
        result = readers[0].output[0]
        graph.node.remove(readers[0])
        for node in graph.node:
            for k, name in enumerate(node.input):
                if name == result:
                    node.input[k] = x.name
        x.type.tensor_type.elem_type = element
