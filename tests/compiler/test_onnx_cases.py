"""The ONNX package's own cases of single operators: their expected tensors, or a sentence that names the node.

onnxruntime cannot load all of them (float16 scales, later opsets), so their expected tensors arbitrate.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.compiling import compile_model
from support.onnx_cases import OnnxCase, onnx_cases
from weft_compiler.errors import CompileError
from weft_compiler.onnx_operators import IMPORTERS
from weft_hardware.presets import PRESETS
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

VTA = PRESETS["vta"]
QUANTISED = (
    "ConvInteger",
    "DequantizeLinear",
    "MatMulInteger",
    "MaxPool",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
)


def types(case: OnnxCase) -> set[str]:
    return {str(values.dtype) for values in (*case.inputs.values(), *case.expected)}


def run(case: OnnxCase) -> str | None:
    """Compare a case with its expected tensors; the sentence if it is refused."""
    try:
        module = compile_model(case.model, VTA)
    except CompileError as error:
        return str(error)
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        found = session.run(case.inputs)
    for y, expected in zip(found if isinstance(found, tuple) else (found,), case.expected, strict=True):
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype), case.name
        if expected.dtype != np.float32:
            assert y.tobytes() == expected.tobytes(), case.name
        else:
            finite = np.abs(expected[np.isfinite(expected)])
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 * finite.max(initial=0), err_msg=case.name)
    return None


def test_quantised_operators() -> None:
    cases = [c for c in onnx_cases() if c.op in QUANTISED and types(c) & {"int8", "uint8"}]
    refused = [text for case in cases if (text := run(case)) is not None]
    assert len(cases) == 14
    assert refused == []


@pytest.mark.slow
def test_float_operators() -> None:
    # The expected tensors of one case are rounded to four digits.
    rounded = "test_averagepool_2d_ceil_last_window_starts_on_pad"
    cases = [c for c in onnx_cases() if c.op in IMPORTERS and types(c) == {"float32"} and c.name != rounded]
    refused = [text for case in cases if (text := run(case)) is not None]
    assert all(re.match(r"(node|input) '.*' .*; ", text) for text in refused), refused
    assert len(cases) - len(refused) >= 273
