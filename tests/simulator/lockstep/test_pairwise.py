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
    first = CONFIGURATIONS["1x8x8, AXI 256, bursts of 16, int16 inputs, odd buffers, extensions: all"]
    assert (first.inp_bits, first.axi_data_bits, first.max_burst, first.epilogue_lanes) == (16, 256, 16, 4)
