"""The module format: what is written comes back, and every damage is one sentence."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from weft_hardware.config import AcceleratorConfig
from weft_runtime.archive import MANIFEST, MANIFEST_SUM
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

HOST_BUFFER = {"region": "host", "offset": 0, "nbytes": 4}
STREAM = Buffer("device", 64, 32)
X, Y = Buffer("host", 0, 8), Buffer("device", 128, 4)
CONTENT = ModuleContent(
    config=AcceleratorConfig(),
    inputs=(TensorInfo("x", (2, 1), "float32", X),),
    outputs=(TensorInfo("y", (4,), "int8", Y),),
    region_bytes={"device": 192, "host": 64},
    constants=(Constant("stream", STREAM, bytes(range(32))),),
    layers=(Layer("conv", "Conv", "accelerator", "", 1000), Layer("pool", "MaxPool", "host", "it pools", 0)),
    steps=(
        AcceleratorStep(0, STREAM, 2, (), (Y,)),
        HostStep(1, "step1_pool", (X, Y)),
        ExternalStep(1, "mine", "c", (TensorInfo("a", (2, 1), "float32", X),), (TensorInfo("b", (4,), "int8", Y),)),
    ),
    host_code=(HostCode("x86_64-unknown-linux-gnu", "x86-64-v3", ("avx2",), b"; IR", b"\x7fELF", b"\x7fELF linked"),),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "net.weft"
    Module(CONTENT).save(path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModuleError) as caught:
        Module.load(path)
    return str(caught.value)


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change entries of the archive; nothing else is brought up to date."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def edit_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and correct its checksum."""

    def apply(entries: dict[str, bytes]) -> None:
        manifest = json.loads(entries[MANIFEST])
        change(manifest)
        entries[MANIFEST] = json.dumps(manifest).encode()
        entries[MANIFEST_SUM] = hashlib.sha256(entries[MANIFEST]).hexdigest().encode()

    rewrite(path, apply)


def test_what_is_saved_comes_back(path: Path) -> None:
    assert Module.load(path).content == CONTENT


def test_long_names_come_back(path: Path) -> None:
    content = replace(CONTENT, layers=(replace(CONTENT.layers[0], name="n" * 100_000), *CONTENT.layers[1:]))
    Module(content).save(path)
    assert Module.load(path).content == content


def test_equal_modules_give_equal_files(path: Path, tmp_path: Path) -> None:
    Module(CONTENT).save(tmp_path / "again.weft")
    assert path.read_bytes() == (tmp_path / "again.weft").read_bytes()


def test_macs_are_the_sum_over_layers() -> None:
    assert Module(CONTENT).macs == 1000


def test_a_failed_save_leaves_the_older_file_and_nothing_else(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    broken = replace(CONTENT, region_bytes={})
    with pytest.raises(KeyError):
        Module(broken).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.weft"]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.weft"
    link.symlink_to(path.name)
    Module(replace(CONTENT, layers=CONTENT.layers[::-1])).save(link)
    assert link.is_symlink()
    assert Module.load(path).content.layers == CONTENT.layers[::-1]


def test_a_device_is_written_to_and_never_replaced() -> None:
    Module(CONTENT).save("/dev/null")
    assert Path("/dev/null").is_char_device()


def test_saving_over_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModuleError) as caught:
        Module(CONTENT).save(tmp_path)
    assert str(caught.value) == f"module file {tmp_path} cannot be written: Is a directory; choose another path"


def test_saving_into_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "net.weft"
    with pytest.raises(ModuleError) as caught:
        Module(CONTENT).save(path)
    assert str(caught.value) == f"module file {path} cannot be written: No such file or directory; choose another path"


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "net.weft"
    assert refusal(path) == f"module file {path} cannot be read: No such file or directory; check the path"


def test_every_truncation_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        assert refusal(path).endswith("compile the model again")


def test_not_a_zip(path: Path) -> None:
    path.write_bytes(b"hello")
    assert refusal(path) == (
        f"module file {path} is truncated or not a .weft file (File is not a zip file); compile the model again"
    )


