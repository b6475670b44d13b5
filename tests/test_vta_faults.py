"""Faults that VTA's own RTL has, or had: none may be in ours. The expected values are worked out here, in the test.

Every case runs on both simulators, at VTA's preset.
"""

import numpy as np
import pytest
from support.devices import KINDS
from support.workbench import Workbench, one_after_another, run
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import BASE_ALU_OPS, Alu, AluOp, Finish, Gemm, Load, Memory, Store

VTA = AcceleratorConfig()
kinds = pytest.mark.parametrize("kind", KINDS)


def load(memory, dram, tiles, sram=0):
    return Load(memory=int(memory), dram=dram, sram=sram, x_size=tiles, y_size=1, x_stride=tiles)


def store(dram, tiles, sram=0, memory=Memory.ACC):
    return Store(memory=int(memory), dram=dram, sram=sram, x_size=tiles, y_size=1, x_stride=tiles)


def int32(rng, shape):
    return rng.integers(-(1 << 31), 1 << 31, shape, dtype=np.int64)


def wrapped(values):
    """The low 32 bits, signed."""
    return ((np.asarray(values, np.int64) + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def alu_on(kind, accumulators, uops, **fields):
    """Load accumulators, run one ALU instruction over micro-ops once, store all accumulators."""
    bench = Workbench(VTA)
    count = len(accumulators)
    source = bench.place(Memory.ACC, wrapped(accumulators).astype("<i4"))
    uop = bench.place_uops(uops)
    target = bench.reserve(Memory.ACC, count)
    loops = {"uop_end": len(uops), "iter_out": 1, "iter_in": 1}
    program = [
        load(Memory.UOP, uop, len(uops)),
        load(Memory.ACC, source, count),
        Alu(**{**loops, **fields}),
        store(target, count),
        Finish(),
    ]
    image = run(kind, bench.program(one_after_another(program)))
    return bench.tiles(image, Memory.ACC, target, count).astype(np.int64)


@kinds
@pytest.mark.parametrize("op", sorted(BASE_ALU_OPS), ids=lambda op: op.name)
def test_an_immediate_operation_does_not_read_the_source(kind, op):
    """Tile 1, which the micro-op names as its source, holds other values than the immediate."""
    values = np.stack([np.arange(-8, 8) * 1000, np.full(16, 77777)])
    result = alu_on(kind, values, [(0, 1, 0)], alu_op=op, use_imm=True, imm=3)
    expected = {
        AluOp.MIN: np.minimum(values[0], 3),
        AluOp.MAX: np.maximum(values[0], 3),
        AluOp.ADD: values[0] + 3,
        AluOp.SHR: values[0] >> 3,
        AluOp.MUL: values[0] * 3,
    }
    assert result.tolist() == [expected[op].tolist(), values[1].tolist()]


@kinds
def test_a_source_outside_the_scratchpad_does_not_matter_to_an_immediate_operation(kind):
    values = np.zeros((1, 16))
    result = alu_on(kind, values, [(0, 2047, 0)] * 2, alu_op=AluOp.ADD, use_imm=True, imm=-1, iter_in=2, src_in=2047)
    assert result.tolist() == [[-4] * 16]


@kinds
def test_the_amount_of_a_register_shift_has_its_own_sign(kind):
    """Amounts of either sign in the source, whatever the immediate field says."""
    amounts = np.array(
        [0, 1, 5, 31, 32, 33, 1 << 30, (1 << 31) - 1, -1, -5, -31, -32, -33, -64, -(1 << 30), -(1 << 31)]
    )
    for imm in (-1, 1):
        for value in (0x12345678, -0x12345678, -1):
            shifted = alu_on(kind, [np.full(16, value), amounts], [(0, 1, 0)], alu_op=AluOp.SHR, imm=imm)[0]
            expected = [value >> min(s, 31) if s >= 0 else (value << -s if s > -32 else 0) for s in amounts.tolist()]
            assert shifted.tolist() == wrapped(expected).tolist()


@kinds
@pytest.mark.parametrize("imm", [0, 1, 8, 31, 32, 100, 32767, -1, -8, -31, -32, -100, -32768])
def test_shift_by_an_immediate(kind, imm):
    values = np.array([1, -1, 0x7FFFFFFF, -0x80000000, 0x12345678, -0x12345678, 255, -256] * 2)
    shifted = alu_on(kind, [values], [(0, 0, 0)], alu_op=AluOp.SHR, use_imm=True, imm=imm)[0]
    expected = [v >> min(imm, 31) if imm >= 0 else (v << -imm if imm > -32 else 0) for v in values.tolist()]
    assert shifted.tolist() == wrapped(expected).tolist()


@kinds
@pytest.mark.parametrize("use_imm", [False, True])
def test_multiplication_ends_and_wraps(kind, use_imm):
    values = int32(np.random.default_rng(1), (2, 16))
    product = alu_on(kind, values, [(0, 1, 0)], alu_op=AluOp.MUL, use_imm=use_imm, imm=-32768)[0]
    factors = np.full(16, -32768) if use_imm else values[1]
    assert product.tolist() == wrapped([a * b for a, b in zip(values[0], factors, strict=True)]).tolist()


@kinds
def test_a_store_after_a_load_of_accumulators_gives_what_was_loaded(kind):
    """Twice into the same tiles, so that a second copy of the accumulators would show its stale content."""
    bench = Workbench(VTA)
    rng = np.random.default_rng(2)
    tensors = [int32(rng, (8, 16)) for _ in range(2)]
    sources = [bench.place(Memory.ACC, tensor.astype("<i4")) for tensor in tensors]
    targets = [bench.reserve(Memory.OUT, 8) for _ in tensors]
    program = []
    for source, target in zip(sources, targets, strict=True):
        program += [load(Memory.ACC, source, 8, sram=5), store(target, 8, sram=5, memory=Memory.OUT)]
    image = run(kind, bench.program(one_after_another([*program, Finish()])))
    for tensor, target in zip(tensors, targets, strict=True):
        assert np.array_equal(bench.tiles(image, Memory.OUT, target, 8), tensor.astype(np.int8))


@kinds
@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5, 6])
def test_consecutive_micro_ops_on_the_same_accumulators(kind, distance):
    """Every accumulator is hit again after ``distance`` micro-ops, by GEMM and then by additions that depend on it."""
    bench = Workbench(VTA)
    rng = np.random.default_rng(distance)
    inputs = rng.integers(-128, 128, (24, 16), dtype=np.int8)
    weights = rng.integers(-128, 128, (24, 16, 16), dtype=np.int8)
    uops = [(k % distance, k, k) for k in range(24)]
    chain = [(k % distance, (k + 1) % distance, 0) for k in range(24)]
    target = bench.reserve(Memory.ACC, distance)
    program = [
        load(Memory.UOP, bench.place_uops(uops + chain), 48),
        load(Memory.INP, bench.place(Memory.INP, inputs), 24),
        load(Memory.WGT, bench.place(Memory.WGT, weights), 24),
        Gemm(uop_end=24, iter_out=1, iter_in=1, reset=True),
        Gemm(uop_end=24, iter_out=1, iter_in=3),
        Alu(uop_bgn=24, uop_end=48, iter_out=1, iter_in=1, alu_op=AluOp.ADD),
        store(target, distance),
        Finish(),
    ]
    image = run(kind, bench.program(one_after_another(program)))
    sums = np.zeros((distance, 16), np.int64)
    for dst, src, wgt in uops * 3:
        sums[dst] += weights[wgt].astype(np.int64) @ inputs[src].astype(np.int64)
    for dst, src, _ in chain:
        sums[dst] = wrapped(sums[dst] + sums[src])
    assert bench.tiles(image, Memory.ACC, target, distance).tolist() == sums.tolist()


