"""``weft export`` and ``weft link``: what is written, what is said, what is left behind."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest
from support.command import weft
from weft.models import digits_onnx

import weft as library

for package in ("onnx", "llvmlite", "xdsl"):
    pytest.importorskip(package, reason=f"needs {package}")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    path = tmp_path_factory.mktemp("module") / "digits.weft"
    library.compile(digits_onnx()).save(path)
    return path


def test_bare_metal(module, tmp_path):
    result = weft("export", module, "--bare-metal", tmp_path / "out", "--target", "riscv32")
    assert (result.code, result.err) == (0, "")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"network.c", "network.h", "weft_engine.c", "host-riscv32.o"} <= names
    assert "host-cortex-m4.o" not in names
    assert result.out == f"folder: {tmp_path / 'out'}\nfiles: {len(names)}\n"


@pytest.mark.skipif(find_spec("ziglang") is None, reason="needs ziglang, which is not installed")
def test_a_library(module, tmp_path):
    result = weft("export", module, "-o", tmp_path / "net.so")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"library: {tmp_path / 'net.so'}\nheader: {tmp_path / 'net.h'}\ntarget: x86_64\n"
    assert (tmp_path / "net.so").read_bytes()[:4] == b"\x7fELF"


def test_refusals(module, tmp_path):
    for arguments, sentence in (
        ((), "weft export writes one thing; give either -o NET.so or --bare-metal DIR"),
        (
            ("-o", tmp_path / "a.so", "--target", "armv7", "--target", "aarch64"),
            "a library is for one target, given are armv7, aarch64; export once for each",
        ),
    ):
        result = weft("export", module, *arguments)
        assert (result.code, result.out, result.err) == (2, "", f"weft: {sentence}\n")
    assert not list(tmp_path.iterdir())


def test_a_link_ends_cleanly(tmp_path):
    path = tmp_path / "dev"
    command = [sys.executable, "-m", "weft", "link", str(path), "--memory", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"device functional is served as sim:{path}; stop with Ctrl-C\n"
        assert os.path.getsize(f"{path}.memory") == 1 << 20
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert not list(tmp_path.iterdir())


def test_a_device_that_computes_nothing_is_not_served(tmp_path):
    result = weft("link", tmp_path / "dev", "--device", "timing")
    assert (result.code, result.out) == (2, "")
    assert result.err == "weft: device 'timing' cannot be served over a link; choose functional or tsim\n"
