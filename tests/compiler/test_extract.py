import re

import numpy as np
import pytest
from support.convolution import CONFIGS
from weft_compiler.conv_task import ConvTask
from weft_compiler.dialects import accel
from weft_compiler.extract import extract_streams
from weft_compiler.lowering import lower_conv
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory
from xdsl.dialects import scf
from xdsl.dialects.builtin import ModuleOp

CONFIG = AcceleratorConfig(block_in=4, block_out=4, inp_depth=64, wgt_depth=32, acc_depth=12)
TASK = ConvTask(ic=2, oc=3, ih=5, iw=5, kh=3, kw=3, stride=(2, 1), pads=(1, 0, 1, 0))


def program() -> ModuleOp:
    return lower_conv(TASK, CONFIG).stages["insert-tokens"].clone()


def test_columns_equal_a_walk_over_the_loops():
    tiling = lower_conv(TASK, CONFIG).tiling
    streams = extract_streams(program())
    assert streams.trips == tuple(tiling.trips(loop) for loop in tiling.nest)
    steps = list(np.ndindex(streams.trips))
    starts = [{loop: i * tiling.tiles[loop] for loop, i in zip(tiling.nest, step, strict=True)} for step in steps]
    sizes = [
        {loop: min(tiling.tiles[loop], extent - start.get(loop, 0)) for loop, extent in tiling.extents.items()}
        for start in starts
    ]
    loops = ("n", "oc", "y", "x", "ic", "ky", "kx")
    for dimension, loop in enumerate(loops):
        assert streams.contraction.bounds[dimension].tolist() == [size[loop] for size in sizes]
    inp = next(t for t in streams.loads if t.memory is Memory.INP)
    every = streams.steps_between(inp)
    rows = [2 * start.get("y", 0) + start.get("ky", 0) - 1 for start in starts]
    heights = [2 * (size["y"] - 1) + size["ky"] for size in sizes]
    assert inp.offsets[2].tolist() == rows[::every]
    assert inp.sizes[2].tolist() == heights[::every]
    widths = [size["x"] + size["kx"] - 1 for size in sizes]
    assert streams.contraction.src[2].tolist() == [2 * width for width in widths]
    assert streams.contraction.dst[1].tolist() == [size["y"] * size["x"] for size in sizes]


def test_slots_alternate_from_one_execution_to_the_next():
    streams = extract_streams(program())
    for transfer in (*streams.loads, streams.store):
        base = streams.slot_base(transfer)[:: streams.steps_between(transfer)]
        assert base.tolist() == [k % transfer.slots * transfer.slot_tiles for k in range(streams.executions(transfer))]


def test_a_token_that_comes_round_too_early_or_too_late_is_our_own_bug():
    module = program()
    yields = [op for op in module.walk() if isinstance(op, scf.YieldOp)]
    innermost = next(op for op in yields if not any(isinstance(r, scf.ForOp) for r in op.parent_block().ops))
    gemm = next(op for op in module.walk() if isinstance(op, accel.GemmOp))
    for k in range(len(innermost.operands)):
        innermost.operands[k] = gemm.done
    with pytest.raises(AssertionError, match=re.compile(r"waits for 1 runs ago with 2 slots")):
        extract_streams(module)


def test_a_gemm_that_does_not_wait_for_its_operands_is_our_own_bug():
    module = program()
    gemm = next(op for op in module.walk() if isinstance(op, accel.GemmOp))
    gemm.operands[3] = gemm.operands[4]
    with pytest.raises(AssertionError, match=r"nothing orders accel\.\w+ and the GEMM that uses its tile"):
        extract_streams(module)


def test_a_program_of_one_step_has_no_loops():
    streams = extract_streams(
        lower_conv(ConvTask(ic=1, oc=1, ih=1, iw=1, kh=1, kw=1), CONFIGS["vta"]).stages["insert-tokens"]
    )
    assert streams.trips == ()
    assert streams.steps == 1
