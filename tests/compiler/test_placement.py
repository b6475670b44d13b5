"""What runs where and why, told before compilation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.command import weft
from support.onnx_models import ModelBuilder
from weft_compiler.errors import CompileError
from weft_compiler.placement import FOLDED, Placement, placement
from weft_hardware.presets import PRESETS


def small() -> bytes:
    """A quantised convolution with ReLU, and a float softmax."""
    b = ModelBuilder()
    w = b.dequantize(b.constant(np.ones((4, 2, 1, 1), np.int8)), 0.1, np.int8(0))
    y = b.node("Conv", [b.pair("x", 0.1, np.uint8(0)), w], name="conv")
    y = b.node("Relu", [y], name="relu")
    y = b.node("Softmax", [b.pair(y, 0.1, np.uint8(0))], name="softmax")
    return b.build([("x", (1, 2, 3, 3), np.float32)], [(y, (1, 4, 3, 3), np.float32)])


def test_every_node_has_its_place() -> None:
    rows = {row.node: row for row in placement(small(), PRESETS["vta"])}
    assert rows["conv"] == Placement("conv", "Conv", "accelerator", "", 72)
    assert rows["relu"] == Placement("relu", "Relu", "folded", FOLDED, 0)
    assert rows["softmax"] == Placement("softmax", "Softmax", "host", "floating point is the host's work", 0)
    assert len(rows) == 8


def test_without_extensions_the_host_adds_and_pools() -> None:
    b = ModelBuilder()
    w = b.dequantize(b.constant(np.ones((2, 2, 1, 1), np.int8)), 0.1, np.int8(0))
    x = b.pair("x", 0.1, np.uint8(0))
    y = b.pair(b.node("Conv", [x, w], name="conv"), 0.1, np.uint8(0))
    y = b.pair(b.node("Add", [y, x], name="add"), 0.1, np.uint8(0))
    model = b.build([("x", (1, 2, 3, 3), np.float32)], [(y, (1, 2, 3, 3), np.float32)])
    for extensions, where, reason in (
        (True, "accelerator", ""),
        (False, "host", "the accelerator has no residual operands (residual = false)"),
    ):
        rows = {row.node: row for row in placement(model, PRESETS["vta"], extensions=extensions)}
        assert rows["conv"].where == "accelerator"
        assert (rows["add"].where, rows["add"].reason) == (where, reason)


def test_products_count_wherever_they_run() -> None:
    """Two activations: the accelerator multiplies quantised ones, the host floats."""
    b = ModelBuilder()
    a, c = b.pair("a", 0.1, np.uint8(3)), b.pair("c", 0.1, np.uint8(5))
    quantised = b.pair(b.node("MatMul", [a, c], name="quantised"), 0.1, np.uint8(0))
    floating = b.node("MatMul", ["a", "c"], name="floating")
    shapes = [("a", (3, 2, 5), np.float32), ("c", (3, 5, 7), np.float32)]
    model = b.build(shapes, [(y, (3, 2, 7), np.float32) for y in (quantised, floating)])
    rows = {row.node: row for row in placement(model, PRESETS["vta"])}
    assert (rows["quantised"].where, rows["quantised"].macs) == ("accelerator", 210)
    assert (rows["floating"].where, rows["floating"].macs) == ("host", 210)


def test_a_model_that_cannot_be_compiled() -> None:
    b = ModelBuilder()
    model = b.build([("x", [1, 2, 2], np.float32)], [(b.node("Det", ["x"], name="last"), [1], np.float32)])
    with pytest.raises(CompileError, match=r"^node 'last' \(Det\) is not supported; cut the model there or express"):
        placement(model, PRESETS["vta"])


def test_the_command(tmp_path) -> None:
    path, target = tmp_path / "small.onnx", tmp_path / "small.weft"
    path.write_bytes(small())
    done = weft("compile", path, "--report")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert "node" in lines[0]
    assert any(line.split()[:4] == ["conv", "Conv", "accelerator", "72"] for line in lines)
    assert lines[-1].startswith("1 nodes on the accelerator with 100.0 % of 72 MACs, ")
    assert lines[-2] == "folded: 2 DequantizeLinear, 1 Relu, 1 QuantizeLinear"
    assert not any("Relu" in line for line in lines[:-2])
    full = weft("compile", path, "--full-report").out.splitlines()
    assert any(line.split()[:3] == ["relu", "Relu", "folded"] for line in full)
    assert len(full) == 1 + 8 + 1
    done = weft("compile", path, "--report", "--json", "-o", target)
    assert json.loads(done.out)["placement"][1]["where"] == "host"
    assert target.exists()
    assert weft("compile", path).err == (
        "weft: weft compile has no output; name a file: -o OUT.weft, or see the placement alone: --report\n"
    )
