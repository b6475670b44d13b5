"""How yosys builds a memory: of block RAMs, of look-up tables, or of flip-flops.

`memory_libmap` weighs every kind of memory of a family against the others by a cost, and takes the cheapest. So does
`mapped`, for memories of one write and one read port, which all of the accelerator's larger ones are.

Source
------
yosys's documentation of ``memory_libmap`` and the descriptions of memories that it comes with: in ``xilinx/``
``brams_xc4v.txt``, ``lutrams_xc5v.txt`` and ``lutrams_xcu.txt``, in ``lattice/`` ``brams_16kd.txt`` and
``lutrams_trellis.txt``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

MULTIPLEXER_COST = 0.5
"""Of a bit that is chosen between two rows of memories, and of a write enable that is led to one of them."""

REGISTER_BIT_COST = 1.0
"""Of a bit kept in a flip-flop, its part of the multiplexers included."""


@dataclass(frozen=True)
class Kind:
    """One kind of memory.

    Parameters
    ----------
    address_bits : int
        Of its narrowest words.
    widths : tuple
        The widths of its words; each halves the number of words.
    cost, scaled_cost : float
        Of one memory, and how much of it counts by the share of the word that is used.
    byte : int
        Words are written in bytes of so many bits; 0 if only whole.
    brams, luts : float
        What one occupies.
    """

    address_bits: int
    widths: tuple[int, ...]
    cost: float
    scaled_cost: float = 0
    byte: int = 0
    brams: float = 0
    luts: float = 0


_XILINX_BLOCK = (
    Kind(14, (1, 2, 4, 9, 18), 129, byte=9, brams=0.5),
    Kind(15, (1, 2, 4, 9, 18, 36), 257, byte=9, brams=1),
    Kind(16, (1, 2, 4, 9), 513, byte=9, brams=2),
    Kind(14, (1, 2, 4, 9, 18, 36), 129, byte=9, brams=0.5),
    Kind(15, (1, 2, 4, 9, 18, 36, 72), 257, byte=9, brams=1),
)
_XC7_TABLES = (
    Kind(5, (4,), 8, 8, luts=4),
    Kind(6, (2,), 8, 8, luts=4),
    Kind(7, (1,), 8, 8, luts=4),
    Kind(5, (6,), 8, 7, luts=4),
    Kind(6, (3,), 8, 7, luts=4),
)
_XCUP_TABLES = (
    Kind(5, (8,), 16, 16, luts=8),
    Kind(6, (4,), 16, 16, luts=8),
    Kind(7, (2,), 16, 16, luts=8),
    Kind(8, (1,), 16, 16, luts=8),
    Kind(5, (14,), 16, 16, luts=8),
    Kind(6, (7,), 16, 16, luts=8),
)
BLOCKS: dict[str, tuple[Kind, ...]] = {
    "xc7": _XILINX_BLOCK,
    "xcup": _XILINX_BLOCK,
    "ecp5": (Kind(14, (1, 2, 4, 9, 18), 134, byte=9, brams=1), Kind(14, (1, 2, 4, 9, 18, 36), 134, byte=9, brams=1)),
}
"""Kinds with a registered output, by family. Lattice's costs include reading the old word while it is written."""

REMEMBERS: dict[str, bool] = {"xc7": False, "xcup": False, "ecp5": True}
"""Whether block RAMs need help to read the old word while it is written, by family: the word is kept beside them, with
the one that was written, and chosen."""

TABLES: dict[str, tuple[Kind, ...]] = {
    "xc7": _XC7_TABLES,
    "xcup": _XCUP_TABLES,
    "ecp5": (Kind(4, (4,), 4, luts=4),),
}
"""Kinds made of look-up tables, by family."""


@dataclass(frozen=True)
class Mapped:
    """What a memory became.

    Parameters
    ----------
    brams, luts : float
        Block RAMs, in the family's unit, and look-up tables used as memory.
    rows : int
        Memories above each other, whose outputs are chosen between.
    registers : int
        Bits kept in flip-flops: those of a memory of flip-flops, the output register that a block RAM has, and what it
        does not remember by itself.
    logic : float
        Look-up tables around it, for the latter.
    """

    brams: float = 0
    luts: float = 0
    rows: int = 1
    registers: int = 0
    logic: float = 0

    @property
    def block(self) -> bool:
        return self.brams > 0


@lru_cache(maxsize=65536)
def mapped(width: int, depth: int, family: str, registered: bool = True, granularity: int = 0) -> Mapped:
    """What a memory of one write and one read port becomes.

    Parameters
    ----------
    width, depth : int
        Bits of a word, and words.
    registered : bool
        Whether its output is read in the next cycle, as block RAMs do.
    granularity : int
        Bits that are written apart; 0 if whole words are.
    """
    best, result = width * depth * REGISTER_BIT_COST, Mapped(registers=width * depth)
    for kind in (*TABLES[family], *(BLOCKS[family] if registered else ())):
        cost, count, rows = _geometry(kind, width, depth, granularity)
        if cost < best:
            remembered = width if kind.brams and REMEMBERS[family] else 0
            output = width if registered and not kind.brams else 2 * remembered
            best, result = cost, Mapped(kind.brams * count, kind.luts * count, rows, output, remembered)
    return result


def _geometry(kind: Kind, width: int, depth: int, granularity: int) -> tuple[float, int, int]:
    """Cost, number and rows of the best arrangement of one kind."""
    found: list[tuple[float, int, int]] = []
    narrow = len([w for w in kind.widths if w < kind.byte])
    for place, unit in enumerate(kind.widths):
        if narrow > place and granularity:
            continue
        byte = min(kind.byte or unit, unit)
        bits = _padded(granularity, byte) * (width // granularity) if granularity else _padded(width, byte)
        rows = -(-depth // (1 << (kind.address_bits - place)))
        count = -(-rows * bits // unit)
        cost = (kind.cost - kind.scaled_cost) * count + kind.scaled_cost * rows * width / unit
        cost += MULTIPLEXER_COST * ((rows - 1) * width + (rows if rows > 1 else 0))
        found.append((cost, count, rows))
    return min(found)


def _padded(bits: int, unit: int) -> int:
    return -(-bits // unit) * unit