def test_flipped_bytes_are_refused_or_harmless(path: Path) -> None:
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for position in rng.integers(0, len(data), 300):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            assert Module.load(path).content == CONTENT
        except ModuleError:
            refused += 1
    assert refused > 150


def test_a_wrong_checksum(path: Path) -> None:
    rewrite(path, lambda entries: entries.update({"constants/00000.bin": bytes(32)}))
    assert refusal(path) == (
        f"module file {path}: the checksum of 'constants/00000.bin' does not match, the file is damaged; "
        "compile the model again"
    )


def test_a_manifest_that_was_edited(path: Path) -> None:
    rewrite(path, lambda entries: entries.update({MANIFEST: entries[MANIFEST].replace(b"conv", b"cone")}))
    assert refusal(path) == (
        f"module file {path}: the checksum of 'manifest.json' does not match, the file is damaged; "
        "compile the model again"
    )


def test_a_missing_entry(path: Path) -> None:
    rewrite(path, lambda entries: entries.pop("constants/00000.bin"))
    assert refusal(path) == f"module file {path} has no entry 'constants/00000.bin'; compile the model again"


def test_an_undeclared_entry(path: Path) -> None:
    rewrite(path, lambda entries: entries.update({"extra": b""}))
    assert refusal(path) == f"module file {path} has an undeclared entry 'extra'; compile the model again"


