from collections import Counter

import numpy as np
import pytest
from support.convolution import CONFIGS, place
from weft_compiler.conv_task import ConvTask
from weft_compiler.emit import COMPUTE_PHASE, LOAD_PHASE, STORE_PHASE, Emitter
from weft_compiler.lowering import lower_conv
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Finish, Gemm, Instruction, Load, Memory, Queue, Store
from weft_simulator.lockstep.oracle import judge
from weft_simulator.lockstep.tokens import CHANNELS, popped, pushed

TASK = ConvTask(ic=2, oc=4, ih=8, iw=8, kh=3, kw=3, pads=(1, 1, 1, 1))
CONFIG = AcceleratorConfig(inp_depth=64, wgt_depth=64, acc_depth=32)


def program(task=TASK, config=CONFIG) -> list[Instruction]:
    return place(lower_conv(task, config)).program.instructions


@pytest.mark.parametrize("name", CONFIGS)
def test_every_token_pushed_is_popped(name):
    instructions = program(config=CONFIGS[name])
    balance = Counter()
    for instruction in instructions:
        balance.update(pushed(instruction))
        balance.subtract(popped(instruction))
    assert all(balance[channel] == 0 for channel in CHANNELS)


def test_a_single_step_needs_one_token_of_each_kind():
    uop, first, last, reset, gemm, store, finish = program(ConvTask(ic=1, oc=1, ih=2, iw=2, kh=1, kw=1))
    assert (type(uop), uop.memory, uop.queue) == (Load, Memory.UOP, Queue.COMPUTE)
    assert [type(insn) for insn in (first, last, reset, gemm, store, finish)] == [Load, Load, Gemm, Gemm, Store, Finish]
    assert reset.reset
    flags = {"pop_prev", "pop_next", "push_prev", "push_next"}
    used = [{flag for flag in flags if getattr(insn, flag)} for insn in (uop, first, last, reset, gemm, store, finish)]
    assert used == [
        set(),
        set(),
        {"push_next"},
        {"pop_prev"},
        {"push_next"},
        {"pop_prev", "push_prev"},
        {"pop_next"},
    ]


def test_micro_ops_that_fit_are_loaded_once():
    loads = [insn for insn in program() if isinstance(insn, Load) and insn.memory == Memory.UOP]
    assert len(loads) == 1


def test_micro_ops_that_do_not_fit_are_loaded_where_they_change():
    instructions = program(config=AcceleratorConfig(inp_depth=64, wgt_depth=64, acc_depth=32, uop_depth=4))
    compute = [insn for insn in instructions if insn.queue is Queue.COMPUTE]
    loads = [k for k, insn in enumerate(compute) if isinstance(insn, Load)]
    assert len(loads) > 1
    assert all(isinstance(compute[k + 1], Gemm) for k in loads)
    assert all(compute[k].x_size == compute[k + 1].uop_end for k in loads)


def test_weights_that_stay_are_loaded_once():
    task = ConvTask(ic=1, oc=1, ih=16, iw=16, kh=3, kw=3)
    instructions = program(task, AcceleratorConfig(inp_depth=128, acc_depth=64))
    loads = Counter(insn.memory for insn in instructions if isinstance(insn, Load))
    assert loads[Memory.WGT] == 1
    assert loads[Memory.INP] > 1


@pytest.mark.parametrize(
    "edge",
    [
        ((LOAD_PHASE, "push_next"), (COMPUTE_PHASE, "pop_prev")),
        ((COMPUTE_PHASE, "push_prev"), (LOAD_PHASE, "pop_next")),
        ((COMPUTE_PHASE, "push_next"), (STORE_PHASE, "pop_prev")),
        ((STORE_PHASE, "push_prev"), (COMPUTE_PHASE, "pop_next")),
    ],
    ids=["load to compute", "compute to load", "compute to store", "store to compute"],
)
def test_without_any_one_kind_of_token_the_program_races(edge, monkeypatch):
    whole = Emitter.flags.func

    def without(self: Emitter):
        flags = whole(self)
        for phase, name in edge:
            flags[phase][name] = np.zeros_like(flags[phase][name])
        return flags

    monkeypatch.setattr(Emitter, "flags", property(without))
    assert judge(place(lower_conv(TASK, CONFIG), is_sound=False).program).races
