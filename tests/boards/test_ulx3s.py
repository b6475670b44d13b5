"""The ULX3S's logic in tsim, behind the driver that drives the board; and its bitstream."""

import json
import os
import pty
import re
import select
import threading
import tty

import numpy as np
import pytest
from support.command import weft as weft_command
from support.ulx3s_bench import Bench, SimulatedSerial
from weft.demo import reference_logits
from weft.models import digits_heldout, digits_onnx
from weft_hardware.presets import PRESETS
from weft_runtime.device import Launch
from weft_runtime.errors import DeviceError
from weft_runtime.session import Session
from weft_runtime.uart import UartDevice
from weft_simulator.tsim.own_hardware import OwnHardware

import weft

CONFIG = PRESETS["tiny4"]


@pytest.fixture(scope="module")
def hardware():
    with OwnHardware(Bench(CONFIG), dram_size=4096) as design:
        yield design


@pytest.fixture
def line(hardware):
    hardware.reset()
    serial = SimulatedSerial(hardware)
    yield serial
    assert serial.violations == 0, "the controller broke a rule of the SDRAM"


@pytest.mark.slow
@pytest.mark.rtl
def test_a_whole_network_over_the_line(line):
    images = digits_heldout()[0][:2]
    with UartDevice(CONFIG, port=line) as device, Session(weft.compile(digits_onnx(), CONFIG), device) as session:
        found = np.concatenate([session.run(image[None]) for image in images])
        assert sum(layer.cycles or 0 for layer in session.last_profile) > 50_000
        assert device.delay == 4
        assert device.repeated == 0
    assert found.tobytes() == reference_logits(images).tobytes()


@pytest.mark.slow
@pytest.mark.rtl
def test_bytes_that_the_line_spoils_or_loses(line):
    rng = np.random.default_rng(3)
    with UartDevice(CONFIG, port=line) as device:
        address = device.allocate(4096)
        for trial in range(30):
            data = rng.integers(0, 256, int(rng.integers(1, 1500)), np.uint8)
            start = int(rng.integers(0, 64))
            if trial % 2:
                line.damage(int(rng.integers(1, data.size + 10)))
            else:
                line.lose_bytes = int(rng.integers(1, 4))
            device.write(address + start, data)
            assert device.read(address + start, data.size).tobytes() == data.tobytes(), trial
        assert device.repeated >= 20


@pytest.mark.slow
@pytest.mark.rtl
def test_garbage_and_half_a_request_leave_the_board_listening(line):
    rng = np.random.default_rng(4)
    device = UartDevice(CONFIG, port=line)
    for nbytes in (1, 3, 9, 60, 700):
        line.write(rng.integers(0, 256, nbytes, np.uint8).tobytes())
        address = device.allocate(8)
        device.write(address, np.arange(8, dtype=np.uint8))
        assert device.read(address, 8).tolist() == list(range(8))


@pytest.mark.slow
@pytest.mark.rtl
def test_a_fault_and_a_reset(line):
    with UartDevice(CONFIG, port=line, timeout=5) as device:
        device.allocate(4096)  # where opening it writes a pattern
        address = device.allocate(64)
        device.write(address, np.full(64, 0xFF, np.uint8))
        with pytest.raises(DeviceError, match="opcode 7"):
            device.launch(Launch(address, 1))
    with UartDevice(CONFIG, port=line) as device:
        assert device.read(address, 64).tolist() == [0xFF] * 64, "refreshed through the reset"


@pytest.mark.slow
@pytest.mark.rtl
def test_pyserial_over_a_pseudo_terminal(line):
    """The driver opens a port by its name; a thread carries bytes between that terminal and the simulated line."""
    pytest.importorskip("serial", reason="needs pyserial")
    ours, theirs = pty.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    stop = threading.Event()

    def carry():
        while not stop.is_set():
            if select.select([ours], [], [], 0)[0]:
                line.write(os.read(ours, 4096))
            if back := line.read(4096):
                os.write(ours, back)

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        with UartDevice(CONFIG, port=os.ttyname(theirs)) as device:
            address = device.allocate(1000)
            data = np.random.default_rng(5).integers(0, 256, 1000, np.uint8)
            device.write(address, data)
            assert device.read(address, 1000).tobytes() == data.tobytes()
    finally:
        stop.set()
        thread.join()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "one"], "--seeds 'one' is no list of numbers; write them as 1,2,3"),
        (
            ["--config", "ultra96"],
            "axi_data_bits = 128 does not fit Radiona ULX3S-85F, whose SDRAM, 16 bits is 64 bits wide; choose 64, or "
            "the preset ecp5",
        ),
        (
            ["--clock", "120"],
            "clock of 120 MHz is outside 10..80 MHz, the SDRAM controller's; choose one inside",
        ),
    ],
)
def test_build_refuses_before_it_writes(tmp_path, arguments, message):
    result = weft_command("board", "build", "ulx3s", *arguments, "-o", tmp_path / "out")
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.synth
def test_a_real_bitstream(tmp_path):
    result = weft_command(
        "board", "build", "ulx3s", "--config", "tiny4", "--seeds", "1", "-o", tmp_path / "out", "--json", timeout=1800
    )
    assert result.code == 0, result.err
    values = json.loads(result.out)
    manifest = json.loads((tmp_path / "out" / "project.json").read_text())
    assert manifest["fmax_mhz"]["1"] == values["fmax_mhz"]["seed 1"] >= values["clock_mhz"] == 50
    bitstream = (tmp_path / "out" / "weft.bit").read_bytes()
    # A comment with the part, then the preamble of the configuration port (Lattice FPGA-TN-02039).
    assert b"Part: LFE5U-85F-6CABGA381" in bitstream[:200]
    assert bytes.fromhex("ffffbdb3") in bitstream[:400]
    assert len(bitstream) > 100_000
    assert re.fullmatch(r"\d+ of 208", values["resources"]["DP16KD"])
