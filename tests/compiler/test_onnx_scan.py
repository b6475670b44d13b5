"""ONNX Scan against onnxruntime, which runs its body as it is: fused, where operators are quantised."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.compiling import compile_model
from support.onnx_models import ModelBuilder
from support.ort import reference
from support.scans import Tensor, body, cell, scan_model
from weft_compiler.dialects import qgraph
from weft_compiler.errors import CompileError
from weft_compiler.onnx_import import import_onnx
from weft_compiler.onnx_operators import IMPORTERS
from weft_hardware.presets import PRESETS
from weft_runtime.module_model import HostStep
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

VTA = PRESETS["vta"]


def assert_as_onnxruntime(model: bytes, *values: NDArray[Any]) -> Any:
    """Byte for byte; gives the compiled module."""
    module = compile_model(model, VTA)
    inputs = dict(zip([x.name for x in onnx.load_model_from_string(model).graph.input], values, strict=True))
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        results = session.run(inputs)
    results = [results] if isinstance(results, np.ndarray) else list(results)
    for result, wanted in zip(results, reference(model, inputs), strict=True):
        assert result.shape == wanted.shape
        assert result.tobytes() == wanted.tobytes()
        assert wanted.size == 1 or len(np.unique(wanted)) > wanted.size // 4
    return module


def floats(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(31).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize(("dtype", "direction"), [(np.uint8, 0), (np.int8, 1)])
def test_a_quantised_cell(dtype: Any, direction: int) -> None:
    length, inputs, hidden = 4, 24, 40
    b = ModelBuilder()
    start = b.constant(np.zeros((1, hidden), np.float32))
    model = scan_model(
        cell(np.random.default_rng(3), inputs, hidden, dtype),
        [("x", (length, 1, inputs))],
        [("last", (1, hidden)), ("all", (1, length, hidden))],
        [start, "x"],
        b,
        scan_input_directions=[direction],
        scan_output_axes=[1],
    )
    module = assert_as_onnxruntime(model, floats(length, 1, inputs))
    # Weights are there once, host functions, too, however many steps there are.
    weights = [c for c in module.content.constants if c.buffer.nbytes in (2 * 3 * 256, 3 * 3 * 256)]
    assert len(weights) == 2
    functions = [step.function for step in module.content.steps if isinstance(step, HostStep)]
    assert len(set(functions)) < 2 * len(functions) // 3
    products = [layer for layer in module.content.layers if layer.macs]
    assert [layer.placement for layer in products] == ["accelerator"] * (2 * length)
    assert {layer.name.rsplit("/", 1)[0] for layer in products} == {f"scan/{k}" for k in range(length)}


def accumulate() -> Any:
    """``s ← s · a + p + q``, written twice; ``a`` comes from outside."""
    b = ModelBuilder()
    state = b.node("Add", [b.node("Mul", ["s", "a"]), b.node("Add", ["p", "q"])])
    row: tuple[Tensor, ...] = tuple((name, (3,)) for name in ("s", "p", "q"))
    y = b.node("Neg", [state])
    z = b.node("Identity", [state])
    return body(b, row, [(state, (3,)), (y, (3,)), (z, (3,))])


@pytest.mark.parametrize(
    ("axes", "directions"),
    [((0, 1, 0, 1), (0, 1, 1, 0)), ((1, -2, -1, -2), (1, 0, 0, 1)), ((-1, -1, 1, 0), (1, 1, 1, 1))],
)
def test_axes_and_directions(axes: tuple[int, ...], directions: tuple[int, ...]) -> None:
    length = 5
    shapes = [(length, 3) if axis % 2 == 0 else (3, length) for axis in axes]
    inputs = [("a", (3,)), ("s", (3,)), ("p", shapes[0]), ("q", shapes[1])]
    model = scan_model(
        accumulate(),
        inputs,
        [("last", (3,)), ("y", shapes[2]), ("z", shapes[3])],
        ["s", "p", "q"],
        num_scan_inputs=2,
        scan_input_axes=axes[:2],
        scan_input_directions=directions[:2],
        scan_output_axes=axes[2:],
        scan_output_directions=directions[2:],
    )
    rng = np.random.default_rng(32)
    assert_as_onnxruntime(model, *(rng.integers(-9, 10, shape).astype(np.float32) * 0.37 for _, shape in inputs))


def test_scans_within_scans_of_scalars() -> None:
    """The inner one reads the state of the outer one and gives it back; all names are used twice."""
    b = ModelBuilder()
    inner = body(b, [("s", ()), ("x", ())], [(b.node("Add", ["s", b.node("Mul", ["x", "a"])]), ())])
    outer = ModelBuilder()
    outer.nodes.append(helper.make_node("Scan", ["s", "x"], ["sum"], name="inner", body=inner, num_scan_inputs=1))
    y = outer.node("Identity", ["sum"])
    rows = body(outer, [("s", ()), ("x", (4,))], [("sum", ()), (y, ())])
    model = scan_model(rows, [("a", ()), ("s", ()), ("x", (3, 4))], [("last", ()), ("y", (3,))], ["s", "x"])
    assert_as_onnxruntime(model, np.asarray(np.float32(0.7)), np.asarray(np.float32(-0.2)), floats(3, 4))


def test_constants_stay_constants() -> None:
    """A counter picks rows by an index that is known at import; a constant sequence is read beside it."""
    b = ModelBuilder()
    count = b.node("Add", ["k", b.constant(np.int64(1))])
    y = b.node("Mul", [b.node("Gather", ["table", "k"]), "x"])
    infos = [
        helper.make_tensor_value_info("k", TensorProto.INT64, ()),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (2,)),
        helper.make_tensor_value_info(count, TensorProto.INT64, ()),
        helper.make_tensor_value_info(y, TensorProto.FLOAT, (2,)),
    ]
    graph = helper.make_graph(b.nodes, "body", infos[:2], infos[2:], b.initializers)
    outside = ModelBuilder()
    first, factors = outside.constant(np.int64(0)), outside.constant(floats(3, 2))
    node = helper.make_node("Scan", [first, factors], ["end", "y"], name="scan", body=graph, num_scan_inputs=1)
    outside.nodes.append(node)
    model = outside.build([("table", (3, 2), np.float32)], [("y", (3, 2), np.float32)])
    assert_as_onnxruntime(model, floats(3, 2))


def test_weights_are_kept_once_a_body() -> None:
    graph = cell(np.random.default_rng(3), 24, 40, np.uint8)
    module = import_onnx(scan_model(graph, [("h", (1, 40)), ("x", (6, 1, 24))], [("last", (1, 40)), ("y", (6, 1, 40))]))
    shapes = [qgraph.shape_of(op.y) for op in module.walk() if isinstance(op, qgraph.ConstantOp)]
    assert (shapes.count((24, 40)), shapes.count((40, 40))) == (1, 1)


# Refusals -------------------------------------------------------------------------------------------------------

STATE, SEQUENCE = ("s", (3,)), ("x", (5, 3))
LAST, ALL = ("last", (3,)), ("y", (5, 3))


def running_sum(*, outputs: int = 2, node: str = "Add") -> Any:
    b = ModelBuilder()
    state = b.node(node, ["s", "x"], name="sum")
    y = b.node("Identity", [state])
    return body(b, [STATE, ("x", (3,))], [(state, (3,)), (y, (3,))][:outputs])


def refusal(model: bytes) -> str:
    with pytest.raises(CompileError) as caught:
        import_onnx(model)
    return str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"num_scan_inputs": 3}, "has num_scan_inputs = 3 of 2 inputs; it must be 1..2, correct it"),
        ({"num_scan_inputs": 0}, "has num_scan_inputs = 0 of 2 inputs; it must be 1..2, correct it"),
        ({"scan_input_axes": [0, 1]}, "has 2 scan_input_axes for 1 sequences; give each its own"),
        ({"scan_output_directions": [0, 1]}, "has 2 scan_output_directions for 1 sequences; give each its own"),
        (
            {"scan_input_axes": [2]},
            "has a scan_input_axes of 2, outside the 2 dimensions of its sequence; correct it",
        ),
        (
            {"scan_output_axes": [-3]},
            "has a scan_output_axes of -3, outside the 2 dimensions of its sequence; correct it",
        ),
        ({"scan_input_directions": [2]}, "has a scan_input_directions of 2; use 0 for forward or 1 for reverse"),
        (
            {"num_scan_inputs": 2},
            "reads sequences of 3, 5 elements; give them one length",
        ),
    ],
)
def test_attributes(attributes: dict[str, Any], reason: str) -> None:
    model = scan_model(running_sum(), [STATE, SEQUENCE], [LAST, ALL], **attributes)
    assert refusal(model) == f"node 'scan' (Scan) {reason}"


def test_the_form_of_opset_8() -> None:
    model = scan_model(running_sum(), [STATE, SEQUENCE], [LAST, ALL], ["", "s", "x"], opset=8)
    assert refusal(model) == (
        "node 'scan' (Scan) has the form of opset 8, with a batch of its own; convert the model to opset 9 or later"
    )


def test_numbers_of_inputs_and_states() -> None:
    model = scan_model(running_sum(), [STATE, SEQUENCE], [LAST, ALL], ["s", "s", "x"])
    assert refusal(model) == "node 'scan' (Scan) has 3 inputs and a body of 2; give both the same number"
    b = ModelBuilder()
    silent = body(b, [STATE, ("t", (3,)), ("x", (3,))], [(b.node("Add", ["s", "x"]), (3,))])
    model = scan_model(silent, [STATE, SEQUENCE], [LAST], ["s", "s", "x"])
    assert refusal(model) == ("node 'scan' (Scan) has 2 states and a body of 1 outputs; let the body give every state")


def test_a_state_that_changes_its_shape() -> None:
    model = scan_model(running_sum(), [("s", (1,)), SEQUENCE], [LAST, ALL])
    assert refusal(model) == (
        "node 'scan' (Scan) has a state 's' that begins as float32 of shape (1,) and becomes float32 of shape (3,); "
        "a state keeps its type, correct the body or what it begins with"
    )


def test_too_many_nodes() -> None:
    model = scan_model(running_sum(), [STATE, ("x", (2001, 3))], [LAST, ("y", (2001, 3))])
    assert refusal(model) == (
        "node 'scan' (Scan) becomes 4002 nodes, 2 for each of its 2001 elements, which exceeds 4000; "
        "scan shorter sequences, or compile its body as a network and run that in a loop"
    )


def test_a_body_without_one_of_its_outputs() -> None:
    graph = running_sum()
    graph.output[1].name = "nothing"
    assert refusal(scan_model(graph, [STATE, SEQUENCE], [LAST, ALL])) == (
        "the ONNX model is not a valid ONNX model (Graph output 'nothing' is not an output of any node in graph.); "
        "export it again"
    )


def test_unknown_operators_in_bodies_are_named() -> None:
    model = scan_model(running_sum(node="BitwiseAnd"), [STATE, SEQUENCE], [LAST, ALL], opset=18)
    assert refusal(model) == (
        "node 'sum' (BitwiseAnd) is not supported; cut the model there or express it with the supported operators "
        + ", ".join(sorted(IMPORTERS))
    )


def test_what_a_node_in_a_body_lacks_is_said_with_its_iteration() -> None:
    b = ModelBuilder()
    y = b.node("Softmax", ["x"], name="soft", axis=4)
    graph = body(b, [("x", (3,))], [(y, (3,))])
    assert refusal(scan_model(graph, [SEQUENCE], [ALL])) == (
        "node 'scan/0/soft' (Softmax) has axis = 4, outside the 1 dimensions of its input; correct it"
    )


def test_loops_are_refused_by_name() -> None:
    b = ModelBuilder()
    infos = [helper.make_tensor_value_info(name, kind, ()) for name, kind in (("k", 7), ("go", 9), ("s", 1))]
    on, state = b.node("Identity", ["go"]), b.node("Neg", ["s"])
    results = [helper.make_tensor_value_info(name, kind, ()) for name, kind in ((on, 9), (state, 1))]
    graph = helper.make_graph(b.nodes, "body", infos, results)
    outside = ModelBuilder()
    trips, go = outside.constant(np.int64(3)), outside.constant(np.bool_(True))
    outside.nodes.append(helper.make_node("Loop", [trips, go, "x"], ["y"], name="loop", body=graph))
    assert refusal(outside.build([("x", (), np.float32)], [("y", (), np.float32)])) == (
        "node 'loop' (Loop) is not supported; cut the model there or express it with the supported operators "
        + ", ".join(sorted(IMPORTERS))
    )
