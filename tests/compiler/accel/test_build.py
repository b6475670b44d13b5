"""Scheduled kernels on the accelerator: the bytes of the expression, sound programs, as few tokens as can be."""

from dataclasses import replace

import numpy as np
import pytest
from support.accel_kernels import Conv, by_name, convolution, expected, max_pool, random_inputs, vector_chain, widened
from support.configs import CONFIGS
from weft_compiler import te
from weft_compiler.accel.build import build_kernel
from weft_compiler.accel.intrinsics.alu import alu, alu_immediate, alu_reduce
from weft_compiler.accel.intrinsics.gemm import gemm
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.store import store
from weft_compiler.conv_task import Requantisation
from weft_compiler.errors import CompileError
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import as_words, decode, unpack
from weft_hardware.isa import AluOp, Finish, Load, Memory, Queue
from weft_hardware.presets import PRESETS, VTA
from weft_runtime.check import check_module
from weft_simulator.functional import FunctionalDevice

SMALL = CONFIGS["batch2"]
"""Two rows a tile, small scratchpads, short queues."""

FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")

CONVS = {
    "plain": Conv(),
    "two strips in turn": Conv(slots=2, rows=2),
    "two virtual threads": Conv(threads=2, rows=2),
    "threads and slots": Conv(threads=2, slots=2, rows=1, width=4),
    "weights stay": Conv(weights_stay=True, ic_tile=2, threads=2, rows=2, width=4),
    "strided": Conv(stride=2, height=11, width=9),
    "dilated": Conv(dilation=2, pad=2),
    "1x1": Conv(kernel=1, pad=0, ic=4, ic_tile=2, oc_tile=2),
    "1x1 strided": Conv(kernel=1, pad=0, stride=2),
    "strips that do not divide": Conv(height=7, width=7, rows=3, slots=2),
    "blocks that do not divide": Conv(ic=3, oc=3, ic_tile=2, oc_tile=2, width=4),
    "wide kernel": Conv(kernel=5, pad=2, rows=2),
    "unpadded": Conv(pad=0),
}


def run(schedule, config, seed, **options):
    inputs = random_inputs(schedule, seed)
    module = build_kernel(schedule, config)
    with FunctionalDevice(config, **options) as device:
        return module, module.run(device, by_name(inputs)), expected(schedule, inputs)


def check(module):
    """What the program checker finds."""
    return [finding for _, report in check_module(module.content) for finding in report.findings]


@pytest.mark.parametrize("config", [VTA, PRESETS["base"], SMALL], ids=["vta", "base", "small"])
@pytest.mark.parametrize("name", CONVS)
def test_convolutions(name, config):
    module, found, wanted = run(convolution(CONVS[name], config), config, 1)
    assert np.array_equal(found, wanted)
    assert not check(module)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["two virtual threads", "threads and slots", "strips that do not divide"])
def test_any_order_of_the_modules_gives_the_same(name, seed):
    _, found, wanted = run(convolution(CONVS[name], VTA), VTA, seed, order_seed=seed)
    assert np.array_equal(found, wanted)


REQUANTISATIONS = {
    "int8": Requantisation(),
    "int8 with zero point": Requantisation(zero_point=-5),
    "uint8, at least its zero point": Requantisation(dtype="uint8", zero_point=7, low=7, high=255),
}


@pytest.mark.parametrize("kind", REQUANTISATIONS)
@pytest.mark.parametrize("name", ["plain", "threads and slots", "blocks that do not divide", "1x1"])
def test_requantised_convolutions(name, kind):
    module, found, wanted = run(convolution(CONVS[name], VTA, REQUANTISATIONS[kind]), VTA, 8)
    assert np.array_equal(found, wanted)
    assert len(np.unique(found)) > 100
    assert not check(module)


def test_without_an_epilogue_nothing_is_requantised():
    with pytest.raises(CompileError) as refused:
        convolution(Conv(), PRESETS["base"], Requantisation())
    assert str(refused.value) == "epilogue_lanes = 0: the accelerator cannot requantise; enable the epilogue"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("preset", ["vta", "base"])
