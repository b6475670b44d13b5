"""Where cycles go: what the device counted beside what the instructions ask for."""

from dataclasses import replace

import numpy as np
import pytest
from support.bench import seeded
from weft.models import digits_heldout, digits_onnx
from weft.profile import LATENCY, Profile, Row, profile_module, profile_program
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish, Load, Memory, Queue, Store
from weft_hardware.presets import PRESETS
from weft_hardware.registers import Activity
from weft_hardware.work import Work, count_work
from weft_runtime.device import Launch, RunReport
from weft_runtime.errors import DeviceError

import weft

for package in ("onnx", "llvmlite", "xdsl"):
    pytest.importorskip(package, reason=f"needs {package}")

VTA = PRESETS["vta"]


@pytest.fixture(scope="module")
def module():
    return weft.compile(digits_onnx(), VTA)


@pytest.fixture(scope="module")
def profile(module):
    with weft.open_device("tsim", VTA) as device:
        return profile_module(module, device)


@pytest.mark.rtl
def test_every_cycle_is_explained(profile):
    on_accelerator = [row for row in profile.rows if row.placement == "accelerator"]
    assert [row.name for row in on_accelerator] == ["conv1", "conv2", "pool", "conv3", "dense"]
    for row in (*on_accelerator, profile.total):
        assert {module: sum(counts.values()) for module, counts in row.activity.items()} == dict.fromkeys(
            Queue, row.cycles
        )
    assert profile.total.cycles == sum(row.cycles for row in on_accelerator)


@pytest.mark.rtl
def test_no_resource_works_longer_than_the_network(profile):
    """Of one layer it may: what the layer before had no use for, it did meanwhile."""
    assert all(0 <= share <= 1 for share in profile.total.shares(VTA).values())
    for row in profile.rows:
        assert row.macs <= row.work.gemm_cycles * VTA.macs


@pytest.mark.rtl
def test_values_do_not_change_it(profile, module):
    images, _ = digits_heldout()
    with weft.open_device("tsim", VTA) as device:
        again = profile_module(module, device, images[:1])
    assert [(row.cycles, row.activity) for row in again.rows] == [(row.cycles, row.activity) for row in profile.rows]


@pytest.mark.rtl
def test_the_timing_model_explains_the_same(profile, module):
    pytest.importorskip("numba", reason="numba is not installed")
    with weft.open_device("timing", VTA) as device:
        predicted = profile_module(module, device)
    assert [(row.cycles, row.activity) for row in predicted.rows] == [
        (row.cycles, row.activity) for row in profile.rows
    ]


@pytest.mark.rtl
def test_bytes_are_those_on_the_bus():
    """Blocks that begin and end with a beat move no byte that the count does not know."""
    rng = seeded(3)
    with weft.open_device("tsim", VTA) as device:
        region = device.allocate(1 << 20)
        for _ in range(5):
            x, y = rng.randrange(1, 9), rng.randrange(1, 9)
            memory = rng.choice((Memory.INP, Memory.WGT, Memory.ACC))
            block = {"x_size": x, "y_size": y, "x_stride": x + rng.randrange(3)}
            words = encode([Load(memory=memory, **block), Store(memory=Memory.ACC, **block), Finish()], VTA)
            device.write(region, np.frombuffer(words.tobytes(), np.uint8))
            bases = dict.fromkeys(Memory, region + (1 << 12))
            device.launch(Launch(region, len(words), bases))
            work = count_work(words, VTA)
            read = sum(device.read_traffic(axi_id).beats for axi_id in range(4))
            assert (8 * read, 8 * device.write_traffic().beats) == (work.read_bytes, work.write_bytes)


def test_what_bounds_a_row():
    def row(**work):
        return Row("x", "accelerator", 256, 100, None, Work(**work))

    assert row(gemm_cycles=51, read_bytes=8 * 50).bound(VTA) == "compute"
    assert row(gemm_cycles=51, read_bytes=8 * 52).bound(VTA) == "reads"
    assert row(gemm_cycles=49, write_bytes=8 * 49).bound(VTA) == LATENCY
    assert replace(row(), cycles=None).bound(VTA) == ""
    assert row(read_bytes=64, write_bytes=64).intensity() == 2


def test_counters_that_do_not_add_up_are_refused():
    activity = {Queue.LOAD: {Activity.BUSY: 9, Activity.IDLE: 2}}
    message = "the activities of load in p are 11 cycles of 10; the device's counters are wrong, please report it"
    with pytest.raises(DeviceError, match=f"^{message}$"):
        profile_program("p", b"", RunReport(10, 0, activity), VTA)


def test_a_device_without_time_is_refused(module):
    message = "this device models no time, so there is nothing to profile; use --device tsim or timing"
    with weft.open_device("functional", VTA) as device, pytest.raises(DeviceError, match=f"^{message}$"):
        profile_module(module, device)


def test_a_network_that_stays_on_the_host():
    row = Row("pool", "host", 0, None, None, Work(), 0.5)
    profile = Profile(VTA, (row,))
    assert profile.total == replace(row, name="total", placement="")
    assert profile.to_dict()["rows"][0] == {
        "name": "pool",
        "placement": "host",
        "macs": 0,
        "cycles": None,
        "host_seconds": 0.5,
    }
