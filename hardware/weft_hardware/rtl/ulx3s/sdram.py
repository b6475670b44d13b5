"""A controller of single-data-rate SDRAM, 16 bits wide: 4 banks of 8,192 rows of 512 columns, 32 MB.

A word is one burst of four columns. Words of the open row follow each other every four cycles, 100 MB/s at 50 MHz;
another row, or a turn between reads and writes, waits until the burst before is over. A refresh goes before all.

Source
------
ISSI IS42S16160 and Micron MT48LC16M16 data sheets: commands, mode register, initialisation; times of speed grade 7.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...serial_link import DEFAULT_DELAY, DELAYS
from .words import WORD_BITS, words

CAS_LATENCY = 2
MODE = CAS_LATENCY << 4 | 0b010
"""Mode register: sequential bursts of 4."""

COLUMN_WORD_BITS, BANK_BITS, ROW_BITS = 7, 2, 13
BEATS = WORD_BITS // 16

# Commands, as (cas, ras, we), active low on the pins.
NOP, ACTIVE, READ, WRITE = (0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 1)
PRECHARGE, REFRESH, LOAD_MODE = (0, 1, 1), (1, 1, 0), (1, 1, 1)
ALL_BANKS = 1 << 10

QUIET = 9
"""Cycles after a column command in which the row stays open and the data pins keep their direction."""

ROW_WAIT = 2
"""Cycles that a row takes to open or close: 20 ns, up to 80 MHz."""

REFRESH_WAIT = 7
"""Cycles of a refresh: 67.5 ns, up to 80 MHz."""

SDRAM_PINS = {
    "a": Out(ROW_BITS),
    "ba": Out(BANK_BITS),
    "cas_n": Out(1, init=1),
    "ras_n": Out(1, init=1),
    "we_n": Out(1, init=1),
    "dqm": Out(2),
    "dq_out": Out(16),
    "dq_enable": Out(1),
    "dq_in": In(16),
}
"""To the memory, and the data pins as registered on this side."""


class SdramController(wiring.Component):
    """The controller.

    Parameters
    ----------
    clock_hz : float
        At most 80 MHz, for the waits above.
    power_up_seconds : float
        How long the memory is left alone at first; a simulation need not wait.

    Attributes
    ----------
    port : In(words)
    delay : In(3)
        One of `serial_link.DELAYS`.
    a, ba, cas_n, ras_n, we_n, dqm : Out
        To the memory, registered. Its chip select is always on.
    dq_out, dq_enable, dq_in
        The data pins, registered on this side.
    """

    def __init__(self, clock_hz: float, power_up_seconds: float = 200e-6) -> None:
        assert clock_hz <= 80e6
        self._refresh_cycles = int(7.8e-6 * clock_hz) - 30
        self._power_up_cycles = max(int(power_up_seconds * clock_hz), 16)
        super().__init__({"port": In(words()), "delay": In(3, init=DEFAULT_DELAY), **SDRAM_PINS})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = self.port
        column, bank, row = (
            port.address[:COLUMN_WORD_BITS],
            port.address[COLUMN_WORD_BITS : COLUMN_WORD_BITS + BANK_BITS],
            port.address[COLUMN_WORD_BITS + BANK_BITS :],
        )
        wait = Signal(range(self._power_up_cycles + 1), init=self._power_up_cycles)
        since = Signal(range(QUIET + 1))
        opened, open_bank, open_row = Signal(), Signal(BANK_BITS), Signal(ROW_BITS)
        writing = Signal()
        due, until_refresh = Signal(), Signal(range(self._refresh_cycles + 1), init=self._refresh_cycles)
        quiet = since == QUIET
        started = Signal()

        def command(what: tuple[int, int, int]) -> None:
            m.d.sync += Cat(self.cas_n, self.ras_n, self.we_n).eq(Cat(*(1 - bit for bit in what)))

        m.d.comb += started.eq(port.valid & port.ready)
        with m.If(~quiet):
            m.d.sync += since.eq(since + 1)
        command(NOP)
        with m.FSM() as states:
            # PRECHARGE, two REFRESHes, LOAD MODE.
            steps = ((PRECHARGE, ALL_BANKS, 3), (REFRESH, 0, 9), (REFRESH, 0, 9), (LOAD_MODE, MODE, 3))
            for k, (what, address, cycles) in enumerate(steps):
                with m.State(f"INIT_{k}"):
                    with m.If(wait == 0):
                        command(what)
                        m.d.sync += [self.a.eq(address), self.ba.eq(0), wait.eq(cycles)]
                        m.next = f"INIT_{k + 1}" if k + 1 < len(steps) else "RUN"
                    with m.Else():
                        m.d.sync += wait.eq(wait - 1)
            with m.State("RUN"):
                hit = opened & (open_bank == bank) & (open_row == row)
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Elif(due | (port.valid & ~hit)):
                    with m.If(opened), m.If(quiet):
                        command(PRECHARGE)
                        m.d.sync += [self.a.eq(ALL_BANKS), opened.eq(0), wait.eq(ROW_WAIT)]
                    with m.Elif(due):
                        command(REFRESH)
                        m.d.sync += [due.eq(0), wait.eq(REFRESH_WAIT)]
                    with m.Else():
                        command(ACTIVE)
                        m.d.sync += [self.a.eq(row), self.ba.eq(bank), wait.eq(ROW_WAIT)]
                        m.d.sync += [opened.eq(1), open_bank.eq(bank), open_row.eq(row)]
                with m.Elif(port.valid & ((port.write == writing) | quiet)):
                    m.d.comb += port.ready.eq(1)
                    m.d.sync += [self.a.eq(column << 2), self.ba.eq(bank), wait.eq(BEATS - 1)]
                    m.d.sync += [writing.eq(port.write), since.eq(0)]
                    with m.If(port.write):
                        command(WRITE)
                    with m.Else():
                        command(READ)
        running = states.ongoing("RUN")
        with m.If(until_refresh != 0):
            m.d.sync += until_refresh.eq(until_refresh - 1)
        with m.Elif(running):
            m.d.sync += [until_refresh.eq(self._refresh_cycles), due.eq(1)]
        self._write_data(m, started & port.write)
        self._read_data(m, started & ~port.write)
        return m

    def _write_data(self, m: Module, started: object) -> None:
        """Four columns from the cycle of the command on, the bytes without strobe masked."""
        port = self.port
        data, mask, left = Signal(WORD_BITS - 16), Signal(WORD_BITS // 8 - 2), Signal(range(BEATS))
        m.d.sync += [self.dq_enable.eq(0), self.dqm.eq(0)]
        with m.If(started):
            m.d.sync += [
                Cat(self.dq_out, data).eq(port.data),
                Cat(self.dqm, mask).eq(~port.strobe),
                self.dq_enable.eq(1),
                left.eq(BEATS - 1),
            ]
        with m.Elif(left != 0):
            m.d.sync += [
                Cat(self.dq_out, data).eq(data),
                Cat(self.dqm, mask).eq(mask),
                self.dq_enable.eq(1),
                left.eq(left - 1),
            ]

    def _read_data(self, m: Module, started: object) -> None:
        """Registers what the pins say in every cycle, and answers when the fourth column of a word is there."""
        port = self.port
        pins = Signal(16)
        word = Signal(WORD_BITS - 16)
        m.d.sync += [pins.eq(self.dq_in), word.eq(Cat(word[16:], pins))]
        age = Signal(DELAYS[-1] + BEATS)
        m.d.sync += age.eq(Cat(started, age))
        arrived = Signal()
        # age[k] is up k + 1 cycles after the command was decided.
        choices = [age[delay + BEATS - 2] for delay in DELAYS]
        chosen = choices[0]
        for delay, choice in zip(DELAYS[1:], choices[1:], strict=True):
            chosen = Mux(self.delay == delay, choice, chosen)
        m.d.comb += arrived.eq(chosen)
        m.d.comb += [port.answer.eq(arrived), port.answer_data.eq(Cat(word, pins))]
