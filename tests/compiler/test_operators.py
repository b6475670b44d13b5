"""Quantised operators beside convolution and matrix product, byte for byte against onnxruntime."""

from __future__ import annotations

import pytest
from support.compiling import compile_model
from support.operator_cases import CASES, Operators, operators
from support.ort import reference
from weft_hardware.presets import PRESETS
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

VTA = PRESETS["vta"]


def differing(m: Operators) -> list[str]:
    """The operators whose result differs from onnxruntime's in shape, type or any byte."""
    model = m.model()
    expected = reference(model, m.inputs)
    module = compile_model(model, VTA)
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        results = session.run(m.inputs)
    results = results if isinstance(results, tuple) else (results,)
    assert len(results) == len(expected) == len(m.outputs)
    return [
        what
        for (_, _, what), y, e in zip(m.outputs, results, expected, strict=True)
        if (y.shape, y.dtype, y.tobytes()) != (e.shape, e.dtype, e.tobytes())
    ]


@pytest.mark.parametrize("seed", range(4))
def test_operators(seed: int) -> None:
    """Both formats and both types of activations."""
    assert differing(operators(seed, 2 * len(CASES))) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1028))
def test_many_operators(seed: int) -> None:
    assert differing(operators(seed, 30)) == []
