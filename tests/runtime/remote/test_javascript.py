"""A client in another language: nothing of ours but ``devices.proto``."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.images import bias_program
from weft_hardware.encoding import encode, encode_uops
from weft_hardware.isa import Memory, MicroOp, tile_bytes
from weft_hardware.presets import PRESETS
from weft_runtime.remote.generate import PROTO
from weft_runtime.remote.server import serving
from weft_runtime.remote.sources import FreshDevices

PACKAGES = ("@grpc/grpc-js", "@grpc/proto-loader")
CONFIG = PRESETS["vta"]
SOURCE, UOPS, TARGET, SIZE = 0x400, 0x300, 0x800, 0x1000


def node_environment() -> dict[str, str]:
    """Where node finds the packages, or a skip that says what is missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm (none on PATH)")
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False).stdout.strip()
    if not all((Path(root) / package).is_dir() for package in PACKAGES):
        pytest.skip(f"needs the node packages {' and '.join(PACKAGES)} (npm install -g them)")
    return {**os.environ, "NODE_PATH": root}


def test_a_program_runs(tmp_path):
    """It adds 3 to a tile of accumulators and stores their low bytes."""
    pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")
    from weft_simulator.functional.device import FunctionalDevice

    environment = node_environment()
    program = encode(bias_program(CONFIG, SOURCE, UOPS, TARGET), CONFIG)
    image = np.random.default_rng(5).integers(0, 256, SIZE, np.uint8)
    for offset, values in ((0, program), (UOPS, encode_uops([MicroOp()], CONFIG))):
        raw = np.frombuffer(values.tobytes(), np.uint8)
        image[offset : offset + raw.size] = raw
    path = tmp_path / "image.bin"
    path.write_bytes(image.tobytes())
    length = tile_bytes(Memory.OUT, CONFIG)
    script = Path(__file__).parent / "client.js"
    with serving([FreshDevices("functional", CONFIG, lambda wish: FunctionalDevice(CONFIG))]) as address:
        done = subprocess.run(
            ["node", str(script), str(PROTO), address.target, str(path), str(TARGET), str(length), str(len(program))],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    sums = image[SOURCE : SOURCE + tile_bytes(Memory.ACC, CONFIG)].view("<i4")
    assert said.pop("config") == CONFIG.to_dict()
    assert said == {
        "device": "functional-0",
        "instructions": 5,
        "cycles": None,
        "result": (sums + 3).astype("u1").tobytes().hex(),
        "refusal": "DRAM address 0x3 is not allocated; free each buffer once, at its start",
        "kind": "\n\x06device",
    }
