"""What schedules are estimated to take: where it is exact, and where the timing model says otherwise."""

import numpy as np
import pytest
from weft_compiler.conv_task import Addition, ConvTask, Requantisation
from weft_compiler.lowering import lower_conv
from weft_compiler.tiling import OPERANDS, Tiling, extents
from weft_compiler.tiling_cost import estimate, products, stores
from weft_hardware.encoding import opcodes, unpack
from weft_hardware.isa import Memory, Opcode, Store
from weft_hardware.presets import VTA

ADDED = Requantisation(addition=Addition(scale=0.5, residual_scale=0.25, offset=1.0))
TASK = ConvTask(ic=2, oc=4, ih=10, iw=12, kh=1, kw=1, requantisation=ADDED)


def tiling(tiles: dict[str, int], task: ConvTask = TASK) -> Tiling:
    """Cut into these tiles, everything moved in the innermost loop."""
    order = tuple(tiles)
    levels = dict.fromkeys((Memory.INP, Memory.WGT, Memory.ACC), len(order)) | {Memory.PARAM: 0}
    slots: dict[Memory, int] = {memory: 2 for memory in OPERANDS}
    return Tiling(order=order, extents=extents(task), tiles=extents(task) | tiles, levels=levels, slots=slots)


@pytest.mark.parametrize(
    "tiles",
    [
        {"y": 5}, {"y": 1}, {"y": 4}, {"x": 6}, {"x": 5}, {"y": 1, "x": 6}, {"y": 1, "x": 5}, {"y": 5, "x": 6},
        {"y": 4, "x": 5}, {"oc": 2}, {"oc": 2, "y": 5}, {"oc": 3, "y": 4, "x": 5}, {"oc": 1, "y": 5}, {"oc": 1, "x": 6},
    ],
    ids=str,
)  # fmt: skip
def test_as_many_stores_are_counted_as_are_made(tiles):
    """Tiles at the end of an uneven loop may be none, or fewer rows: then more are counted."""
    t = tiling(tiles)
    program = lower_conv(TASK, VTA, t).emit(0, 0, 0, 0)
    fields = unpack(Store, program.instructions[opcodes(program.instructions) == Opcode.STORE], VTA)
    made = int((fields["memory"] == Memory.ACC_8BIT).sum())
    counted = int(stores(TASK, t.sizes(Memory.ACC))) * t.executions(Memory.ACC)
    even = all(extents(TASK)[loop] % size == 0 for loop, size in tiles.items())
    assert made == counted if even else made <= counted <= 2 * made


def test_many_are_estimated_as_each_alone():
    many = [tiling(tiles) for tiles in ({"y": 5, "x": 6}, {"oc": 1}, {"oc": 2, "y": 4}, {"x": 5, "ic": 1})]
    found = estimate(TASK, many, VTA)
    assert found.compute == products(TASK) == 4 * 2 * 120
    for k, one in enumerate(many):
        alone = estimate(TASK, [one], VTA)
        assert (alone.load[0], alone.store[0], alone.cycles[0]) == (found.load[k], found.store[k], found.cycles[k])
    assert len(set(found.cycles)) == len(many)


def test_reads_count_the_residual_operand():
    without = ConvTask(ic=2, oc=4, ih=10, iw=12, kh=1, kw=1, requantisation=Requantisation())
    t = tiling({"y": 5})
    operand = 4 * 120 * 16 / VTA.axi_bytes
    assert estimate(TASK, [t], VTA).load - estimate(without, [t], VTA).load == operand
    assert estimate(TASK, [t], VTA).store > estimate(without, [t], VTA).store


def test_a_load_that_stays_for_many_steps_is_not_hidden_by_the_last_ones():
    """The load queue comes to it when all but the last two inner buffers are used up."""
    task = ConvTask(ic=64, oc=64, ih=8, iw=8, kh=1, kw=1, requantisation=Requantisation())
    order = ("oc", "ic", "y")
    levels = {Memory.INP: 3, Memory.WGT: 2, Memory.ACC: 1, Memory.PARAM: 0}
    sizes = extents(task) | {"oc": 16, "ic": 16}
    slots: dict[Memory, int] = {memory: 2 for memory in OPERANDS}
    both = [
        Tiling(order=order, extents=extents(task), tiles=sizes | {"y": y}, levels=levels, slots=slots) for y in (4, 1)
    ]
    found = estimate(task, both, VTA)
    assert np.diff(found.load) == 0
    assert found.cycles[1] > 1.1 * found.cycles[0]
