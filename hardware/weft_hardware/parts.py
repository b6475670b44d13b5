"""FPGAs and what their programmable logic holds: the one place that says whether an accelerator fits."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Usage:
    """Resources of a module, or of a device.

    Parameters
    ----------
    luts : float
        Look-up tables, those used as memory and shift registers included.
    lutram : float
        Of these, the ones used as memory or shift registers.
    ffs, dsps : float
        Flip-flops outside other primitives; DSP blocks.
    brams : float
        Block RAMs in the family's unit, see `synth.families.Family.bram_unit`; half of one counts a half.
    """

    luts: float = 0
    lutram: float = 0
    ffs: float = 0
    dsps: float = 0
    brams: float = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def __mul__(self, count: float) -> Usage:
        return Usage(*(count * value for value in self.values()))

    def values(self) -> tuple[float, ...]:
        """The figures, in the order of the fields."""
        return tuple(asdict(self).values())


@dataclass(frozen=True)
class Part:
    """One FPGA, or the programmable logic of a system on a chip.

    Parameters
    ----------
    name : str
    family : str
        The name of its `synth.families.Family`.
    capacity : Usage
    urams : int
        UltraRAM blocks of 288 kbit; our RTL uses none of them.
    source : str
        The manufacturer's document.
    """

    name: str
    family: str
    capacity: Usage
    urams: int
    source: str

    def shortages(self, usage: Usage) -> list[str]:
        """A phrase for each resource of which there is too little; none if it fits."""
        names = ("LUTs", "LUTs as memory", "FFs", "DSPs", "BRAMs")
        return [
            f"{used:g} of {available:g} {name}"
            for name, used, available in zip(names, usage.values(), self.capacity.values(), strict=True)
            if used > available
        ]


PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part("Zynq-7020", "xc7", Usage(53_200, 17_400, 106_400, 220, 140), 0, "AMD DS190, table 1"),
        Part("ZU3EG", "xcup", Usage(70_560, 28_800, 141_120, 360, 216), 0, "AMD DS891, EG devices"),
        Part("ZU7EV", "xcup", Usage(230_400, 101_760, 460_800, 1_728, 312), 96, "AMD DS891, EV devices"),
        # The K26's XCK26 is a ZU5EV of its own name; its LUTs as memory are that device's 3.5 Mbit, 64 bits each.
        Part("K26", "xcup", Usage(117_120, 57_600, 234_240, 1_248, 144), 64, "AMD DS987, table 1; DS891, ZU5EV"),
        Part(
            "LFE5U-85F",
            "ecp5",
            Usage(83_640, 41_820, 83_640, 156, 208),
            0,
            "Lattice FPGA-DS-02012, table 1.1; LUTs as Project Trellis counts them",
        ),
    )
}
"""FPGAs that boards of ours carry, by name."""
