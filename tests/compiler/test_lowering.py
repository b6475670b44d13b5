import random
from dataclasses import replace

import pytest
from support.convolution import CONFIGS, place, random_phases, random_task
from weft_compiler.conv_task import ConvTask
from weft_compiler.errors import CompileError
from weft_compiler.lowering import lower_conv
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Finish, Load, Memory, Store
from weft_simulator.lockstep.oracle import judge, linear_order, predecessors
from weft_simulator.lockstep.reference import Machine

VTA = CONFIGS["vta"]


def check(task: ConvTask, config: AcceleratorConfig, orders: int = 3, seed: int = 0) -> None:
    """The program is free of races and hangs, and leaves the right accumulators under any order tokens allow."""
    placed = place(lower_conv(task, config), seed)
    program = placed.program
    if len(program.instructions) < 400:  # the oracle looks at every pair
        verdict = judge(program)
        assert verdict.legal, (task, verdict.races[:3], verdict.problems, verdict.leftover, verdict.completes)
    direct = predecessors(program.instructions)
    for order_seed in range(orders):
        order = linear_order(direct, random.Random(order_seed)) if order_seed else None
        image = Machine(config).run(program, order)
        assert (placed.result(image) == placed.expected).all(), (task, order_seed)
        assert placed.untouched(image), (task, order_seed)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", range(11))
def test_random_convolutions_are_exact_in_any_legal_order(name, seed):
    print(f"seed {seed}, config {name}")
    check(random_task(random.Random(f"{name} {seed}")), CONFIGS[name], seed=seed)


@pytest.mark.parametrize("seed", range(20))
def test_requantising_convolutions_are_exact_in_any_legal_order(seed):
    print(f"seed {seed}")
    task = random_task(random.Random(f"requantised {seed}"), requantises=True)
    check(task, CONFIGS["requantising"], seed=seed)


