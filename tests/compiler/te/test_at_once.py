"""Primitives whose intrinsics are matched together, at the end of a block."""

import pytest
from weft_compiler import te
from weft_compiler.accel.intrinsics.alu import alu_immediate
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.store import store
from weft_compiler.errors import ScheduleError
from weft_hardware.isa import AluOp
from weft_hardware.presets import VTA

X = te.placeholder((6, 1, 16), "int32", "X")
MORE = te.compute(X.shape, lambda k, r, c: X[k, r, c] + 1, "more")
OUT = te.compute(X.shape, lambda k, r, c: MORE[k, r, c], "out")


def take(s, immediate):
    x = s.cache_read(X, "acc")
    s[x].tensorize(s[x].leaves[-2], load(VTA, "acc"))
    # Its operands lie in accumulators only after the next primitive.
    s[MORE].tensorize("r", alu_immediate(VTA, AluOp.ADD, immediate))
    s[MORE].set_scope("acc")
    s[OUT].tensorize("r", store(VTA))


def test_what_fits_in_the_end_may_come_in_any_order():
    s = te.Schedule(OUT)
    with s.at_once():
        take(s, 1)
    assert "alu.add(1)(more[k, …], X.acc[k, …])" in s.loops()
    with pytest.raises(ScheduleError, match=r"^more\.tensorize\(r, alu\.add\(1\)\): "):
        take(te.Schedule(OUT), 1)


def test_what_does_not_match_leaves_the_schedule_as_it_was():
    s = te.Schedule(OUT)
    s[OUT].split("k", 2)
    loops, trace = s.loops(), list(s.trace)
    with pytest.raises(ScheduleError) as refusal, s.at_once():
        take(s, 2)
    assert str(refusal.value) == "more is not alu.add(2): it computes (1), alu.add(2) has (2) there"
    assert (s.loops(), s.trace) == (loops, trace)
    with pytest.raises(ScheduleError):
        s[MORE].tensorize("r", alu_immediate(VTA, AluOp.ADD, 1))
