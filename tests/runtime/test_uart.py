"""The driver of a serial line: words, lost and spoilt answers, calibration, refusals."""

import re
import sys

import numpy as np
import pytest
from support.fake_link import FakeBoard
from weft_hardware.presets import PRESETS
from weft_hardware.registers import IDENTITY_VALUE, offset
from weft_hardware.serial_link import MAX_WORDS, WORD_BYTES, Command
from weft_runtime.errors import DeviceError
from weft_runtime.uart import UartDevice

CONFIG = PRESETS["tiny4"]


def board(**options):
    digest = int(CONFIG.digest[:8], 16)
    return FakeBoard({offset("IDENTITY"): IDENTITY_VALUE, offset("CONFIG_DIGEST"): digest}, **options)


@pytest.mark.parametrize("start", [0, 1, 7, 8])
@pytest.mark.parametrize("nbytes", [0, 1, 8, 9, 513, 3 * MAX_WORDS * WORD_BYTES + 5])
def test_bytes_arrive_and_their_neighbours_stay(start, nbytes):
    port = board()
    with UartDevice(CONFIG, port=port) as device:
        address = device.allocate(4096)
        port.memory[address : address + 4096] = bytes([0xEE]) * 4096
        data = np.random.default_rng(nbytes).integers(0, 256, nbytes, np.uint8)
        device.write(address + start, data)
        assert port.memory[address + start : address + start + nbytes] == data.tobytes()
        assert set(port.memory[address : address + start]) <= {0xEE}
        assert set(port.memory[address + start + nbytes : address + 4096]) <= {0xEE}
        assert device.read(address + start, nbytes).tobytes() == data.tobytes()
    assert port.closed


@pytest.mark.parametrize("how", ["lose", "spoil"])
def test_what_the_line_loses_is_asked_for_again_and_done_once(how):
    port = board()
    with UartDevice(CONFIG, port=port) as device:
        address = device.allocate(64)
        before = len(port.done)
        getattr(port, how).update({port.requests, port.requests + 1, port.requests + 3})
        device.write(address, np.arange(8, dtype=np.uint8))
        assert device.read(address, 8).tolist() == list(range(8))
        # The write was sent three times and done once; the read, which may be done again, twice.
        assert port.done[before:] == [Command.WRITE_MEMORY, Command.READ_MEMORY, Command.READ_MEMORY]
        assert device.repeated == 3


@pytest.mark.parametrize(("works", "chosen"), [((3,), 3), ((5,), 5), ((3, 4, 5), 4), ((4, 5), 5)])
def test_calibration_takes_a_delay_that_works(works, chosen):
    with UartDevice(CONFIG, port=board(delays=works)) as device:
        assert device.delay == chosen


def test_memory_that_never_works():
    port = board(delays=())
    message = (
        "the board's SDRAM returned wrong data at every read delay (3..5 cycles); build the bitstream with a slower "
        "--clock"
    )
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        UartDevice(CONFIG, port=port)
    assert port.closed


def test_a_dead_line():
    port = board()
    device = UartDevice(CONFIG, port=port)
    port.silent = True
    message = (
        "serial port in use answered nothing to READ_MEMORY after 4 attempts; check the board's power and bitstream, "
        "the port's name and the baud rate"
    )
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        device.read(0, 8)
    port.silent = False
    assert device.read(0, 8).size == 8


def test_a_cable_that_is_pulled():
    port = board()
    device = UartDevice(CONFIG, port=port)

    def pulled(size=1):
        raise OSError(5, "Input/output error")

    port.read = pulled
    message = "serial port in use failed ([Errno 5] Input/output error); check its cable"
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        device.read(0, 8)


def test_another_accelerator():
    port = board()
    with pytest.raises(DeviceError, match=r"; open the device with the config\.toml that the "):
        UartDevice(PRESETS["tiny8"], port=port)
    assert port.closed


def test_a_port_that_cannot_be_opened():
    pytest.importorskip("serial", reason="needs pyserial")
    with pytest.raises(DeviceError, match=r"^serial port '/dev/nowhere' cannot be opened \(.*\); check its"):
        UartDevice(CONFIG, port="/dev/nowhere")


def test_no_pyserial(monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    message = (
        "the uart device needs the Python package 'pyserial', which is not installed; run: pip install 'weft[uart]'"
    )
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        UartDevice(CONFIG, port="/dev/ttyUSB0")


def test_outside_the_memory():
    with UartDevice(CONFIG, port=board()) as device, pytest.raises(DeviceError, match=r"is outside 0x0\.\.0x2000000"):
        device.read(32 << 20, 1)
