"""Damaged and hostile module files: each is refused by one sentence, or holds something consistent."""

from __future__ import annotations

import faulthandler
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import pytest
from support.module_mutants import RAW, REPAIRED
from weft_hardware.config import AcceleratorConfig
from weft_runtime.errors import ModuleError
from weft_runtime.module import Module
from weft_runtime.module_model import (
    AcceleratorStep,
    Buffer,
    Constant,
    ExternalStep,
    HostCode,
    HostStep,
    Layer,
    ModuleContent,
    TensorInfo,
)

SECONDS = 5.0
"""Of the processor, that one load may take: thousands of times its usual."""

WEIGHTS, STREAM = Buffer("device", 0, 64), Buffer("device", 64, 32)
X, Y, SCALE = Buffer("host", 0, 8), Buffer("device", 128, 4), Buffer("host", 64, 4)
CONTENT = ModuleContent(
    config=AcceleratorConfig(),
    inputs=(TensorInfo("x", (2, 1), "float32", X),),
    outputs=(TensorInfo("y", (4,), "int8", Y),),
    region_bytes={"device": 192, "host": 128},
    constants=(
        Constant("weights", WEIGHTS, bytes(64)),
        Constant("stream", STREAM, bytes(range(32))),
        Constant("scale", SCALE, b"\0\0\x80\x3f"),
    ),
    layers=(Layer("conv", "Conv", "accelerator", "", 1000), Layer("pool", "MaxPool", "host", "it pools", 0)),
    steps=(
        AcceleratorStep(0, STREAM, 2, (Y,), (Y,)),
        HostStep(1, "step1_pool", (X, SCALE, Y)),
        ExternalStep(1, "mine", "c", (TensorInfo("a", (2, 1), "float32", X),), (TensorInfo("b", (4,), "int8", Y),)),
    ),
    host_code=(
        HostCode("x86_64-unknown-linux-gnu", "x86-64-v3", ("avx2",), b"; IR", b"\x7fELF"),
        HostCode("armv7-unknown-linux-gnueabihf", "cortex-a9", ("neon",), b"; IR of ARM", b"\x7fELF32", b"linked"),
    ),
)


def all_buffers(content: ModuleContent) -> list[Buffer]:
    buffers = [tensor.buffer for tensor in (*content.inputs, *content.outputs)]
    buffers += [constant.buffer for constant in content.constants]
    for step in content.steps:
        if isinstance(step, HostStep):
            buffers += step.buffers
        elif isinstance(step, ExternalStep):
            buffers += [tensor.buffer for tensor in (*step.inputs, *step.outputs)]
        else:
            buffers += [step.instructions, *step.reads, *step.writes]
    return buffers


def check_consistent(content: ModuleContent) -> None:
    """What a session relies on, said once more without the loader's code."""
    for buffer in all_buffers(content):
        assert 0 <= buffer.offset <= buffer.offset + buffer.nbytes <= content.region_bytes[buffer.region] <= 1 << 31
        assert buffer.offset % 64 == 0
    for tensor in (*content.inputs, *content.outputs):
        assert math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize == tensor.buffer.nbytes
    names = [tensor.name for tensor in content.inputs]
    assert len(set(names)) == len(names)
    ends = {"device": 0, "host": 0}
    for constant in sorted(content.constants, key=lambda c: c.buffer.offset):
        assert len(constant.data) == constant.buffer.nbytes
        assert constant.buffer.offset >= ends[constant.buffer.region] or not constant.data
        ends[constant.buffer.region] = constant.buffer.offset + constant.buffer.nbytes
    for step in content.steps:
        assert 0 <= step.layer < len(content.layers)
        if isinstance(step, AcceleratorStep):
            assert {b.region for b in (step.instructions, *step.reads, *step.writes)} == {"device"}
            assert step.count * 16 == step.instructions.nbytes
            assert step.instructions in [constant.buffer for constant in content.constants]
    json.dumps([layer.name for layer in content.layers], ensure_ascii=False).encode()


def attack(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Load that many mutants, and count what became of them."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    path, again = folder / "net.weft", folder / "again.weft"
    Module(CONTENT).save(path)
    whole = path.read_bytes()
    outcomes = {"refused": 0, "unchanged": 0, "changed": 0}
    for k in range(count):
        mutation = rng.choice(RAW if k % 2 else REPAIRED)
        path.write_bytes(mutation(whole, rng))
        faulthandler.dump_traceback_later(20 * SECONDS, exit=True)
        begin = time.process_time()
        try:
            content = Module.load(path).content
        except ModuleError as error:
            outcomes["refused"] += 1
            sentence = str(error)
            sentence.encode()
            assert "module file" in sentence, sentence
            assert len(sentence) < 700, sentence
        else:
            outcomes["unchanged" if content == CONTENT else "changed"] += 1
            assert content == CONTENT or mutation in REPAIRED, (k, mutation)
            check_consistent(content)
            Module(content).save(again)
            assert Module.load(again).content == content
        finally:
            faulthandler.cancel_dump_traceback_later()
        assert time.process_time() - begin < SECONDS, (k, mutation)
    return outcomes


def test_mutants_are_refused_or_consistent(tmp_path: Path) -> None:
    outcomes = attack(tmp_path, 800, seed=7)
    assert outcomes["refused"] > 400
    assert outcomes["changed"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_thirty_thousand_mutants_are_refused_or_consistent(tmp_path: Path, seed: int) -> None:
    outcomes = attack(tmp_path, 30_000, seed=1000 + seed)
    print(outcomes)
    assert outcomes["refused"] > 15_000
    assert outcomes["changed"] > 500
