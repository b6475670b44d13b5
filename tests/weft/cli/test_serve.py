"""``weft serve`` in a process of its own, and the verbs that use what it serves."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.command import served, weft
from support.images import bias_image
from weft_hardware.presets import PRESETS
from weft_runtime.session import Session

pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")
pytest.importorskip("grpc", reason="needs the remote extra (grpcio)")

import weft as face

MODEL = Path(face.__file__).parent / "models" / "digits.onnx"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served("--device", "functional", "--device", "timing", "--device", "functional", "--config", "vta") as (
        _,
        address,
    ):
        yield address


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("module") / "digits.weft"
    face.compile(MODEL, "vta", cache=True).save(path)
    return path


def test_run_gives_the_same_bytes(address, module, tmp_path):
    with np.load(MODEL.parent / "digits_heldout.npz") as held:
        images = held["images"][:3, np.newaxis].astype(np.float32)
    np.save(tmp_path / "in.npy", images)
    outputs = []
    for device in ("functional", f"{address}?device=functional"):
        out = tmp_path / f"{len(outputs)}.npy"
        result = weft("run", module, "--input", tmp_path / "in.npy", "--output", out, "--device", device)
        assert result.code == 0, result.err
        outputs.append(np.load(out))
    assert outputs[0].shape == (3, 10)
    assert np.array_equal(*outputs)


def test_tune_measures_the_same(address, tmp_path):
    found = []
    for name, device in (("here", "timing"), ("there", f"{address}?device=timing")):
        records = tmp_path / f"{name}.jsonl"
        result = weft("tune", MODEL, "--records", records, "--trials", 16, "--device", device)
        assert (result.code, result.err) == (0, "")
        lines = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
        assert {line["device"] for line in lines} == {device.partition("?")[0]}
        found.append([(line["layer"], line["candidate"], line["cycles"]) for line in lines])
    assert len(found[0]) == 16
    assert found[0] == found[1]


def test_profile_gives_the_same_cycles(address, module):
    profiles = []
    for device in ("timing", f"{address}?device=timing"):
        result = weft("profile", module, "--device", device, "--json")
        assert result.code == 0, result.err
        rows = json.loads(result.out)["rows"]
        profiles.append([{key: value for key, value in row.items() if key != "host_seconds"} for row in rows])
    assert profiles[0] == profiles[1]
    assert any("activity" in row for row in profiles[0])


@pytest.mark.rtl
def test_a_network_on_rtl_of_another_process(module):
    pytest.importorskip("amaranth", reason="needs the rtl extra (amaranth)")
    digits = face.load(module)
    with np.load(MODEL.parent / "digits_heldout.npz") as held:
        images = held["images"][:3, np.newaxis].astype(np.float32)

    def run(name: str) -> tuple[list[bytes], list[int | None]]:
        with face.open_device(name, digits.content.config) as device, Session(digits, device) as session:
            outputs = [np.asarray(session.run(image[np.newaxis])).tobytes() for image in images]
            return outputs, [report.cycles for _, report in session.last_launches]

    here = run("tsim")
    with served("--device", "tsim", "--config", "vta") as (_, address):
        there = run(address)
    with face.open_device("functional", digits.content.config) as device:
        expected = [np.asarray(digits.run(device, image[np.newaxis])).tobytes() for image in images]
    assert here == there
    assert there[0] == expected
    assert all(there[1])


def test_exec_writes_the_image_back(address, tmp_path):
    image = bias_image(PRESETS["vta"])
    path = tmp_path / "image.bin"
    path.write_bytes(image.data)
    arguments = ["exec", path, "--image-base", "0x10000", "--insn-addr", "0x10000", "--insn-count", "5"]
    result = weft(*arguments, "--device", f"{address}?device=functional", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["instructions"] == 5
    assert path.read_bytes() == image.expected


def test_a_wrong_configuration(address, tmp_path):
    path = tmp_path / "image.bin"
    path.write_bytes(bytes(64))
    place = ["--image-base", "0", "--insn-addr", "0", "--insn-count", "1"]
    result = weft("exec", path, *place, "--device", address, "--config", "tiny4")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"weft: server {address} has no device of the wanted configuration: functional-1 has block_in = 16, not 4; "
        "compile for its configuration, or serve another device\n"
    )
    assert path.read_bytes() == bytes(64)


def test_ctrl_c_drains():
    with served("--device", "functional", "--config", "tiny4") as (process, address):
        with face.open_device(address) as device:
            device.allocate(64)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        out, err = process.communicate()
    assert out.splitlines() == ["stopping: running calls may end", "stopped"]
    assert err == ""


def test_credentials(tmp_path):
    folder = tmp_path / "credentials"
    made = weft("serve", "--make-credentials", folder, "--name", "board.lan")
    assert made.code == 0, made.err
    assert made.out == (
        f"{folder}/certificate.pem\n{folder}/key.pem\n{folder}/token\n"
        f"serve with --credentials {folder}; give clients everything in it but key.pem\n"
    )
    os.chmod(folder, 0o700)
    with served("--device", "functional", "--config", "tiny4", "--credentials", str(folder)) as (_, address):
        with face.open_device(f"{address}?credentials={folder}", "tiny4") as device:
            assert device.config == PRESETS["tiny4"]
        with pytest.raises(face.WeftError, match="does not answer"):
            face.open_device(address)


def test_a_pool_in_a_file(tmp_path):
    (tmp_path / "own.toml").write_text("batch = 2\n")
    pool = tmp_path / "pool.toml"
    pool.write_text(
        '[[device]]\ndevice = "functional"\nconfig = "own.toml"\n\n'
        '[[device]]\ndevice = "functional"\nconfig = "tiny8"\ncount = 2\n'
    )
    with served("--pool", str(pool), "--shared") as (_, address), face.connect(address) as server:
        devices = [(device.name, device.config.batch, device.fresh) for device in server.devices()]
    assert devices == [("functional-0", 2, False), ("functional-1", 2, False), ("functional-2", 2, False)]


def test_others_may_not_come_without_credentials(tmp_path):
    result = weft("serve", "--device", "functional", "--listen", "0.0.0.0:1", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "weft: listen address 0.0.0.0 can be reached from other machines, which takes a certificate and a token; make "
        "them with weft serve --make-credentials FOLDER and serve with --credentials FOLDER, or listen on 127.0.0.1\n"
    )