def test_vector_operations(preset, threads):
    config = PRESETS[preset]
    module, found, wanted = run(vector_chain(24, 4, config, threads), config, 4)
    assert np.array_equal(found, wanted)
    assert not check(module)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_widening_loads(dtype):
    module, found, wanted = run(widened(dtype, VTA), VTA, 9)
    assert np.array_equal(found, wanted)
    assert (found.min() < 0) == (dtype == "int8")
    assert found.max() > (200 if dtype == "uint8" else 100)
    assert not check(module)


def test_operations_on_the_way_write_over_their_operand():
    module, _, _ = run(vector_chain(8, 8, VTA), VTA, 5)
    # ADD, SHR, MAX, MIN: none needs a copy.
    assert len(instructions(module)) == len(["UOP", "A", "B", "ADD", "SHR", "MAX", "MIN", "OUT", "FINISH"])


@pytest.mark.parametrize("window", [2, 3])
def test_pooling(window):
    module, found, wanted = run(max_pool(2, 9, window, 2, 2, VTA), VTA, 6)
    assert np.array_equal(found, wanted)
    assert not check(module)


def instructions(module):
    step = module.content.steps[0]
    (stream,) = (c for c in module.content.constants if c.buffer == step.instructions)
    return as_words(stream.data, module.content.config)


def without_token(module, push, pop):
    """The module without one pair of a push and its pop, each an (instruction, flag)."""
    words = instructions(module).copy()
    for row, flag in (push, pop):
        words[row, 0] &= ~np.uint64(1 << (3 + FLAGS.index(flag)))
    content = module.content
    step = content.steps[0]
    constants = tuple(
        replace(c, data=words.tobytes()) if c.buffer == step.instructions else c for c in content.constants
    )
    return replace(content, constants=constants)


def token_pairs(module):
    """Every token of a program: (who pushes, flag), (who pops, flag)."""
    words = instructions(module)
    config = module.content.config
    flags = unpack(Finish, words, config)
    queues = np.array([int(q) for q in queue_numbers(words, config)])
    ways = [(0, "push_next", 1, "pop_prev"), (1, "push_prev", 0, "pop_next"), (1, "push_next", 2, "pop_prev"),
            (2, "push_prev", 1, "pop_next")]  # fmt: skip
    for source, push, target, pop in ways:
        pushes = np.flatnonzero((queues == source) & (flags[push] != 0))
        pops = np.flatnonzero((queues == target) & (flags[pop] != 0))
        assert len(pushes) == len(pops)
        yield from (((a, push), (b, pop)) for a, b in zip(pushes, pops, strict=True))


def queue_numbers(words, config):
    return [instruction.queue for instruction in decode(words, config)]


@pytest.mark.parametrize("name", ["two virtual threads", "threads and slots", "weights stay", "two strips in turn"])
def test_no_token_can_be_left_out(name):
    module = build_kernel(convolution(CONVS[name], VTA), VTA)
    assert not check(module)
    pairs = list(token_pairs(module))
    assert len(pairs) >= 6
    for push, pop in pairs:
        mutant = without_token(module, push, pop)
        assert any(report.findings for _, report in check_module(mutant)), (push, pop)


def test_what_one_thread_needs_comes_together():
    module = build_kernel(convolution(Conv(threads=2, rows=4, oc=1), VTA), VTA)
    loads = [i for i in decode(instructions(module), VTA) if isinstance(i, Load) and i.queue is Queue.LOAD]
    order = [(Memory(load.memory).name, load.sram > 0) for load in loads]
    # For each block of input channels: image and weights of the first thread, then those of the second.
    assert order == [(memory, thread) for _ in range(2) for thread in (False, True) for memory in ("INP", "WGT")]


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["two virtual threads", "strips that do not divide", "1x1 strided"])
def test_rtl_gives_the_same_bytes_with_random_stalls(name):
    config = SMALL
    schedule = convolution(CONVS[name], config)
    inputs = random_inputs(schedule, 7)
    from weft_simulator.tsim.device import TsimDevice
    from weft_simulator.tsim.model import MemoryTiming

    with TsimDevice(config, memory=MemoryTiming(read_latency=20, stall_seed=7)) as device:
        found = build_kernel(schedule, config).run(device, by_name(inputs))
    assert np.array_equal(found, expected(schedule, inputs))


TINY = AcceleratorConfig(block_in=4, block_out=4, alu_extensions=True)


