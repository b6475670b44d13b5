"""Whole ResNet-18 at 224×224: cycles in the timing model (exact against tsim), layer by layer, and times on the host.

The vta preset, AXI 64 bits, read latency 50, no stalls; from the image's bytes, the host doing layout packing only. A
layer's *roof* is the cycles that its busiest resource needs at least: products with the image, a tile a cycle, or bytes
of inputs (once), residual operands and weights, or of results, on a bus of 8 a cycle each way; its share is roof ÷
cycles, and what it loads while the layer before is at work counts for that one. *Unit* is what the roof leaves out: the
compute pipeline takes a cycle a product and two a vector operation of two accumulators (pools), the epilogue
16 ÷ 4 lanes = 4 cycles a tile of results; the one with more to do, and its share. Results are compared with
onnxruntime's, byte for byte; *an image* is the best of five runs, side by side with onnxruntime in this process. *weft
compile* is the whole command, Python's start included, once Python keeps what it compiled of its sources: the best of
three, its seconds of the processor beside those that passed. Of ResNet-50 the layers with the least shares are shown,
worst first.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from weft.profile import profile_module
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
SHOWN = 12
MEMORY = MemoryTiming(read_latency=50)


def measure() -> dict[str, str]:
    """Cycles of every layer and of the network, by the type of its activations."""
    figures: dict[str, str] = {}
    for activations in ("int8", "uint8"):
        model = network("resnet18", activations=activations, bytes_in=True)
        figures |= _commands(activations, model)
        module = compile_model(model, VTA)
        (info,) = module.content.inputs
        limits = np.iinfo(info.dtype)
        image = np.random.default_rng(1).integers(limits.min, limits.max + 1, info.shape).astype(info.dtype)
        found, seconds, packing = _functional(module, image)
        expected, peer = _onnxruntime(model, image)
        if not np.array_equal(found, expected):
            raise AssertionError(f"{activations}: the result differs from onnxruntime's")
        figures[f"{activations}: an image, functional"] = f"{1e3 * seconds:.0f} ms"
        figures[f"{activations}: an image, onnxruntime, one thread"] = (
            f"{1e3 * peer:.0f} ms, functional takes {seconds / peer:.1f} times that"
        )
        figures[f"{activations}: packing the image"] = f"{1e3 * packing:.2f} ms"
        layers, total = _cycles(module, compile_model(model, VTA, CompileOptions(overlap=False)), image)
        figures |= {f"{activations}: {layer.name}": layer.shown() for layer in layers}
        figures[f"{activations}: whole network"] = f"{total:,} cycles"
    return figures | _resnet50()


def _resnet50() -> dict[str, str]:
    model = network("resnet50", bytes_in=True)
    module, apart = compile_model(model, VTA), compile_model(model, VTA, CompileOptions(overlap=False))
    (info,) = module.content.inputs
    layers, total = _cycles(module, apart, np.zeros(info.shape, info.dtype))
    worst = sorted(layers, key=lambda layer: layer.share)[:SHOWN]
    figures = {f"ResNet-50, uint8: {layer.name}": layer.shown() for layer in worst}
    share = sum(layer.roof for layer in layers) / total
    return {**figures, "ResNet-50, uint8: whole network": f"{total:,} cycles, {100 * share:.1f} % of its roof"}


@dataclass(frozen=True)
class Layer:
    """Cycles of a layer, the least by MACs and bytes, and those in which each unit has work."""

    name: str
    cycles: int
    roof: float
    units: Mapping[str, int]

    @property
    def share(self) -> float:
        return self.roof / self.cycles

    def shown(self) -> str:
        unit = max(self.units, key=lambda name: self.units[name])
        busy = self.units[unit]
        shown = f"{self.cycles:,} cycles, {100 * self.share:.1f} % of its roof"
        return f"{shown}; {unit} {busy:,}, {100 * busy / self.cycles:.1f} %"


def _commands(activations: str, model: bytes) -> dict[str, str]:
    """``weft compile`` as processes: without and with the cache."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "model.onnx")
        source.write_bytes(model)
        arguments = ["compile", str(source), "-o", str(Path(folder, "model.weft"))]
        environment = {**os.environ, "WEFT_CACHE": folder, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        _process(arguments, environment)  # fills the cache, and Python's own of compiled sources
        for what, more in (("cold", ["--no-cache"]), ("from the cache", [])):
            cpu, wall, peak = min(_process([*arguments, *more], environment) for _ in range(3))
            figure = f"{cpu:.2f} s of the processor, {wall:.2f} s, {peak:.0f} MiB"
            figures[f"{activations}: weft compile, {what}"] = figure
    return figures


_COMMAND = """
import runpy, sys
try:
    runpy.run_module("weft", run_name="__main__", alter_sys=True)
finally:
    (peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(peak, file=sys.stderr)
"""
"""The command line, which then says how many KiB it took: what is counted for a child has its parent's memory in it."""


def _process(arguments: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds of the processor, seconds, and most MiB that a command takes."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", _COMMAND, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, seconds, int(done.stderr.split()[-1]) / 1024


def _functional(module: Module, image: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The result, seconds of a run, and those of the first layer's host steps, which pack."""
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        result = session.run(image)
        runs = [(_time(lambda: session.run(image)), session.last_profile[0].host_seconds) for _ in range(RUNS)]
        seconds, packing = (min(values) for values in zip(*runs, strict=True))
        return np.asarray(result), seconds, packing


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


def _cycles(module: Module, apart: Module, image: np.ndarray) -> tuple[list[Layer], int]:
    """Layers with what bounds them, and all cycles.

    Of the network as it runs; what each layer moves tells the one that has a launch for each.
    """
    content = apart.content
    steps = {content.layers[step.layer].name: step for step in content.steps if isinstance(step, AcceleratorStep)}
    macs = {layer.name: layer.macs for layer in content.layers}
    with TimingDevice(VTA, memory=MEMORY) as device:
        rows = profile_module(module, device, image).rows
    layers = []
    for row in rows:
        if row.cycles is None:
            continue
        reads = sum(buffer.nbytes for buffer in steps[row.name].reads) + _weights(apart, row.name)
        writes = sum(buffer.nbytes for buffer in steps[row.name].writes)
        roof = max(macs[row.name] / VTA.macs, reads / VTA.axi_bytes, writes / VTA.axi_bytes)
        asked = row.work.least_cycles(VTA)
        layers.append(Layer(row.name, row.cycles, roof, {unit: asked[unit] for unit in ("compute", "epilogue")}))
    return layers, sum(layer.cycles for layer in layers)


def _weights(module: Module, layer: str) -> int:
    """Bytes of a layer's constants but its programs."""
    return sum(len(c.data) for c in module.content.constants if c.name == layer)
