"""What the timing device refuses, and that it goes on afterwards."""

import numpy as np
import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish, Gemm, Load, Memory, Store
from weft_runtime.device import Launch
from weft_runtime.errors import DeadlockError, DeviceError, FaultError, TokenError

pytest.importorskip("numba", reason="numba is not installed")

from weft_simulator.timing.device import TimingDevice
from weft_simulator.tsim.model import MemoryTiming

VTA = AcceleratorConfig()


def launch(device, *instructions):
    words = encode(instructions, device.config)
    address = device.allocate(words.nbytes)
    device.write(address, words.view(np.uint8).reshape(-1))
    return device.launch(Launch(address, len(words)))


@pytest.mark.parametrize(
    ("timing", "named"),
    [
        ({"stall_seed": 1}, "stall_seed = 1"),
        ({"out_of_order": True}, "out_of_order = True"),
        ({"bytes_per_cycle": 8}, "bytes_per_cycle = 8"),
        ({"error_range": (0, 64)}, "error_range = (0, 64)"),
    ],
)
def test_what_it_cannot_predict_is_refused(timing, named):
    with pytest.raises(DeviceError) as caught:
        TimingDevice(VTA, memory=MemoryTiming(**timing))
    assert str(caught.value) == (
        f"{named} is not predicted by the timing device, whose memory answers in order, without pauses and errors; "
        "open tsim instead"
    )


@pytest.mark.parametrize(
    ("instructions", "error", "message"),
    [
        ([Gemm()], FaultError, "all 1 instructions ran and none was FINISH; end the program with FINISH"),
        (
            [Load(memory=Memory.INP, sram=2040, x_size=9, y_size=1), Finish()],
            FaultError,
            "instruction 0 (LOAD INP): tiles 2040..2048 do not fit the INP scratchpad of 2048 tiles (0..2047); "
            "move a smaller block or lower sram",
        ),
        (
            [Gemm(reset=True, uop_end=1, iter_out=3, iter_in=2, dst_out=1023, dst_in=3), Finish()],
            FaultError,
            "instruction 0 (GEMM): index 2049 is outside its scratchpad (accumulator 0..2047); "
            "correct the micro-ops, loop counts or steps",
        ),
    ],
)
def test_faults_leave_it_usable(instructions, error, message):
    device = TimingDevice(VTA, dram_size=1 << 20)
    with pytest.raises(error) as caught:
        launch(device, *instructions)
    assert str(caught.value) == message
    assert launch(device, Finish()).instructions == 1


def test_hangs_and_left_over_tokens():
    device = TimingDevice(VTA, dram_size=1 << 20)
    with pytest.raises(DeadlockError, match=r"instruction 0 \(GEMM\)"):
        launch(device, Gemm(pop_prev=True), Finish())
    with pytest.raises(TokenError):
        launch(device, Load(memory=Memory.INP, push_next=True), Finish())


def test_a_limit_of_cycles():
    device = TimingDevice(VTA, dram_size=1 << 20, max_cycles=100)
    with pytest.raises(DeviceError) as caught:
        launch(device, Gemm(reset=True, uop_end=1, iter_out=200, iter_in=1), Finish())
    assert str(caught.value) == (
        "program of 2 instructions did not end in max_cycles = 100; raise max_cycles or shorten the program"
    )
    with pytest.raises(DeviceError, match="max_cycles = 0 leaves no cycle to run"):
        TimingDevice(VTA, max_cycles=0)


def test_same_cycles_again_and_no_data():
    device = TimingDevice(VTA, dram_size=1 << 20, memory=MemoryTiming(read_latency=20))
    target = device.allocate(256)
    device.write(target, np.full(256, 7, np.uint8))
    program = [
        Gemm(reset=True, uop_end=1, iter_out=4, iter_in=1, dst_out=1, push_next=True),
        Store(memory=Memory.OUT, dram=target // 16, x_size=4, y_size=1, x_stride=4, pop_prev=True, push_prev=True),
        Load(memory=Memory.UOP, pop_next=True),
        Finish(),
    ]
    assert launch(device, *program).cycles == launch(device, *program).cycles
    assert (device.read(target, 256) == 7).all()