def tensorized(stages, out):
    """A schedule in which intrinsics compute these stages and a STORE the last one; what they read is loaded."""
    s = te.Schedule(out)
    for tensor, _ in stages:
        s[tensor].set_scope("acc")
    te.auto_tensorize(s, out, store(TINY))
    for tensor, intrinsic in reversed(stages):
        for k, operand in enumerate(te.auto_tensorize(s, tensor, intrinsic).operands):
            if all(operand is not other for other, _ in stages):
                te.auto_tensorize(s, operand, load(TINY, intrinsic.scopes[1 + k]))
    return s


def test_a_product_inside_the_loops_of_a_reduction_that_reads_it_begins_each_time():
    x, w = te.placeholder((3, 5, 1, 4), "int8", "X"), te.placeholder((4, 4), "int8", "W")
    i, p = te.reduce_axis(4, "i"), te.reduce_axis(3, "p")
    seen = te.compute(
        (3, 5, 1, 4), lambda c, y, b, o: te.sum(x[c, y, b, i].cast("int32") * w[o, i].cast("int32"), i), "seen"
    )
    pool = te.compute((3, 3, 1, 4), lambda c, y, b, o: te.max(seen[c, y + p, b, o], p), "pool")
    out = te.compute(pool.shape, lambda *at: pool[at], "out")
    s = tensorized([(seen, gemm(TINY)), (pool, alu_reduce(TINY, AluOp.MAX))], out)
    s[pool].reorder("c", "y", "p", "b", "o")
    s[seen].compute_at(pool, "p")
    module, found, wanted = run(s, TINY, 3)
    assert np.array_equal(found, wanted)
    assert not check(module)


def test_what_a_guard_keeps_out_of_a_reduction_is_not_added():
    x, p = te.placeholder((4, 5, 1, 4), "int32", "X"), te.reduce_axis(3, "p")
    total = te.compute((4, 3, 1, 4), lambda c, y, b, o: te.sum(x[c, y + p, b, o], p), "total")
    s = tensorized([(total, alu_reduce(TINY, AluOp.ADD))], te.compute(total.shape, lambda *at: total[at], "out"))
    s[total].split("p", 2)
    _, found, wanted = run(s, TINY, 4)
    assert np.array_equal(found, wanted)


def test_columns_of_an_image_one_by_one():
    x = te.placeholder((4, 1, 1, 4), "int32", "X")
    image = te.compute((4, 3, 1, 4), lambda y, c, b, o: te.select(c >= 2, x[y, c - 2, b, o], 0), "image")
    s = te.Schedule(te.compute(image.shape, lambda *at: image[at], "out"))
    te.auto_tensorize(s, "out", store(TINY))
    te.auto_tensorize(s, image, load(TINY, "acc"))
    s[image].reorder("c", "y")
    s[image].unroll("c")
    module, found, wanted = run(s, TINY, 5)
    assert np.array_equal(found, wanted)
    assert not check(module)


def test_only_loads_write_padding():
    x = te.placeholder((5, 1, 4), "int32", "X")
    half = te.compute((6, 1, 4), lambda k, b, o: te.select(k >= 1, x[k - 1, b, o] >> 1, 0), "half")
    s = tensorized([(half, alu_immediate(TINY, AluOp.SHR, 1))], te.compute(half.shape, lambda *at: half[at], "out"))
    with pytest.raises(CompileError) as refused:
        build_kernel(s, TINY)
    assert str(refused.value) == "half: alu.shr(1) writes no padding, only LOADs do; pad what it reads"


def test_a_scan():
    x, z = te.placeholder((5, 3, 1, 4), "int32", "X"), te.placeholder((3, 1, 4), "int32", "Z")
    state = te.scan(
        (5, 3, 1, 4), lambda j, b, o: z[j, b, o], lambda s, t, j, b, o: te.maximum(s[t - 1, j, b, o], x[t, j, b, o]),
        "int32", "S",
    )  # fmt: skip
    s = te.Schedule(te.compute(state.shape, lambda *at: state[at], "out"))
    te.auto_tensorize(s, "out", store(TINY))
    s[state].set_scope("acc")
    first, later = s.cache_read(z, "acc"), s.cache_read(x, "acc")
    s[state].tensorize("b", alu(TINY, AluOp.MAX), initial=alu(TINY, AluOp.COPY))
    for copy in (first, later):
        te.auto_tensorize(s, copy, load(TINY, "acc"))
    s[later].compute_at(state, "t")
    module, found, wanted = run(s, TINY, 6, order_seed=6)
    assert np.array_equal(found, wanted)
    assert not check(module)


