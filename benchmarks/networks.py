"""Whole networks of the zoo at the vta preset: cycles at memory latency 50, share of the peak, seconds on the host.

Cycles are the timing model's, which are tsim's (see `timing_model`); *confirmed* are those that tsim ran here. They
hold all that runs on the accelerator: stem, pools, residual sums and dense layers included. *of peak* is the
network's own multiply-accumulates, without padding, ÷ (256 · cycles). *compile* is in a warm process without cache.
*functional* is one image on the functional simulator, *host* its part outside the accelerator, *onnxruntime* one
image on one thread in the same process, medians of five; and how many outputs differ from onnxruntime's.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from weft.profile import profile_module
from weft.zoo import network
from weft_hardware.presets import load_config
from weft_runtime.module import Module
from weft_runtime.session import Session
from weft_simulator.tsim.model import MemoryTiming

import weft

TESTS = Path(__file__).parent.parent / "tests"
LATENCY = 50
REPEATS = 5
NETWORKS: tuple[tuple[str, str, float | None], ...] = (
    ("resnet18", "int8", 7.2e6),
    ("resnet18", "uint8", 7.5e6),
    ("resnet50", "uint8", None),
    ("mobilenet_v1", "uint8", 3.6e6),
    ("mobilenet_v2", "uint8", None),
    ("vgg11", "uint8", None),
    ("unet", "uint8", None),
    ("dcgan", "uint8", None),
    ("bert_block", "uint8", None),
)
"""Name, type of the activations, and the cycles that are the goal."""

CONFIRMED = {"resnet18", "mobilenet_v1"}


def _median(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _cycles(module: Module, device: str) -> int:
    memory = MemoryTiming(read_latency=LATENCY)
    with weft.open_device(device, module.content.config, memory=memory) as opened:
        return profile_module(module, opened).total.cycles or 0


def _host_side(module: Module, model: bytes) -> str:
    """An image on the functional simulator beside onnxruntime."""
    from support.ort import session

    rng = np.random.default_rng(0)
    inputs = {t.name: rng.standard_normal(t.shape).astype(t.numpy_dtype) for t in module.content.inputs}
    with (
        weft.open_device("functional", module.content.config) as device,
        Session(module, device) as mine,
    ):
        found = mine.run(inputs)
        whole = _median(lambda: mine.run(inputs))
        host = sum(layer.host_seconds for layer in mine.last_profile)
    theirs = session(model)
    expected = theirs.run(None, inputs)[0]
    wrong = int((np.asarray(found) != expected).sum())
    other = _median(lambda: theirs.run(None, inputs))
    return (
        f"functional {1e3 * whole:.0f} ms, host {1e3 * host:.1f} ms, onnxruntime {1e3 * other:.0f} ms, "
        f"{wrong} of {expected.size} outputs differ"
    )


def measure() -> dict[str, float | int | str]:
    sys.path.insert(0, str(TESTS))  # the reference session lives beside the tests
    config = load_config("vta")
    weft.compile(network("lenet5"), config)  # warms LLVM up
    figures: dict[str, float | int | str] = {}
    for name, activations, goal in NETWORKS:
        model = network(name, activations=activations)
        start = time.perf_counter()
        module = weft.compile(model, config)
        seconds = time.perf_counter() - start
        cycles = _cycles(module, "timing")
        key = f"{name}, {activations}"
        on_host = sum(layer.macs for layer in module.content.layers if layer.placement == "host")
        share = f"{100 * (module.macs - on_host) / config.macs / cycles:.1f} % of peak"
        asked = "" if goal is None else f", goal {goal / 1e6:g} million"
        confirmed = ""
        if name in CONFIRMED:
            confirmed = ", confirmed" if _cycles(module, "tsim") == cycles else ", tsim says otherwise"
        figures[key] = f"{cycles:,} cycles, {share}{asked}{confirmed}"
        figures[f"{key}: compile"] = f"{seconds:.1f} s, {on_host:,} of {module.macs:,} MACs on the host"
        if activations == "uint8":  # onnxruntime's int8 activations are no fair opponent: 19 times slower
            figures[f"{key}: one image"] = _host_side(module, model)
    return figures
