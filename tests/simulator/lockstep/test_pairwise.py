"""The pairwise table covers every pair of choices that can be built together."""

from itertools import combinations, product

from weft_hardware.isa import settable
from weft_simulator.lockstep.pairwise import BUFFERS, CONFIGURATIONS, ELEMENTS, EXTENSIONS, ROWS

CHOICES = (
    (1, 2, 4),
    ((4, 4), (8, 8), (16, 16), (32, 32), (64, 64), (8, 16)),
    (64, 128, 256, 512),
    (16, 256),
    tuple(ELEMENTS),
    tuple(BUFFERS),
    tuple(EXTENSIONS),
)


def pairs(row):
    return {((i, a), (j, b)) for (i, a), (j, b) in combinations(enumerate(row), 2)}


def test_every_pair_that_can_be_built_is_there():
    buildable = [row for row in product(*CHOICES) if row[0] * row[1][0] * row[1][1] <= 4096]
    wanted = set().union(*(pairs(row) for row in buildable))
    assert wanted == set().union(*(pairs(row) for row in ROWS))


def test_rows_are_configurations_of_their_names():
    assert len(CONFIGURATIONS) == len(ROWS) >= 12
    assert {bool(settable(config)) for config in CONFIGURATIONS.values()} == {False, True}
    one = CONFIGURATIONS["1x64x64, AXI 128, bursts of 16, int16 inputs, odd buffers, extensions: all"]
    assert (one.inp_bits, one.axi_data_bits, one.max_burst, one.epilogue_lanes) == (16, 128, 16, 4)
    assert (one.residual, one.table, one.pad_value, one.widening_load) == (True, True, True, True)
    lanes = {(c.epilogue_lanes, c.residual, c.table) for c in CONFIGURATIONS.values()}
    assert lanes == {(0, False, False), (1, False, True), (2, True, False), (4, True, True)}
