"""The digit reader from its ONNX file to a module, on the functional device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.compiling import compile_model
from support.ort import reference
from weft.models import digits_heldout, digits_onnx
from weft_compiler import CompileOptions
from weft_compiler.errors import CompileError
from weft_compiler.onnx_import import import_onnx
from weft_compiler.pipeline import run_passes
from weft_hardware.config import AcceleratorConfig
from weft_runtime.module import Module
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

VTA = AcceleratorConfig()


@pytest.mark.parametrize("batch", [1, 5])
def test_the_digit_reader_gives_onnxruntimes_bytes(batch: int, tmp_path: Path) -> None:
    images = digits_heldout()[0][:13]
    path = tmp_path / "digits.weft"
    compile_model(digits_onnx(), VTA, CompileOptions(batch=batch)).save(path)
    with FunctionalDevice(VTA) as device, Session(Module.load(path), device) as session:
        logits = session.run_many(images)
    assert isinstance(logits, np.ndarray)
    assert logits.tobytes() == reference(digits_onnx(), {"image": images})[0].tobytes()


def test_the_layer_table_of_the_digit_reader() -> None:
    layers = compile_model(digits_onnx(), VTA).content.layers
    # A row of 8 pixels has 22 taps of a 3×3 kernel inside, one of 4 has 10.
    assert [(layer.name, layer.op, layer.placement, layer.macs) for layer in layers] == [
        ("image_QuantizeLinear", "QuantizeLinear", "host", 0),
        ("conv1", "Conv", "accelerator", 22 * 22 * 16),
        ("conv2", "Conv", "accelerator", 22 * 22 * 24 * 16),
        ("pool", "MaxPool", "accelerator", 0),
        ("conv3", "Conv", "accelerator", 10 * 10 * 32 * 24),
        ("flatten", "Flatten", "host", 0),
        ("dense", "Gemm", "accelerator", 512 * 10),
        ("logits_DequantizeLinear", "DequantizeLinear", "host", 0),
    ]
    assert all(bool(layer.reason) == (layer.placement == "host") for layer in layers)


def test_compiling_twice_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.weft", "b.weft"):
        compile_model(digits_onnx(), VTA).save(tmp_path / name)
    assert (tmp_path / "a.weft").read_bytes() == (tmp_path / "b.weft").read_bytes()


def test_a_module_carries_objects_for_the_hosts_that_were_asked_for() -> None:
    names = ["armv7", "aarch64-unknown-linux-gnu", "x86_64"]
    plain, content = (
        compile_model(digits_onnx(), VTA).content,
        compile_model(digits_onnx(), VTA, CompileOptions(host_targets=names)).content,
    )
    assert [code.triple.split("-")[0] for code in content.host_code] == ["armv7", "aarch64", "x86_64"]
    assert content.host_code[2:] == plain.host_code
    assert {code.ir for code in content.host_code} == {plain.host_code[0].ir}


def test_a_module_without_an_object_for_this_cpu_runs(tmp_path: Path) -> None:
    compile_model(digits_onnx(), VTA, CompileOptions(host_targets="riscv64")).save(tmp_path / "digits.weft")
    image = digits_heldout()[0][:1]
    with FunctionalDevice(VTA) as device:
        (logits,) = Module.load(tmp_path / "digits.weft").run(device, image)
    assert logits.tobytes() == reference(digits_onnx(), {"image": image})[0].tobytes()


def test_progress_counts_every_stage() -> None:
    seen: list[tuple[str, int, int]] = []
    compile_model(digits_onnx(), VTA, CompileOptions(progress=lambda *stage: seen.append(stage)))
    assert [done for _, done, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for *_, total in seen} == {len(seen)}
    assert (seen[0][0], seen[-1][0]) == ("import", "assemble")


def test_a_damaged_model_never_escapes_as_another_error() -> None:
    data = digits_onnx()
    rng = np.random.default_rng(11)
    refusals = []
    for _ in range(60):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            damaged[position] = int(rng.integers(256))
        try:
            run_passes(import_onnx(bytes(damaged)), VTA)
        except CompileError as error:
            refusals.append(str(error))
    assert refusals
    assert not any("\n" in sentence for sentence in refusals)
