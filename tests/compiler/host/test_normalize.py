"""Layer normalisation on the host: onnxruntime's bytes for rows of whole vectors, close to float64 for all."""

from __future__ import annotations

import numpy as np
import pytest
from support.host_code import call
from support.onnx_models import ModelBuilder
from support.ort import reference
from weft_compiler.dialects import floats, qgraph
from weft_compiler.host.normalize import normalize
from xdsl.ir import Block


@pytest.mark.parametrize("length", [1, 7, 8, 13, 64, 768])
def test_layer_normalisation(length: int) -> None:
    rng = np.random.default_rng(length)
    x = rng.normal(0.3, 2, (150, length)).astype(np.float32)
    scale, bias = (rng.normal(mean, 0.1, length).astype(np.float32) for mean in (1, 0))
    types = [qgraph.tensor_type(v.shape, np.float32) for v in (x, scale, bias)]
    a, b, c = Block(arg_types=types).args
    found = call(normalize(floats.NormalizeOp(a, 1e-12, (b, c)), "f"), [x, scale, bias], x.shape, np.float32)
    model = ModelBuilder()
    y = model.node("LayerNormalization", ["x", model.constant(scale), model.constant(bias)], epsilon=1e-12)
    expected = reference(model.build([("x", x.shape, np.float32)], [(y, x.shape, np.float32)]), {"x": x})[0]
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    if length % 8 == 0:
        assert found.tobytes() == expected.tobytes()
    plain = call(normalize(floats.NormalizeOp(a, 1e-12), "f"), [x], x.shape, np.float32)
    wide = x.astype(np.float64)
    exact = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-12)
    assert np.abs(plain - exact).max() <= 1e-6 * max(1, np.abs(exact).max())
