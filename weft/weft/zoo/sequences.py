"""Networks over sequences.

Source
------
J. Devlin et al., "BERT", NAACL 2019, section 3 (base: 768 hidden, 12 heads, 3072 in the feed-forward layer).
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .builder import NetworkBuilder, Value


def bert_block(*, size: int = 128, seed: int = 0, hidden: int = 768, heads: int = 12) -> bytes:
    """An encoder block over ``size`` tokens, GELU written out with Erf as it is exported."""
    b = NetworkBuilder("bert_block", seed)
    x = b.input("tokens", (1, size, hidden))
    x = _normalised(b, b.add(_attention(b, x, heads), x))
    y = b.linear(_gelu(b, b.linear(x, 4 * hidden)), hidden)
    return b.model(_normalised(b, b.add(y, x)))


def _attention(b: NetworkBuilder, x: Value, heads: int) -> Value:
    _, tokens, hidden = x.shape
    each = hidden // heads
    # Scores of a large spread: the quantiser gives every softmax the range 0..1, of which flat ones use a few steps.
    query, key, value = (b.reshape(b.linear(x, hidden, gain), (1, tokens, heads, each)) for gain in (2.0, 2.0, 1.0))
    query, value = (b.transpose(v, (0, 2, 1, 3)) for v in (query, value))
    scores = b.node("MatMul", [query, b.transpose(key, (0, 2, 3, 1))], (1, heads, tokens, tokens))
    scores = b.node("Div", [scores, b.constant(np.float32(math.sqrt(each)))], scores.shape)
    weights = b.node("Softmax", [scores], scores.shape, axis=-1)
    mixed = b.node("MatMul", [weights, value], (1, heads, tokens, each))
    return b.linear(b.reshape(b.transpose(mixed, (0, 2, 1, 3)), x.shape), hidden)


def _normalised(b: NetworkBuilder, x: Value) -> Value:
    length = x.shape[-1]
    inputs = [x, b.vector(length, 0.1, mean=1.0), b.vector(length, 0.1)]
    return b.node("LayerNormalization", inputs, x.shape, axis=-1, epsilon=1e-12)


def _gelu(b: NetworkBuilder, x: Value) -> Value:
    y = b.apply("Erf", b.node("Div", [x, b.constant(np.float32(math.sqrt(2)))], x.shape))
    y = b.node("Mul", [x, b.node("Add", [y, b.constant(np.float32(1))], x.shape)], x.shape)
    return b.node("Mul", [y, b.constant(np.float32(0.5))], x.shape)


def rnn(*, size: int = 8, seed: int = 0, inputs: int = 64, hidden: int = 128) -> bytes:
    """``h ← tanh(x · W + h · R + b)`` over ``size`` steps, one after another in the graph; weights are shared."""
    b = NetworkBuilder("rnn", seed)
    x = b.input("sequence", (1, size, inputs))
    w, r = b.weights((inputs, hidden), inputs, 1.0), b.weights((hidden, hidden), hidden, 1.0)
    bias = b.vector(hidden, 0.1)
    state: Value | None = None
    for step in range(size):
        bounds = [b.constant(np.array([v], np.int64)) for v in (step, step + 1, 1)]
        now = b.reshape(b.node("Slice", [x, *bounds], (1, 1, inputs)), (1, inputs))
        total = b.node("Add", [b.node("MatMul", [now, w], (1, hidden)), bias], (1, hidden))
        if state is not None:
            total = b.add(b.node("MatMul", [state, r], (1, hidden)), total)
        state = b.apply("Tanh", total)
    assert state is not None
    return b.model(b.dense(state, 10))


def rnn_scan(*, seed: int = 0, inputs: int = 64, hidden: int = 128) -> bytes:
    """One step, the body of a Scan: ``s ← x · W + tanh(s) · R + b`` and a dense layer on ``tanh(s)``."""
    b = NetworkBuilder("rnn_scan", seed)
    state, x = b.input("state", (1, hidden)), b.input("step", (1, inputs))
    h = b.apply("Tanh", state)
    total = b.add(b.node("MatMul", [h, b.weights((hidden, hidden), hidden)], (1, hidden)), b.linear(x, hidden))
    return b.model(total, b.linear(h, 10))


def scanned(step: bytes, size: int) -> bytes:
    """A Scan of ``size`` steps from a state of zeros; its results are the last state and those of all steps.

    The first input and output of a step are the state.
    """
    body = onnx.load_model_from_string(step)
    (_, x), (state, y) = body.graph.input, body.graph.output
    start = numpy_helper.from_array(np.zeros(_shape(state), np.float32), "start")
    results = [("last_state", _shape(state)), ("results", (size, *_shape(y)))]
    scan = helper.make_node(
        "Scan", ["start", "sequence"], [name for name, _ in results], "scan", body=body.graph, num_scan_inputs=1
    )
    sequence = helper.make_tensor_value_info("sequence", TensorProto.FLOAT, (size, *_shape(x)))
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in results]
    graph = helper.make_graph([scan], "rnn_scan", [sequence], outputs, [start])
    model = helper.make_model(graph, opset_imports=body.opset_import, ir_version=body.ir_version)
    return model.SerializeToString()


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def lstm(*, size: int = 16, seed: int = 0, inputs: int = 64, hidden: int = 64) -> bytes:
    """A dense layer on each step, an LSTM, and a dense layer on its last state."""
    return _gated("LSTM", 4, size, seed, inputs, hidden, "forward")


def gru(*, size: int = 16, seed: int = 0, inputs: int = 64, hidden: int = 64) -> bytes:
    """As `lstm`, with a bidirectional GRU."""
    return _gated("GRU", 3, size, seed, inputs, hidden, "bidirectional")


def _gated(op: str, gates: int, size: int, seed: int, inputs: int, hidden: int, direction: str) -> bytes:
    b = NetworkBuilder(op.lower(), seed)
    directions = 2 if direction == "bidirectional" else 1
    x = b.apply("Relu", b.linear(b.input("sequence", (size, 1, inputs)), inputs))
    w = b.weights((directions, gates * hidden, inputs), inputs, 1.0)
    r = b.weights((directions, gates * hidden, hidden), hidden, 1.0)
    bias = b.constant(np.zeros((directions, 2 * gates * hidden), np.float32))
    shapes = [(size, directions, 1, hidden), (directions, 1, hidden)]
    _, last = b.nodes(op, [x, w, r, bias], shapes, hidden_size=hidden, direction=direction)
    return b.model(b.dense(b.reshape(last, (1, directions * hidden)), 10))