def test_a_repeated_entry(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(MANIFEST, b"{}")
    assert refusal(path) == f"module file {path} has repeated or too many entries; compile the model again"


def test_another_format_version(path: Path) -> None:
    edit_manifest(path, lambda manifest: manifest.update(format=1))
    assert refusal(path) == (
        "module file has format 1, this weft reads format 3; compile the model again with this version"
    )


def damage(name: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of ``name[key]``; dots in ``name`` lead into lists and objects."""

    def change(manifest: dict[str, Any]) -> None:
        target: Any = manifest
        for part in name.split(".") if name else []:
            target = target[int(part)] if part.isdigit() else target[part]
        target[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (damage("", "layers", 3), "manifest.layers = 3 has the wrong type"),
        (damage("", "entries", 3), "manifest.entries = 3 has the wrong type"),
        (damage("steps.0.instructions", "offset", 128), "is no constant of the module"),
        (damage("", "region_bytes", {}), "manifest.region_bytes.device = 'nothing' is missing"),
        (damage("config", "batch", 3), "manifest.config = 'batch = 3 cannot be built; choose one of 1, 2, 4, 8, 16'"),
        (damage("config", "speed", 3), "manifest.config ="),
        (damage("config", "batch", 2), "manifest.config_digest ="),
        (damage("steps.0", "layer", 7), "manifest.steps[0].layer = 7 is outside 0..1"),
        (damage("steps.0", "layer", True), "manifest.steps[0].layer = True has the wrong type"),
        (damage("steps.0", "count", 3), "manifest.steps[0].count = 3 does not fill 32 bytes"),
        (damage("steps.1", "function", "a b"), "manifest.steps[1].function = 'a b' is no symbol name"),
        (damage("steps.1", "kind", "gpu"), "manifest.steps[1].kind = 'gpu' is none of host, external, accelerator"),
        (damage("steps.2", "language", "go"), "manifest.steps[2].language = 'go' is none of python, c"),
        (damage("steps.2", "function", "a b"), "manifest.steps[2].function = 'a b' is no symbol name"),
        (damage("steps.2.outputs.0", "shape", [5]), "manifest.steps[2].outputs[0].buffer = 4 bytes do not hold shape"),
        (damage("steps.0.writes.0", "offset", 256), "does not lie in the 192 bytes of its region"),
        (damage("steps.0.writes.0", "offset", -64), "manifest.steps[0].writes[0].offset = -64 is outside"),
        (damage("steps.0", "writes", [HOST_BUFFER]), "manifest.steps[0] = 'host' is no memory of the accelerator"),
        (damage("inputs.0", "dtype", "object"), "manifest.inputs[0].dtype = 'object' is none of"),
        (damage("inputs.0", "shape", [2, -1]), "manifest.inputs[0].shape = (2, -1) is no shape"),
        (
            damage("inputs.0", "shape", [4, 1]),
            "manifest.inputs[0].buffer = 8 bytes do not hold shape (4, 1) of float32",
        ),
        (damage("constants.0", "entry", "../etc"), "manifest.constants[0].entry = '../etc' is no entry of the file"),
        (
            damage("inputs.0", "name", "\ud800"),
            "manifest.inputs[0].name = '\\ud800' is no text: it has half a character",
        ),
        (lambda m: m["inputs"].append(m["inputs"][0]), "manifest.inputs = ['x', 'x'] names a tensor twice"),
        (lambda m: m["outputs"].append(m["outputs"][0]), "manifest.outputs = ['y', 'y'] names a tensor twice"),
        (
            lambda m: m["constants"].append(m["constants"][0]),
            "manifest.constants = ('stream', 64) overlaps another one",
        ),
        (lambda m: m["host_code"].append(m["host_code"][0]), "names a target twice"),
        (damage("layers.0", "macs", float("nan")), "manifest = 'NaN' is no number of JSON"),
        (damage("constants.0.buffer", "nbytes", 31), "manifest.constants[0].entry = 32 bytes are not 31"),
        (damage("host_code.0", "library", "host/../x.so"), ".library = 'host/../x.so' is no entry of the file"),
        (damage("host_code.0", "library", 3), "manifest.host_code[0].library = 3 has the wrong type"),
        (damage("host_code.0", "triple", "../x"), "manifest.host_code[0].triple = '../x' is no target triple"),
    ],
)
def test_a_manifest_that_contradicts_itself(path: Path, change: Callable, sentence: str) -> None:
    edit_manifest(path, change)
    text = refusal(path)
    assert sentence in text
    assert text.startswith("module file is damaged: ")
    assert text.endswith("; compile the model again")


def test_an_entry_larger_than_it_says_is_not_unpacked(path: Path) -> None:
    def inflate(entries: dict[str, bytes]) -> None:
        entries["constants/00000.bin"] = bytes(1 << 20)

    rewrite(path, inflate)
    assert refusal(path) == (
        f"module file {path}: entry 'constants/00000.bin' has 1048576 bytes, more than 32; compile the model again"
    )


def test_a_manifest_that_is_no_object(path: Path) -> None:
    text = b"[]"
    sums = hashlib.sha256(text).hexdigest().encode()
    rewrite(path, lambda entries: entries.update({MANIFEST: text, MANIFEST_SUM: sums}))
    assert refusal(path) == "module file is damaged: manifest = [] is not an object; compile the model again"


def test_a_manifest_that_names_something_twice(path: Path) -> None:
    text = b'{"format": 1, "format": 2}'
    sums = hashlib.sha256(text).hexdigest().encode()
    rewrite(path, lambda entries: entries.update({MANIFEST: text, MANIFEST_SUM: sums}))
    assert refusal(path) == (
        "module file is damaged: manifest = ['format', 'format'] names something twice; compile the model again"
    )


def test_an_entry_of_another_compression(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert refusal(path) == (
        f"module file {path}: entry 'manifest.json' is compressed by method 14, and modules are stored or deflated; "
        "compile the model again"
    )


def test_long_quotations_are_cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(MANIFEST.encode(), b"manifest.jsoN", 1))
    assert len(refusal(path)) < 300


def test_deeply_nested_json_is_refused(path: Path) -> None:
    text = b"[" * 100_000
    sums = hashlib.sha256(text).hexdigest().encode()
    rewrite(path, lambda entries: entries.update({MANIFEST: text, MANIFEST_SUM: sums}))
    assert refusal(path).endswith("compile the model again")


def test_the_archive_needs_no_file_system(tmp_path: Path) -> None:
    path = tmp_path / "plain.weft"
    Module(CONTENT).save(path)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert sorted(archive.namelist()) == [
            "constants/00000.bin",
            "host/x86_64-unknown-linux-gnu.ll",
            "host/x86_64-unknown-linux-gnu.o",
            "host/x86_64-unknown-linux-gnu.so",
            "manifest.json",
            "manifest.sha256",
        ]


def test_launches_come_with_their_layer_and_instructions():
    assert list(CONTENT.launches()) == [("conv", CONTENT.steps[0], bytes(range(32)))]
