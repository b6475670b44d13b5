"""Timelines in the trace-event format: what Perfetto needs, and that they tell what happened."""

from collections import Counter
from itertools import pairwise

import pytest
from weft.models import digits_onnx
from weft.profile import profile_module, profile_program
from weft.trace import trace_events
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish, Gemm, Load, Memory, Queue
from weft_hardware.presets import PRESETS
from weft_runtime.device import Launch

import weft

for package in ("onnx", "llvmlite", "xdsl", "numba"):
    pytest.importorskip(package, reason=f"needs {package}")

VTA = PRESETS["vta"]
TRACKS = {1 + int(queue): queue for queue in Queue}
REQUIRED = {
    "M": {"name", "args"},
    "X": {"name", "ts", "dur", "args"},
    "s": {"name", "cat", "id", "ts"},
    "f": {"name", "cat", "id", "ts", "bp"},
    "C": {"name", "ts", "args"},
}
"""What the format asks of each phase, besides process and thread."""


@pytest.fixture(scope="module")
def profile():
    module = weft.compile(digits_onnx(), VTA)
    with weft.open_device("timing", VTA, trace=True) as device:
        return profile_module(module, device)


@pytest.fixture(scope="module")
def events(profile):
    return trace_events(profile.launches, VTA)["traceEvents"]


def of(events, phase, track=None):
    return [event for event in events if event["ph"] == phase and track in (None, event["tid"])]


def test_the_format(events):
    for event in events:
        assert set(event) == {"ph", "pid", "tid"} | REQUIRED[event["ph"]]
        assert all(event[key] >= 0 for key in ("ts", "dur") if key in event)


def test_every_instruction_is_a_slice_of_its_module(events, profile):
    total = profile.total
    assert len(of(events, "X")) == total.work.instructions + len(profile.launches)
    assert sum(launch["dur"] for launch in of(events, "X", 0)) == total.cycles
    for track in TRACKS:
        slices = of(events, "X", track)
        assert all(one["ts"] + one["dur"] <= other["ts"] for one, other in pairwise(slices))
        assert slices[-1]["ts"] + slices[-1]["dur"] <= total.cycles


def test_every_token_is_an_arrow_forward(events, profile):
    starts, ends = ({event["id"]: event for event in of(events, phase)} for phase in "sf")
    assert starts.keys() == ends.keys()
    assert len(starts) == len(of(events, "s")) == len(of(events, "f"))
    assert all(starts[key]["ts"] <= end["ts"] and starts[key]["name"] == end["name"] for key, end in ends.items())
    told = Counter(flag for e in of(events, "X") for flag in e["args"].get("tokens", "").split(", ") if flag)
    assert len(starts) == told["push_prev"] + told["push_next"] == told["pop_prev"] + told["pop_next"]
    # An arrow begins inside the slice of the instruction that pushed.
    for start in starts.values():
        assert any(s["ts"] <= start["ts"] <= s["ts"] + s["dur"] for s in of(events, "X", start["tid"]))


def test_the_traffic_is_the_programs(events, profile):
    for column, expected in enumerate((profile.total.work.read_bytes, profile.total.work.write_bytes)):
        moved = sum(int(launch.timeline.traffic[:, column].sum()) for launch in profile.launches)
        assert expected <= moved * VTA.axi_bytes <= 1.01 * expected
    assert max(event["args"]["read"] for event in of(events, "C")) <= VTA.axi_bytes


def test_moments_of_a_program_by_hand():
    program = [
        Load(memory=Memory.UOP, x_size=1, y_size=1, x_stride=1),
        Load(memory=Memory.INP, x_size=4, y_size=1, x_stride=4, push_next=True),
        Gemm(uop_end=1, iter_out=1, iter_in=100, pop_prev=True),
        Finish(),
    ]
    words = encode(program, VTA)
    with weft.open_device("timing", VTA, trace=True) as device:
        region = device.allocate(1 << 16)
        device.write(region, words.view("u1").reshape(-1))
        report = device.launch(Launch(region, len(program), dict.fromkeys(Memory, region + 4096)))
        again = device.launch(Launch(region, len(program), dict.fromkeys(Memory, region + 4096)))
    timeline = report.timeline
    assert all(timeline.issued < timeline.retired)
    # The GEMM begins with its token, keeps the pipeline for 100 cycles, and FINISH waits for it.
    assert timeline.issued[2] > timeline.retired[1]
    assert timeline.retired[2] - timeline.issued[2] >= 100
    assert timeline.retired[3] > timeline.retired[2]
    assert report.cycles > timeline.retired.max()
    assert (again.timeline.retired == timeline.retired).all()
    (launch,) = profile_program("by hand", words.tobytes(), report, VTA).launches
    assert launch.cycles == report.cycles


def test_without_trace_there_is_none():
    words = encode([Finish()], VTA)
    with weft.open_device("timing", VTA) as device:
        region = device.allocate(64)
        device.write(region, words.view("u1").reshape(-1))
        assert device.launch(Launch(region, 1)).timeline is None
