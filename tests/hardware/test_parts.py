"""What FPGAs hold, and what an accelerator lacks on one."""

from weft_hardware.parts import PARTS, Usage
from weft_hardware.synth.families import FAMILIES


def test_a_part_says_what_is_short():
    zynq = PARTS["Zynq-7020"]
    assert zynq.shortages(zynq.capacity) == []
    assert zynq.shortages(zynq.capacity + Usage(dsps=36, brams=0.5)) == ["256 of 220 DSPs", "140.5 of 140 BRAMs"]


def test_every_part_is_of_a_known_family_and_says_where_its_figures_come_from():
    for name, part in PARTS.items():
        assert part.name == name
        assert part.family in FAMILIES
        assert part.source
        assert min(part.capacity.values()) > 0
        assert part.capacity.lutram <= part.capacity.luts
