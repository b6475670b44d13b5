"""The real pynq package on the RTL: overlay, registers, clocks, buffers with and without caches, a whole network."""

import json
import subprocess

import numpy as np
import pytest
from support.board_projects import small_config, small_project
from support.handoff import build_for_tests
from support.pynq_environment import environment, pynq_python
from weft.demo import reference_logits
from weft.models import digits_heldout, digits_onnx
from weft_boards.catalogue import BOARDS
from weft_hardware.registers import IDENTITY_VALUE, REGISTERS
from weft_runtime.dram import Dram
from weft_runtime.session import Session
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

import weft

pytestmark = pytest.mark.rtl

# pynq 4.0 cannot load what is built for a Zynq-7000: its metadata lacks the clock's frequency.
COMBINATIONS = [("3.1.2", "pynq-z2"), pytest.param(("4.0.0", "ultra96-v2"), marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda chosen: "-".join(chosen))
def board(request, tmp_path_factory):
    """A function that runs a case of `support.pynq_cases`, and the board."""
    version, name = request.param
    python = pynq_python(version)
    if python is None:
        pytest.skip(f"needs an environment with pynq {version}, which pip could not make")
    directory = tmp_path_factory.mktemp(name)
    project = small_project(BOARDS[name])
    (directory / "config.toml").write_text(project.files["config.toml"])
    build_for_tests(project, directory)
    weft.compile(digits_onnx(), small_config(BOARDS[name])).save(directory / "digits.weft")
    images = digits_heldout()[0][:3]
    np.save(directory / "images.npy", images)
    np.save(directory / "logits.npy", reference_logits(images))

    def run(case):
        command = [python, "-m", "support.pynq_cases", case, str(directory)]
        done = subprocess.run(command, env=environment(name), capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    run.board, run.version, run.directory = BOARDS[name], version, directory
    return run


def test_overlay(board):
    found = board("overlay")
    assert found["pynq"] == board.version
    assert found["numpy"].startswith("1.26")
    assert (found["at"], found["range"]) == (board.board.control_port.registers, 4096)
    assert found["type"] == "weft:accelerators:weft_accelerator:1.0"
    assert found["registers"] == {register.name: register.offset for register in REGISTERS}
    assert found["identity"] == IDENTITY_VALUE
    assert found["read_only_unchanged"] == int(small_config(board.board).digest[:8], 16)
    assert found["clock_mhz"] == pytest.approx(board.board.clock.default_mhz)
    assert found["downloads"] == 1


def test_a_whole_network_and_caches(board):
    found = board("network")
    module = weft.load(board.directory / "digits.weft")
    # Where pages begin, as the board's buffers do: bursts end at the same places.
    options = {"memory": MemoryTiming(read_latency=20), "dram": Dram.zeros(16 << 20, 4096)}
    with TsimDevice(small_config(board.board), **options) as device, Session(module, device) as session:
        session.run(np.load(board.directory / "images.npy")[:1])
        cycles = sum(layer.cycles or 0 for layer in session.last_profile)
    for kind in ("cached", "uncached"):
        for when in (kind, f"{kind} again"):
            assert found[when] == {"images": 3, "wrong": 0, "cycles": cycles}, when
    assert found["cached syncs"] > 0
    for what in ("flush", "invalidate"):
        forgotten = found[f"cached without {what}"]
        assert forgotten.get("wrong", 3) == 3, "no image is right"
        assert found[f"uncached without {what}"]["wrong"] == 0


def test_trouble(board):
    found = board("trouble")
    digest, other = small_config(board.board).digest[:8], weft.load_config("tiny8").digest[:8]
    assert found["other configuration"] == (
        f"the RTL says identity {IDENTITY_VALUE:#x} and configuration {int(digest, 16):#010x}, not "
        f"{IDENTITY_VALUE:#x} and {int(other, 16):#010x}; open the device with the config.toml that the bitstream was "
        "built from"
    )
    assert found["no bitstream"] == (
        "bitstream '/nowhere/weft.bit' cannot be loaded (Bitstream file /nowhere/weft.bit does not exist.); give the "
        "path of a .bit with its .hwh beside it, as root on the board"
    )
    assert found["no option"] == (
        "device 'pynq' needs bitstream=, the path of a .bit with its .hwh beside it; see docs/boards.md"
    )
    assert found["no time"] == "timeout = 0 s leaves no time to run; choose more than 0"
    assert "opcode 7" in found["illegal"]
    assert found["after illegal"]["wrong"] == 0
    assert found["outside"] == ("DRAM access of 4 bytes at 0x40 is in no buffer; allocate it, or correct the address")
    assert found["not a buffer"] == (
        "DRAM access of 16 bytes at 0x40 is in no buffer; allocate it, or correct the address"
    )
    assert found["freed twice"] == ("DRAM address ADDRESS is not allocated; free each buffer once, at its start")
    assert "watchdog" in found["hung"].lower()
    assert found["downloads"] == 1, "the bitstream was loaded once more: only that resets the bus"
    assert found["after hung"]["wrong"] == 0
