"""FPGA families: how to synthesise for them, and what their primitives occupy."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..parts import Usage as Usage
from .ecp5_timing import WIRE_PS


@dataclass(frozen=True)
class Family:
    """One FPGA family.

    Parameters
    ----------
    name, title : str
    command : str
        The yosys command that synthesises for it.
    flattens : bool
        Whether the command dissolves the hierarchy: then area by module follows from the names of cells.
    primitives : dict
        What each primitive occupies, by name or pattern; those that match none occupy nothing of their own.
    bram_unit : str
        What one block RAM is.
    """

    name: str
    title: str
    command: str
    flattens: bool
    primitives: dict[str, Usage]
    bram_unit: str

    def script(self, top: str, apart: bool = False) -> str:
        """The steps that synthesise a design for it; ECP5's read `ecp5_timing.verilog` from ``timing.v``.

        Parameters
        ----------
        apart : bool
            The modules below the top are kept as they are, whatever the family's command does by itself.
        """
        command = f"{self.command} -top {top}"
        if self.flattens:
            split = "splitnets; " if apart else ""  # As below.
            command += " -noflatten" if apart else ""
            # Its own steps, but for the delays and for what a wire takes.
            mapping = f"check -latchonly -assert; techmap -map +/lattice/latches_map.v; {split}abc9 -W {WIRE_PS}; clean"
            delays = "read_verilog -lib -specify timing.v"
            begin, end = f"{command} -run begin:coarse; {delays}", f"{command} -run map_cells:"
            return f"{begin}; {command} -run coarse:map_luts; {mapping}; {end}"
        # Or else abc9 may stop at a bit of one net whose name another net has: yosys issue 4349.
        return f"{command} -run begin:map_luts; splitnets; {command} -run map_luts:"

    def usage(self, primitive: str) -> Usage:
        """What one instance of a primitive occupies."""
        if primitive in self.primitives:
            return self.primitives[primitive]
        return next((use for pattern, use in self.primitives.items() if fnmatchcase(primitive, pattern)), Usage())


_MEMORY = {
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM128X1S": 2,
    "RAM64X1D": 2,
    "RAM32X1D": 2,
    "RAM64X1S": 1,
    "RAM32X1S": 1,
    "SRL16E": 1,
    "SRLC32E": 1,
}
"""LUTs of a Xilinx primitive that uses them as memory. Source: AMD UG474 and UG574, "Configurable Logic Block"."""

_XILINX = {
    **{name: Usage(luts=luts, lutram=luts) for name, luts in _MEMORY.items()},
    "LUT6_2": Usage(luts=1),
    # An inverter in front of a carry chain needs a LUT of its own; elsewhere Vivado may absorb it.
    "INV": Usage(luts=1),
    "LUT[1-6]": Usage(luts=1),
    "FD[RSCP]E": Usage(ffs=1),
    "DSP48E[12]": Usage(dsps=1),
    "RAMB36E[12]": Usage(brams=1),
    "RAMB18E[12]": Usage(brams=0.5),
}

_ECP5 = {
    "LUT4": Usage(luts=1),
    "CCU2C": Usage(luts=2),
    "TRELLIS_DPR16X4": Usage(luts=4, lutram=4),
    "TRELLIS_FF": Usage(ffs=1),
    "MULT18X18D": Usage(dsps=1),
    "DP16KD": Usage(brams=1),
    "PDPW16KD": Usage(brams=1),
}

XC7 = Family(
    "xc7",
    "Xilinx 7-series",
    "synth_xilinx -family xc7 -noiopad -noclkbuf",
    False,
    _XILINX,
    "RAMB36",
)

XCUP = Family(
    "xcup",
    "Xilinx UltraScale+",
    "synth_xilinx -family xcup -noiopad -noclkbuf",
    False,
    _XILINX,
    "RAMB36",
)

ECP5 = Family(
    "ecp5",
    "Lattice ECP5",
    # yosys 0.70 with the hierarchy kept (-noflatten): its abc9 dies on our MAC array.
    "synth_ecp5",
    True,
    _ECP5,
    "EBR of 18 kbit",
)

FAMILIES: dict[str, Family] = {family.name: family for family in (XC7, XCUP, ECP5)}
