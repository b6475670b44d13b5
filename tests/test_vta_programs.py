"""Instruction streams as VTA's own compilers emit them, assembled by hand to raw bytes.

The stream of a 16×16 block of a matrix product is VTA's usual one of ten instructions; base registers are 0, so that
every DRAM field holds a physical address over the tile size of its memory.
"""

import numpy as np
import pytest
from support.devices import KINDS, shared_device
from weft_hardware.config import AcceleratorConfig
from weft_runtime.device import Launch
from weft_simulator.lockstep.generator import DRAM_BASE

VTA = AcceleratorConfig()
kinds = pytest.mark.parametrize("kind", KINDS)

LOAD, STORE, GEMM, FINISH = 0, 1, 2, 3
UOP, WGT, INP, OUT = 0, 1, 2, 4
POP_PREV, POP_NEXT, PUSH_PREV, PUSH_NEXT = 1 << 3, 1 << 4, 1 << 5, 1 << 6


def word(low, high=0):
    """Sixteen bytes, little-endian."""
    return (low | high << 64).to_bytes(16, "little")


def transfer(opcode, flags, memory, sram=0, dram=0, y_size=0, x_size=0, x_stride=0):
    return word(opcode | flags | memory << 7 | sram << 10 | dram << 26, y_size | x_size << 16 | x_stride << 32)


def gemm(flags, uop, iter_out, iter_in, dst, src=(0, 0), wgt=(0, 0), *, reset=False):
    low = GEMM | flags | reset << 7 | uop[0] << 8 | uop[1] << 21 | iter_out << 35 | iter_in << 49
    high = dst[0] | dst[1] << 11 | src[0] << 22 | src[1] << 33 | wgt[0] << 44 | wgt[1] << 54
    return word(low, high)


def micro_op(dst, src=0, wgt=0):
    return (dst | src << 11 | wgt << 22).to_bytes(4, "little")


def block_program(uop_tile, inp_tile, wgt_tile, out_tile, rows, pitch):
    """Ten instructions: ``rows`` input tiles times one weight tile; ``pitch`` is that of input and output rows."""
    return [
        transfer(LOAD, 0, UOP, 0, uop_tile, 1, 1, 1),
        gemm(PUSH_PREV, (0, 1), rows, 1, (1, 0), reset=True),
        transfer(LOAD, POP_NEXT, INP, 0, inp_tile, rows, 1, pitch),
        transfer(LOAD, PUSH_NEXT, WGT, 0, wgt_tile, 1, 1, 1),
        transfer(LOAD, POP_PREV, UOP, 1, uop_tile + 1, 1, 1, 1),
        gemm(PUSH_NEXT, (1, 2), rows, 1, (1, 0), (1, 0)),
        transfer(STORE, POP_PREV | PUSH_PREV, OUT, 0, out_tile, rows, 1, pitch),
        transfer(LOAD, PUSH_NEXT, INP),
        transfer(LOAD, POP_PREV | POP_NEXT, UOP),
        word(FINISH),
    ]


class Memory:
    """A device's DRAM, filled by offset."""

    def __init__(self, kind):
        self.device, dram = shared_device(kind, VTA)
        self.data = dram.data
        self.data[:] = 0x5A

    def put(self, offset, raw):
        raw = np.frombuffer(raw, np.uint8)
        self.data[offset : offset + raw.size] = raw

    def execute(self, offset, instructions):
        self.put(offset, b"".join(instructions))
        return self.device.launch(Launch(DRAM_BASE + offset, len(instructions)))


def address(offset, tile_bytes):
    """The DRAM field that names a physical address."""
    assert offset % tile_bytes == 0
    return (DRAM_BASE + offset) // tile_bytes


