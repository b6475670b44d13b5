"""Exported libraries on other processors and from other languages, under qemu's user mode where it takes one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import exported
from weft.demo import reference_logits
from weft.models import digits_heldout, digits_onnx
from weft_runtime.module import Module
from weft_simulator.link import LinkServer

import weft
from weft import zoo

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytestmark = pytest.mark.slow

IMAGES = digits_heldout()[0][:40]
TARGETS = ("x86_64", "aarch64", "armv7", "riscv64")


@pytest.fixture(scope="module")
def plain() -> Module:
    """Carries an object for x86_64 alone: others are compiled from its IR."""
    return weft.compile(digits_onnx(), "vta")


@pytest.fixture(scope="module")
def carrying() -> Module:
    """Carries an object for every target."""
    return weft.compile(digits_onnx(), "vta", host_targets=TARGETS)


@pytest.fixture(params=[pytest.param("functional"), pytest.param("tsim", marks=pytest.mark.rtl)])
def server(request: pytest.FixtureRequest, plain: Module, tmp_path: Path) -> Iterator[LinkServer]:
    config = plain.content.config
    with LinkServer(tmp_path / "dev", lambda dram: weft.open_device(request.param, config, dram=dram)) as made:
        yield made


def check(command: list[str], folder: Path, server: LinkServer) -> None:
    done = exported.run([*command, f"sim:{server.path}"], folder, IMAGES.tobytes())
    assert (done.returncode, done.stderr.decode().count("\n")) <= (0, 1), done.stderr
    assert done.stdout == reference_logits(IMAGES).tobytes()
    with server.device.lock:
        assert server.dram.use().used == 0


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_a_plain_c_program(target, carried, plain, carrying, server, tmp_path):
    exported.need_zig()
    start = exported.runner(target, tmp_path)
    (carrying if carried else plain).export(tmp_path / "net.so", target)
    program = exported.compile_c(target, "images.c", tmp_path)
    check([*start, str(program)], tmp_path, server)


ZOO = {"lenet5": 32, "mobilenet_v1": 64, "lstm": 16}
"""Networks with more on the host than the digits: depthwise convolutions, tables, floats."""


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo(name, carried, tmp_path):
    exported.need_zig()
    targets = TARGETS[1:3]
    made = weft.compile(zoo.network(name, size=ZOO[name]), "vta", host_targets=targets if carried else "x86_64")
    config, rng = made.content.config, np.random.default_rng(5)
    inputs = {x.name: rng.normal(size=x.shape).astype(x.dtype) for x in made.content.inputs}
    with weft.open_device("functional", config) as device:
        outputs = made.run(device, inputs)
    expected = b"".join(y.tobytes() for y in (outputs if isinstance(outputs, tuple) else (outputs,)))
    data = b"".join(inputs[x.name].tobytes() for x in made.content.inputs)
    for target in targets:
        start = exported.runner(target, tmp_path)
        made.export(tmp_path / "net.so", target)
        program = exported.compile_c(target, "any.c", tmp_path)
        with LinkServer(tmp_path / "dev", lambda dram: weft.open_device("functional", config, dram=dram)) as server:
            done = exported.run([*start, str(program), f"sim:{server.path}"], tmp_path, data)
        assert done.returncode == 0, done.stderr
        assert done.stdout == expected


def test_rust(plain, server, tmp_path):
    exported.need_zig()
    for tool in ("rustc", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}, which is not installed")
    plain.export(tmp_path / "libnet.so")
    program = tmp_path / "images"
    source = exported.SOURCES / "images.rs"
    subprocess.run(["rustc", "-O", "-L", str(tmp_path), "-o", str(program), str(source)], check=True)
    check([str(program)], tmp_path, server)


def test_a_killed_program_leaves_a_clean_device(plain, server, tmp_path):
    exported.need_zig()
    plain.export(tmp_path / "net.so")
    program = exported.compile_c("x86_64", "images.c", tmp_path)
    rng = np.random.default_rng(3)
    for _ in range(8):
        command = [str(program), f"sim:{server.path}"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={"LD_LIBRARY_PATH": str(tmp_path)}
        )
        assert process.stdin is not None
        process.stdin.write(IMAGES.tobytes())
        process.stdin.flush()
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    check([str(program)], tmp_path, server)
