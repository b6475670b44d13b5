"""Networks compiled with recorded schedules that were drawn at random: onnxruntime's bytes, from sound programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.block_networks import block_network
from support.compiling import compile_model
from support.ort import reference
from weft.models import digits_heldout, digits_onnx
from weft_compiler import CompileOptions
from weft_compiler.records import read_records, schedules
from weft_explore.tune.conv_problem import ConvProblem
from weft_explore.tune.journal import Journal
from weft_explore.tune.network import layers_of
from weft_hardware.presets import VTA
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice


def check(model: bytes, inputs: dict[str, Any], path: Path, seed: int) -> None:
    """Record one schedule of each layer, compile with the records (the checker proves the programs), and compare."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    layers = layers_of(model, VTA, CompileOptions())
    problems = [ConvProblem(layer.task, VTA, name=layer.name) for layer in layers]
    with Journal(path, config=VTA.digest, device="timing", memory={"read_latency": 0}, seed=seed) as journal:
        for problem in problems:
            assert isinstance(journal.measure(problem, [problem.sample(rng)])[0], int)
    chosen = schedules(read_records([path]).best(VTA.digest))
    assert set(chosen) == {problem.layer for problem in problems}
    assert any(chosen[problem.layer] != problem.default.to_json() for problem in problems)
    module = compile_model(model, VTA, CompileOptions(schedules=chosen))
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        found = session.run(inputs)
    (expected,) = reference(model, inputs)
    assert np.array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("seed", range(2))
def test_residual_blocks(seed: int, tmp_path: Path) -> None:
    check(*block_network(seed), tmp_path / "records.jsonl", seed)


def test_digits(tmp_path: Path) -> None:
    images, _ = digits_heldout()
    check(digits_onnx(), {"image": images[:1]}, tmp_path / "records.jsonl", 7)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_many_networks(seed: int, tmp_path: Path) -> None:
    check(*block_network(seed), tmp_path / "records.jsonl", seed)