def test_a_scratchpad_that_is_too_small():
    with pytest.raises(CompileError) as refused:
        build_kernel(convolution(Conv(height=64, width=64, rows=32, ic=1, oc=1), VTA), VTA)
    assert str(refused.value) == (
        "scratchpad inp holds 2048 tiles, 2244 are needed (pad 2244); use smaller tiles or fewer slots"
    )


def test_a_stage_that_is_not_tensorized():
    x = te.placeholder((4, 1, 16), "int32", "X")
    out = te.compute(x.shape, lambda k, b, o: x[k, b, o] + 1, "out")
    with pytest.raises(CompileError) as refused:
        build_kernel(te.Schedule(out), VTA)
    assert str(refused.value) == (
        "out is computed element by element, which the accelerator cannot; tensorize its stage"
    )


def test_a_tensor_type_that_no_module_takes():
    x = te.placeholder((4, 1, 16), "int64", "X")
    with pytest.raises(CompileError) as refused:
        build_kernel(te.Schedule(te.compute(x.shape, lambda k, b, o: x[k, b, o], "out")), VTA)
    assert str(refused.value) == "X is int64, a module takes and gives int8, uint8, int32, float32; cast it"


def test_gemm_is_counted():
    module = build_kernel(convolution(Conv(), VTA), VTA)
    assert module.content.layers[0].macs == 2 * 2 * 8 * 8 * 9 * VTA.macs
    assert gemm(VTA).init is not None


def transposed_in_tiles(config, kernel, stride, pad, size, blocks=(2, 2)):
    """A transposed convolution of one image whose tensors lie in tiles, put on the accelerator by itself."""
    batch, wide = config.batch, "int32"
    x = te.placeholder((blocks[0], *size, batch, config.block_in), "int8", "x")
    w = te.placeholder((blocks[1], blocks[0], *kernel, config.block_out, config.block_in), "int8", "w")
    c, p, q = te.reduce_axis(blocks[0], "c"), te.reduce_axis(kernel[0], "p"), te.reduce_axis(kernel[1], "q")
    r = te.reduce_axis(config.block_in, "r")
    out = tuple((n - 1) * s + k - 2 * pad for n, s, k in zip(size, stride, kernel, strict=True))

    def value(o, i, j, b, e):
        row, column = i + pad - p, j + pad - q
        inside = te.every(
            [
                (row % stride[0]).equal(0), row // stride[0] >= 0, row // stride[0] < size[0],
                (column % stride[1]).equal(0), column // stride[1] >= 0, column // stride[1] < size[1],
            ]
        )  # fmt: skip
        pixel = x[c, row // stride[0], column // stride[1], b, r].cast(wide)
        return te.sum(te.select(inside, pixel * w[o, c, p, q, e, r].cast(wide), te.const(0, wide)), (c, p, q, r))

    y = te.compute((blocks[1], *out, batch, config.block_out), value, "y")
    s = te.Schedule(y)
    found = te.auto_tensorize(s, y, gemm(config))
    for operand, memory in zip(found.operands, ("inp", "wgt"), strict=True):
        te.auto_tensorize(s, operand, load(config, memory))
    te.auto_tensorize(s, y, store(config))
    return s


@pytest.mark.parametrize(
    "config", [VTA, replace(VTA, gemm_overwrite=False), SMALL], ids=["vta", "no overwrite", "small"]
)
@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "size"),
    [((3, 2), (2, 2), 1, (3, 2)), ((2, 3), (1, 2), 0, (2, 2)), ((1, 2), (2, 3), 0, (2, 2))],
)
def test_products_that_a_condition_leaves_out_are_not_computed(config, kernel, stride, pad, size):
    schedule = transposed_in_tiles(config, kernel, stride, pad, size)
    module, found, wanted = run(schedule, config, 5)
    assert np.array_equal(found, wanted)
    assert not check(module)
    assert np.count_nonzero(wanted) > wanted.size // 4
