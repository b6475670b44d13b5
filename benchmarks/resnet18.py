"""Whole ResNet-18 at 224×224: cycles in the timing model (exact against tsim), layer by layer, and times on the host.

The vta preset, AXI 64 bits, read latency 50, no stalls; from the image's bytes, the host doing layout packing only. A
layer's *share* is the cycles that its busiest resource needs at least ÷ its cycles: products with the image, a tile a
cycle, or bytes of inputs (once), weights and results on a bus of 8 a cycle each way; what it loads while
the layer before is at work counts for that one. Results are compared with
onnxruntime's, byte for byte. *Compiling* is cold; *an image* is the best of five runs.
"""

from __future__ import annotations

import time

import numpy as np
import onnxruntime
from weft.zoo import network
from weft_compiler import CompileOptions, compile_model
from weft_hardware.presets import VTA
from weft_runtime.module import Module
from weft_runtime.module_model import AcceleratorStep
from weft_runtime.session import Session
from weft_simulator.functional import FunctionalDevice
from weft_simulator.timing.device import TimingDevice
from weft_simulator.tsim.model import MemoryTiming

RUNS = 5
MEMORY = MemoryTiming(read_latency=50)


def measure() -> dict[str, str]:
    """Cycles of every layer and of the network, by the type of its activations."""
    figures: dict[str, str] = {}
    for activations in ("int8", "uint8"):
        model = network("resnet18", activations=activations, bytes_in=True)
        begin = time.perf_counter()
        module = compile_model(model, VTA)
        figures[f"{activations}: compiling"] = f"{time.perf_counter() - begin:.1f} s"
        (info,) = module.content.inputs
        limits = np.iinfo(info.dtype)
        image = np.random.default_rng(1).integers(limits.min, limits.max + 1, info.shape).astype(info.dtype)
        found, seconds = _functional(module, image)
        expected, peer = _onnxruntime(model, image)
        if not np.array_equal(found, expected):
            raise AssertionError(f"{activations}: the result differs from onnxruntime's")
        figures[f"{activations}: an image, functional"] = f"{1e3 * seconds:.0f} ms"
        figures[f"{activations}: an image, onnxruntime, one thread"] = f"{1e3 * peer:.0f} ms"
        figures |= _cycles(activations, module, compile_model(model, VTA, CompileOptions(overlap=False)), image)
    return figures


def _functional(module: Module, image: np.ndarray) -> tuple[np.ndarray, float]:
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        result = session.run(image)
        return np.asarray(result), min(_time(lambda: session.run(image)) for _ in range(RUNS))


def _onnxruntime(model: bytes, image: np.ndarray) -> tuple[np.ndarray, float]:
    options = onnxruntime.SessionOptions()
    # Without this entry int8 activations stay float.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: image}
    (result,) = session.run(None, feeds)
    return np.asarray(result), min(_time(lambda: session.run(None, feeds)) for _ in range(RUNS))


def _time(run: object) -> float:
    begin = time.perf_counter()
    run()  # type: ignore[operator]
    return time.perf_counter() - begin


def _cycles(activations: str, module: Module, apart: Module, image: np.ndarray) -> dict[str, str]:
    """Of the network as it runs; what each layer moves tells the one that has a launch for each."""
    figures: dict[str, str] = {}
    content = apart.content
    steps = {content.layers[step.layer].name: step for step in content.steps if isinstance(step, AcceleratorStep)}
    with TimingDevice(VTA, memory=MEMORY) as device, Session(module, device) as session:
        session.run(image)
        found = [(layer.name, layer.cycles) for layer in session.last_profile if layer.cycles is not None]
    layers = {layer.name: layer for layer in content.layers}
    for name, cycles in found:
        reads = sum(buffer.nbytes for buffer in steps[name].reads) + _weights(apart, name)
        writes = sum(buffer.nbytes for buffer in steps[name].writes)
        least = max(layers[name].macs / VTA.macs, reads / VTA.axi_bytes, writes / VTA.axi_bytes)
        figures[f"{activations}: {name}"] = f"{cycles:,} cycles, {100 * least / cycles:.1f} % of its roof"
    figures[f"{activations}: whole network"] = f"{sum(cycles for _, cycles in found):,} cycles"
    return figures


def _weights(module: Module, layer: str) -> int:
    """Bytes of a layer's constants but its programs."""
    return sum(len(c.data) for c in module.content.constants if c.name == layer)