@kinds
def test_matrix_product_16_by_16(kind):
    rng = np.random.default_rng(1)
    left, right = rng.integers(-8, 8, (2, 16, 16), dtype=np.int8)
    memory = Memory(kind)
    memory.put(0x1000, micro_op(0) + micro_op(0, 0, 0))
    memory.put(0x2000, left.tobytes())
    memory.put(0x3000, right.tobytes())
    places = address(0x1000, 4), address(0x2000, 16), address(0x3000, 256), address(0x4000, 16)
    before = memory.data.copy()
    report = memory.execute(0x8000, block_program(*places, rows=16, pitch=1))
    assert report.instructions == 10
    assert (report.cycles is None) == (kind == "functional")
    product = left.astype(np.int64) @ right.astype(np.int64).T
    before[0x4000:0x4100] = product.astype(np.int8).view(np.uint8).reshape(-1)
    before[0x8000:0x80A0] = memory.data[0x8000:0x80A0]
    assert np.array_equal(memory.data, before)


@kinds
def test_matrix_product_32_by_32_as_four_blocks(kind):
    """Each block sums two products: its inner loop walks two input tiles a row and two weight tiles."""
    rng = np.random.default_rng(2)
    left, right = rng.integers(-8, 8, (2, 32, 32), dtype=np.int8)
    memory = Memory(kind)
    memory.put(0x1000, micro_op(0) + micro_op(0, 0, 0))
    memory.put(0x2000, left.tobytes())  # 32 rows of two tiles
    tiles = right.reshape(2, 16, 2, 16).transpose(0, 2, 1, 3)  # by output block, by input block
    memory.put(0x3000, tiles.tobytes())
    stream = []
    for row_block in range(2):
        for column_block in range(2):
            stream += [
                transfer(LOAD, 0, UOP, 0, address(0x1000, 4), 1, 2, 2),
                gemm(PUSH_PREV, (0, 1), 16, 1, (1, 0), reset=True),
                transfer(LOAD, POP_NEXT, INP, 0, address(0x2000, 16) + row_block * 32, 16, 2, 2),
                transfer(LOAD, PUSH_NEXT, WGT, 0, address(0x3000, 256) + column_block * 2, 1, 2, 2),
                gemm(POP_PREV | PUSH_NEXT, (1, 2), 16, 2, (1, 0), (2, 1), (0, 1)),
                transfer(
                    STORE, POP_PREV | PUSH_PREV, OUT, 0, address(0x4000, 16) + row_block * 32 + column_block, 16, 1, 2
                ),
                transfer(LOAD, PUSH_NEXT, INP),
                transfer(LOAD, POP_PREV | POP_NEXT, UOP),
            ]
    memory.execute(0x8000, [*stream, word(FINISH)])
    product = (left.astype(np.int64) @ right.astype(np.int64).T).astype(np.int8)
    assert np.array_equal(memory.data[0x4000:0x4400].view(np.int8).reshape(32, 32), product)


@kinds
def test_reserved_bits_may_hold_anything(kind):
    """VTA's runtime leaves the unused bits of an instruction uninitialised."""
    rng = np.random.default_rng(3)
    left, right = rng.integers(-8, 8, (2, 16, 16), dtype=np.int8)
    memory = Memory(kind)
    memory.put(0x1000, micro_op(0) * 2)
    memory.put(0x2000, left.tobytes())
    memory.put(0x3000, right.tobytes())
    places = address(0x1000, 4), address(0x2000, 16), address(0x3000, 256), address(0x4000, 16)
    stream = []
    for raw in block_program(*places, rows=16, pitch=1):
        value = int.from_bytes(raw, "little")
        opcode = value & 7
        unused = {LOAD: range(58, 64), STORE: range(58, 64), GEMM: [63], FINISH: range(7, 128)}[opcode]
        stream.append((value | sum(1 << bit for bit in unused)).to_bytes(16, "little"))
    memory.execute(0x8000, stream)
    product = (left.astype(np.int64) @ right.astype(np.int64).T).astype(np.int8)
    assert np.array_equal(memory.data[0x4000:0x4100].view(np.int8).reshape(16, 16), product)
