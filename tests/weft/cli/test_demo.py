"""``weft demo``: the same bytes as onnxruntime, and exit code 1 when they are not."""

import json

import pytest
from support.command import weft

for package in ("onnx", "onnxruntime", "llvmlite", "xdsl"):
    pytest.importorskip(package, reason=f"needs {package}")

HELDOUT = 364


def test_functional_alone():
    result = weft("demo", "--rtl-images", "0", "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert told["same_bytes"] is True
    assert told["functional"]["images"] == HELDOUT
    assert told["functional"]["mismatches"] == 0
    assert told["functional"]["accuracy"] >= 0.97
    assert told["functional"]["accuracy"] == told["reference_accuracy"]
    assert {row["name"] for row in told["layers"] if row["placement"] == "accelerator"} == {
        "conv1",
        "conv2",
        "pool",
        "conv3",
        "dense",
    }


def test_a_mismatch_is_exit_code_1():
    prelude = """
import weft.demo as demo
right = demo.reference_logits
demo.reference_logits = lambda images: right(images)[::-1].copy()
"""
    result = weft("demo", "--rtl-images", "0", prelude=prelude)
    assert result.code == 1
    assert "MISMATCH with onnxruntime" in result.out


@pytest.mark.rtl
def test_both_simulators():
    pytest.importorskip("amaranth", reason="needs the rtl extra (amaranth)")
    result = weft("demo", "--rtl-images", "2", "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    assert told["tsim"]["mismatches"] == 0
    assert told["tsim"]["cycles_per_image"] == sum(row["cycles"] or 0 for row in told["layers"])
    assert all(0 < row["percent_of_peak"] <= 100 for row in told["layers"] if row["cycles"] and row["macs"])
    assert {row["name"]: row["percent_of_peak"] for row in told["layers"]}["pool"] == 0