@pytest.mark.parametrize(
    "task",
    [
        ConvTask(ic=1, oc=1, ih=1, iw=1, kh=1, kw=1),
        ConvTask(ic=9, oc=7, ih=1, iw=1, kh=1, kw=1),
        ConvTask(n=3, ic=5, oc=6, ih=1, iw=1, kh=1, kw=1),
        ConvTask(ic=2, oc=2, ih=5, iw=7, kh=5, kw=7),
        ConvTask(ic=1, oc=2, ih=2, iw=2, kh=3, kw=3, pads=(15, 15, 15, 15), stride=(4, 4)),
        ConvTask(ic=1, oc=1, ih=6, iw=6, kh=2, kw=2, dilation=(4, 5)),
        ConvTask(ic=2, oc=1, ih=9, iw=2, kh=1, kw=1, stride=(4, 1)),
        ConvTask(ic=1, oc=1, ih=1, iw=9, kh=1, kw=1, stride=(1, 3), pads=(0, 2, 0, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["vta", "odd", "shallow-queues"])
def test_extreme_shapes_are_exact(task, name):
    check(task, CONFIGS[name])


def test_operands_larger_than_the_scratchpads_stream_through_two_slots():
    config = AcceleratorConfig(inp_depth=64, wgt_depth=16, acc_depth=16)
    lowered = lower_conv(ConvTask(ic=12, oc=9, ih=1, iw=1, kh=1, kw=1), config)
    assert lowered.tiling.trips("ic") * lowered.tiling.trips("oc") > 1
    assert lowered.tiling.slots[Memory.WGT] == 2
    check(lowered.task, config)


def test_the_load_of_the_next_step_is_free_to_overlap_compute():
    config = AcceleratorConfig(inp_depth=64, wgt_depth=64, acc_depth=32)
    program = place(lower_conv(ConvTask(ic=2, oc=4, ih=8, iw=8, kh=3, kw=3), config)).program
    before = judge(program).before
    instructions = program.instructions
    gemms = [k for k, insn in enumerate(instructions) if type(insn).__name__ == "Gemm"]
    loads = [k for k, insn in enumerate(instructions) if isinstance(insn, Load) and insn.memory == Memory.INP]
    free = sum(not (before[load] >> gemm | before[gemm] >> load) & 1 for load in loads for gemm in gemms)
    assert free >= len(loads) - 1


def test_the_program_ends_with_finish_after_the_last_store():
    instructions = place(lower_conv(ConvTask(ic=1, oc=2, ih=4, iw=4, kh=3, kw=3), VTA)).program.instructions
    assert [k for k, insn in enumerate(instructions) if isinstance(insn, Finish)] == [len(instructions) - 1]
    stores = [insn for insn in instructions if isinstance(insn, Store)]
    assert {insn.memory for insn in stores} == {Memory.ACC}


def test_addresses_move_with_the_buffers_and_nothing_else_does():
    lowered = lower_conv(ConvTask(ic=2, oc=2, ih=4, iw=4, kh=3, kw=3), VTA)
    here, there = lowered.emit(0, 0, 0, 0), lowered.emit(16, 256, 64, 4)
    assert here.instructions.shape == there.instructions.shape
    assert (here.uops == there.uops).all()
    assert lowered.uop_bytes == here.uops.nbytes
    # dram is bits 57..26 of the low word; a tile further on is one more.
    difference = (there.instructions - here.instructions)[:, 0]
    assert set(difference.tolist()) == {0, 1 << 26}
    assert (here.instructions[:, 1] == there.instructions[:, 1]).all()


def test_a_misaligned_buffer_is_refused():
    lowered = lower_conv(ConvTask(ic=1, oc=1, ih=1, iw=1, kh=1, kw=1), VTA)
    with pytest.raises(
        CompileError, match=r"^wgt at byte 128 is no multiple of the 256-byte tiles of WGT; align the buffer$"
    ):
        lowered.emit(0, 128, 0, 0)


def test_padding_beyond_the_dma_is_refused():
    with pytest.raises(
        CompileError,
        match=r"^inp needs 16 tiles of padding on one side, LOAD adds at most 15; pad on the host$",
    ):
        lower_conv(ConvTask(ic=1, oc=1, ih=4, iw=4, kh=20, kw=3, pads=(16, 0, 0, 0)), VTA)


def test_an_image_too_wide_for_the_row_stride_is_refused():
    with pytest.raises(
        CompileError, match=r"^inp has rows 65536 tiles apart, beyond the 65535 of x_stride; pad it on the host$"
    ):
        lower_conv(ConvTask(ic=1, oc=1, ih=2, iw=65536, kh=2, kw=3, pads=(1, 0, 0, 0)), VTA)


def test_without_raw_store_accumulators_are_four_bytes():
    config = AcceleratorConfig(raw_store=False, out_bits=16)
    with pytest.raises(
        CompileError,
        match=r"^raw_store = False: 32-bit accumulators do not leave as 4 planes of 16 bits; enable raw_store$",
    ):
        lower_conv(ConvTask(ic=1, oc=1, ih=1, iw=1, kh=1, kw=1), config)


LOOPS = """\
def (inp: int8[1, 1, 2, 4, 1, 16], wgt: int8[2, 1, 1, 3, 16, 16], out: int32[1, 2, 2, 4, 1, 16]):
    allocate image: int8[1, 1, 2, 6, 1, 16] in inp
    for y in 2:
        for x in 6:
            load.inp(image[0, 0, y, x, …], inp[0, 0, y, x - 1, …]) if (x - 1 >= 0) & (x - 1 < 4) else 0
    for oc.outer in 2:
        allocate wgt.wgt: int8[1, 1, 1, 3, 16, 16] in wgt × 2
        allocate out.acc: int32[1, 1, 2, 4, 1, 16] in acc × 2
        for i3 in 3:
            load.wgt(wgt.wgt[0, 0, 0, i3, …], wgt[oc.outer, 0, 0, i3, …])
        for y in 2:
            for x in 4:
                gemm.fill(out.acc[0, 0, y, x, …])
        for y in 2:
            for x in 4:
                for kx.inner in 3:
                    gemm(out.acc[0, 0, y, x, …], image[0, 0, y, x + kx.inner, …], wgt.wgt[0, 0, 0, kx.inner, …])
        for y.inner in 2:
            for x.inner in 4:
                store.acc(out[0, oc.outer, y.inner, x.inner, …], out.acc[0, 0, y.inner, x.inner, …])
"""


def test_the_loops_can_be_printed():
    lowered = lower_conv(ConvTask(ic=1, oc=2, ih=2, iw=4, kh=1, kw=3, pads=(0, 1, 0, 1)), VTA)
    assert f"{lowered.nest}\n" == LOOPS


@pytest.mark.parametrize("name", ["vta", "odd", "batch2", "shallow-queues", "requantising"])
@pytest.mark.parametrize("seed", range(8))
def test_random_groups_are_exact_in_any_legal_order(name, seed):
    print(f"seed {seed}, config {name}")
    rng = random.Random(f"groups {name} {seed}")
    task = random_task(rng, requantises=name == "requantising", groups=rng.randint(2, 7))
    check(task, CONFIGS[name], seed=seed)


@pytest.mark.parametrize("name", ["vta", "odd", "batch2", "shallow-queues", "requantising"])
@pytest.mark.parametrize("seed", range(8))
def test_random_phases_are_exact_in_any_legal_order(name, seed):
    print(f"seed {seed}, config {name}")
    task = random_phases(random.Random(f"phases {name} {seed}"), requantises=name == "requantising")
    config = replace(CONFIGS[name], param_depth=12)  # one block's phases have nine biases
    check(task, config, seed=seed)
