"""Networks without extensions: their raw images alone, as hardware would run them that knows nothing of modules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from support.ort import reference
from support.soundness import assert_module_sound
from weft.execute import execute
from weft.raw_image import IMAGE, LAUNCHES, write_raw
from weft.zoo import network
from weft.zoo.builder import random_input
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory
from weft_hardware.presets import VTA
from weft_runtime.device import Launch, RunReport
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

import weft

SMALL = {
    "lenet5": {},
    "resnet18": {"size": 32, "width": 16},
    "resnet50": {"size": 32, "width": 16},
    "mobilenet_v2": {"size": 32, "width": 0.25},
    "dcgan": {"size": 32, "width": 8},
    "unet": {"size": 32, "width": 8},
    "bert_block": {"size": 16, "hidden": 64, "heads": 4},
    "rnn": {"size": 4},
}


class Recorder(FunctionalDevice):
    """Keeps what the module's memory held before each launch, and after it."""

    def __init__(self, config: AcceleratorConfig, nbytes: int) -> None:
        super().__init__(config)
        self.nbytes = nbytes
        self.memories: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []

    def launch(self, launch: Launch) -> RunReport:
        region = self.view(launch.bases[Memory.INP], self.nbytes)
        assert region is not None
        before = region.copy()
        report = super().launch(launch)
        self.memories.append((before, region.copy()))
        return report


def with_extensions(model: bytes, inputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    with FunctionalDevice(VTA) as device:
        y = weft.compile(model, VTA, cache=False).run(device, inputs)
    assert isinstance(y, np.ndarray)
    return y


def check(name: str, activations: str, device: str, folder: Path, **size: float) -> None:
    model = network(name, activations=activations, **size)
    proto = onnx.load_model_from_string(model)
    shapes = {x.name: tuple(d.dim_value for d in x.type.tensor_type.shape.dim) for x in proto.graph.input}
    inputs = {key: random_input(shape, 1) for key, shape in shapes.items()}
    module = assert_module_sound(weft.compile(model, VTA, extensions=False, cache=False))
    with Recorder(VTA, module.content.region_bytes["device"]) as recorder, Session(module, recorder) as session:
        found = session.run(inputs)
    # onnxruntime computes transposed convolutions in floats.
    wanted = [with_extensions(model, inputs)] if name == "dcgan" else reference(model, inputs)
    for y, expected in zip(found if isinstance(found, tuple) else (found,), wanted, strict=True):
        assert y.tobytes() == expected.tobytes()
    write_raw(module, folder)
    image = np.fromfile(folder / IMAGE, np.uint8)
    launches = json.loads((folder / LAUNCHES).read_text())["launches"]
    assert len(launches) == len(recorder.memories)
    for launch, (before, after) in zip(launches, recorder.memories, strict=True):
        for offset, nbytes in launch["reads"]:
            image[offset : offset + nbytes] = before[offset : offset + nbytes]
        image, _ = execute(image, 0, launch["insn_addr"], launch["insn_count"], device, VTA)
        assert launch["writes"], launch["name"]
        for offset, nbytes in launch["writes"]:
            assert np.array_equal(image[offset : offset + nbytes], after[offset : offset + nbytes]), launch["name"]


def test_lenet(tmp_path: Path) -> None:
    check("lenet5", "uint8", "functional", tmp_path, **SMALL["lenet5"])


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize("name", SMALL)
def test_networks(name: str, activations: str, tmp_path: Path) -> None:
    check(name, activations, "functional", tmp_path, **SMALL[name])


@pytest.mark.slow
@pytest.mark.rtl
@pytest.mark.parametrize("name", SMALL)
def test_networks_in_rtl(name: str, tmp_path: Path) -> None:
    check(name, "uint8", "tsim", tmp_path, **SMALL[name])


@pytest.mark.slow
@pytest.mark.rtl
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_networks_of_full_size_in_rtl(name: str, tmp_path: Path) -> None:
    check(name, "uint8", "tsim", tmp_path)