@kinds
@pytest.mark.parametrize(
    "loops",
    [
        {"iter_out": 0, "iter_in": 1, "uop_end": 1},
        {"iter_out": 1, "iter_in": 0, "uop_end": 1},
        {"iter_out": 0, "iter_in": 0, "uop_end": 1},
        {"iter_out": 16383, "iter_in": 0, "uop_end": 1},
        {"iter_out": 1, "iter_in": 1, "uop_end": 0},
        {"iter_out": 2, "iter_in": 2, "uop_bgn": 8191, "uop_end": 0},
        {"iter_out": 2, "iter_in": 2, "uop_bgn": 3, "uop_end": 3},
        {"iter_out": 0, "iter_in": 1, "uop_end": 16383},
    ],
)
@pytest.mark.parametrize("cls", [Gemm, Alu])
def test_zero_iterations_do_nothing(kind, cls, loops):
    bench = Workbench(VTA)
    values = int32(np.random.default_rng(3), (2, 16))
    target = bench.reserve(Memory.ACC, 2)
    work = Gemm(reset=True, **loops) if cls is Gemm else Alu(alu_op=AluOp.ADD, use_imm=True, imm=1, **loops)
    program = [
        load(Memory.UOP, bench.place_uops([(0, 0, 0)]), 1),
        load(Memory.ACC, bench.place(Memory.ACC, values.astype("<i4")), 2),
        work,
        store(target, 2),
        Finish(),
    ]
    image = run(kind, bench.program(one_after_another(program)))
    assert bench.tiles(image, Memory.ACC, target, 2).tolist() == values.tolist()


