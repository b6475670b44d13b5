"""DRAM windows: the table that the host fills, and the check that a whole block lies in its memory's window."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import MemoryInstruction
from .signatures import window_port

ROWS = 16
COLUMNS = ("first_lo", "first_hi", "last_lo", "last_hi")


class WindowTable(wiring.Component):
    """The first and the last byte address that each memory, and the instructions, may lie at.

    A memory and not registers, since each unit needs one row at a time. A hardware reset opens all windows, a row a
    cycle. Address bits above ``axi_addr_bits`` do not exist and read as zero.

    Attributes
    ----------
    ready : Out(1)
        All rows are open after a reset: writes count.
    write : In(1)
        ``write_data`` goes to ``write_word``, (row, column) with the column in the low 2 bits, under ``write_strobe``.
    read : In(1)
        ``read_data`` shows ``read_word`` from the next cycle on.
    port_<unit> : In(window_port)
    """

    def __init__(self, config: AcceleratorConfig, units: tuple[str, ...]) -> None:
        self._config = config
        self._units = units
        super().__init__(
            {
                "ready": Out(1),
                "write": In(1),
                "write_word": In(6),
                "write_data": In(32),
                "write_strobe": In(4),
                "read": In(1),
                "read_word": In(6),
                "read_data": Out(32),
                **{f"port_{unit}": In(window_port(config)) for unit in units},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        opening = Signal(range(ROWS + 1))
        with m.If(~self.ready):
            m.d.sync += opening.eq(opening + 1)
        m.d.comb += self.ready.eq(opening == ROWS)

        shown_column = Signal(2)
        with m.If(self.read):
            m.d.sync += shown_column.eq(self.read_word[:2])
        upper_bits = self._config.axi_addr_bits - 32
        columns = {name: self._column(m, k, upper_bits if k % 2 else 32, opening) for k, name in enumerate(COLUMNS)}
        shown = [host for host, _ in columns.values()]
        m.d.comb += self.read_data.eq(
            Cat(Cat(value, Const(0, 32))[:32] for value in shown).word_select(shown_column, 32)
        )
        for unit in self._units:
            port = getattr(self, f"port_{unit}")
            for name in ("first", "last"):
                halves = (columns[f"{name}_{half}"][1][unit] for half in ("lo", "hi"))
                m.d.comb += getattr(port, name).eq(Cat(*halves))
        return m

    def _column(self, m: Module, number: int, bits: int, opening: Value) -> tuple[Value, dict[str, Value]]:
        """One column's memory; returns what the host and what each unit reads."""
        if not bits:
            return Const(0, 0), {unit: Const(0, 0) for unit in self._units}
        name = COLUMNS[number]
        kept = memory.Memory(shape=32, depth=ROWS, init=[], attrs={"ram_style": "distributed"})
        m.submodules[name] = kept
        opened = 0xFFFFFFFF if name.startswith("last") else 0
        write = kept.write_port(granularity=8)
        chosen = self.write & (self.write_word[:2] == number)
        m.d.comb += [
            write.addr.eq(Mux(self.ready, self.write_word[2:], opening)),
            write.data.eq(Mux(self.ready, self.write_data, opened)),
            write.en.eq(Mux(self.ready, chosen.replicate(4) & self.write_strobe, 0b1111)),
        ]

        def read(row: Value, enable: Value) -> Value:
            port = kept.read_port()
            m.d.comb += [port.addr.eq(row), port.en.eq(enable)]
            return port.data[:bits]

        units = {}
        for unit in self._units:
            port = getattr(self, f"port_{unit}")
            units[unit] = read(port.row, port.read)
        return read(self.read_word[2:], self.read), units


def last_tile(block: Value | MemoryInstruction) -> Value:
    """How far a block's last tile is from its first, in DRAM tiles; it has at least one."""
    return (block.y_size - 1)[:16] * block.x_stride + (block.x_size - 1)[:16]  # type: ignore[union-attr]


def outside(window: wiring.PureInterface, first: Value, last: Value) -> tuple[Value, Value]:
    """Whether bytes ``first`` to ``last``, wider than any address, are not all in a window; and which one is not."""
    first_outside = (first < window.first) | (first > window.last)
    return first_outside | (last > window.last), Mux(first_outside, first, last)
