"""What a board is, as data: its FPGA, clocks, memories, ports and addresses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from itertools import product

from weft_hardware.config import AcceleratorConfig
from weft_hardware.parts import Part

from .errors import BoardError


class Kind(Enum):
    """How the host reaches the accelerator, and who builds the bitstream."""

    ZYNQ_7000 = "Zynq-7000"
    """Two 32-bit Arm cores beside the logic; Vivado."""
    ZYNQ_MP = "Zynq UltraScale+"
    """Four 64-bit Arm cores beside the logic; Vivado."""
    ECP5 = "ECP5"
    """No processor: a host on the other end of a serial line; yosys and nextpnr."""


@dataclass(frozen=True)
class Memory:
    """A memory that the accelerator can reach.

    Parameters
    ----------
    name : str
    begin, size : int
        Bytes, as the accelerator's port addresses them.
    """

    name: str
    begin: int
    size: int


@dataclass(frozen=True)
class MemoryPort:
    """Where the accelerator's AXI manager ends.

    Parameters
    ----------
    name : str
        The port, in the manufacturer's words.
    protocol : str
        ``"AXI3"`` or ``"AXI4"``; a manager of AXI4 needs a converter to reach AXI3.
    data_bits : tuple of int
        Widths that the port can be set to.
    max_burst : int
        Beats of its longest burst.
    address_bits : int
    coherent : bool
        Whether the processors' caches see its traffic; if not, buffers must be flushed and invalidated.
    """

    name: str
    protocol: str
    data_bits: tuple[int, ...]
    max_burst: int
    address_bits: int
    coherent: bool


@dataclass(frozen=True)
class ControlPort:
    """Where the processor's accesses to the accelerator's registers come from.

    Parameters
    ----------
    name : str
    begin, size : int
        The addresses that lead to it.
    registers : int
        Where in them the accelerator lies.
    """

    name: str
    begin: int
    size: int
    registers: int


@dataclass(frozen=True)
class Clock:
    """How the accelerator's clock is made.

    Parameters
    ----------
    source : str
    source_mhz : float
        Of the phase-locked loop that is divided.
    default_mhz : float
        What is asked for where nobody chooses. No router has confirmed it for AMD's parts; the build stops if it is
        missed.
    dividers : tuple of int
        The largest divisor of each divider behind the loop, one after another.
    """

    source: str
    source_mhz: float
    default_mhz: float
    dividers: tuple[int, ...] = (63, 63)

    def nearest(self, mhz: float) -> tuple[float, tuple[int, ...]]:
        """The fastest clock no faster than asked for, and the divisors that make it.

        Raises
        ------
        BoardError
            If it cannot be made.
        """
        slowest = self.source_mhz / math.prod(self.dividers)
        if not slowest <= mhz <= self.source_mhz:
            raise BoardError(
                f"clock of {mhz:g} MHz cannot be made from {self.source}; "
                f"choose {slowest:.3g} to {self.source_mhz:g} MHz"
            )
        choices = product(*(range(1, largest + 1) for largest in self.dividers))
        wanted = self.source_mhz / mhz * (1 - 1e-9)
        divisors = min((c for c in choices if math.prod(c) >= wanted), key=lambda c: (math.prod(c), max(c), c))
        return self.source_mhz / math.prod(divisors), divisors


@dataclass(frozen=True)
class Board:
    """One board.

    Parameters
    ----------
    name, title : str
        What commands call it, and its full name.
    kind : Kind
    part : Part
        What its programmable logic holds.
    device : str
        The ordering code of the FPGA: package and speed grade.
    board_files : str
        Vivado's name of the board, without vendor and version, in small letters; empty where it knows none.
    preset : str
        The configuration that is built where none is chosen.
    packed : bool
        Whether that one needs packed multipliers to fit.
    clock : Clock
    memories : tuple of Memory
    memory_port : MemoryPort
    control_port : ControlPort, optional
        None without a processor.
    interrupt : int, optional
        The interrupt's number at the processor.
    cpu : str
        What runs the host code.
    pynq : str
        Which pynq the board's own image has; empty where there is none.
    sources : tuple of str
        The documents that all this is from.
    """

    name: str
    title: str
    kind: Kind
    part: Part
    device: str
    board_files: str
    preset: str
    packed: bool
    clock: Clock
    memories: tuple[Memory, ...]
    memory_port: MemoryPort
    control_port: ControlPort | None
    interrupt: int | None
    cpu: str
    pynq: str
    sources: tuple[str, ...]

    def check(self, config: AcceleratorConfig) -> None:
        """Refuse an accelerator whose memory port the board's cannot be joined with.

        Raises
        ------
        BoardError
            If widths, bursts or addresses do not go together.
        """
        port = self.memory_port
        if config.axi_data_bits not in port.data_bits:
            choices = " or ".join(map(str, port.data_bits))
            raise BoardError(
                f"axi_data_bits = {config.axi_data_bits} does not fit {self.title}, whose {port.name} is {choices} "
                f"bits wide; choose {choices}, or the preset {self.preset}"
            )
        if config.max_burst > port.max_burst:
            raise BoardError(
                f"max_burst = {config.max_burst} does not fit {self.title}, whose {port.name} ({port.protocol}) takes "
                f"bursts of {port.max_burst} beats; choose at most {port.max_burst}, or the preset {self.preset}"
            )
        if config.axi_addr_bits > port.address_bits:
            raise BoardError(
                f"axi_addr_bits = {config.axi_addr_bits} does not fit {self.title}, whose {port.name} has "
                f"{port.address_bits} address bits; choose at most {port.address_bits}, or the preset {self.preset}"
            )

    def reachable(self, config: AcceleratorConfig) -> tuple[Memory, ...]:
        """The memories, or the parts of them, that an accelerator of so many address bits reaches."""
        end = 1 << config.axi_addr_bits
        return tuple(Memory(m.name, m.begin, min(m.size, end - m.begin)) for m in self.memories if m.begin < end)