@kinds
@pytest.mark.parametrize("first", [2046, 2047, 2048, 4095, 8190])
def test_micro_ops_beyond_2048(kind, first):
    """The micro-ops 2048 below name another accumulator."""
    bench = Workbench(VTA)
    decoy = [(9, 0, 0)] * 2
    target = bench.reserve(Memory.ACC, 10)
    program = [
        Load(memory=int(Memory.UOP), x_size=8192, y_pad0=1),
        load(Memory.UOP, bench.place_uops(decoy), 2, sram=first % 2048),
        load(Memory.UOP, bench.place_uops([(3, 0, 0), (4, 0, 0)]), 2, sram=first),
        Load(memory=int(Memory.ACC), x_size=10, y_pad0=1),
        Alu(uop_bgn=first, uop_end=first + 2, iter_out=1, iter_in=1, alu_op=AluOp.ADD, use_imm=True, imm=5),
        store(target, 10),
        Finish(),
    ]
    image = run(kind, bench.program(one_after_another(program)))
    assert bench.tiles(image, Memory.ACC, target, 10)[:, 0].tolist() == [0, 0, 0, 5, 5, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "read_latency", "stall_seed"),
    [
        ("functional", 0, None),
        *(
            pytest.param("tsim", *timing, marks=pytest.mark.rtl)
            for timing in ((0, None), (50, None), (200, None), (3, 7))
        ),
    ],
)
@pytest.mark.parametrize("rows", [1, 64])
def test_full_depth_input_load(kind, read_latency, stall_seed, rows):
    """All 2048 tiles in one LOAD; a product with the identity brings them back."""
    bench = Workbench(VTA)
    inputs = np.random.default_rng(4).integers(-128, 128, (2048, 16), dtype=np.int8)
    target = bench.reserve(Memory.OUT, 2048)
    whole = Load(
        memory=int(Memory.INP), dram=bench.place(Memory.INP, inputs), y_size=rows, x_size=2048 // rows,
        x_stride=2048 // rows,
    )  # fmt: skip
    loops = {"uop_end": 1, "iter_out": 32, "iter_in": 64, "dst_out": 64, "dst_in": 1}
    program = [
        load(Memory.UOP, bench.place_uops([(0, 0, 0)]), 1),
        load(Memory.WGT, bench.place(Memory.WGT, np.eye(16, dtype=np.int8)), 1),
        whole,
        Gemm(reset=True, **loops),
        Gemm(src_out=64, src_in=1, **loops),
        store(target, 2048, memory=Memory.OUT),
        Finish(),
    ]
    image = run(kind, bench.program(one_after_another(program)), read_latency, stall_seed)
    assert np.array_equal(bench.tiles(image, Memory.OUT, target, 2048), inputs)
