"""The ULX3S's whole logic in tsim: a serial line to the host link, a model of the SDRAM behind the controller.

The host port of the bench is the far end of the line; what travels are bits. The SDRAM's model samples pins at the
clock's edge as the data sheets say, keeps data, and remembers what a controller must not do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from amaranth import Array, Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from weft_hardware.config import AcceleratorConfig
from weft_hardware.registers import ADDRESS_BITS
from weft_hardware.rtl.axi import axi4, axi4_lite
from weft_hardware.rtl.host import HostPort
from weft_hardware.rtl.ulx3s.sdram import BANK_BITS, MODE, ROW_BITS, SDRAM_PINS
from weft_hardware.rtl.ulx3s.system import System
from weft_hardware.rtl.ulx3s.uart import UartReceiver, UartTransmitter

SEND, RECEIVED, LEVEL, VIOLATIONS, DAMAGE = 0x00, 0x04, 0x08, 0x0C, 0x10
DIVISOR = 4
"""Clock cycles of a bit: as fast as the line goes."""

SILENCE = 3_000
QUIET = 8_000
"""Cycles without a byte after which the far end stops listening; longer than `SILENCE`."""

CLOCK_HZ = 50e6
FIFO_BYTES = 2048


class SdramModel(wiring.Component):
    """4 banks of 8,192 rows of 512 columns, CAS latency 2, bursts of 4.

    Attributes
    ----------
    violations : Out(8)
        Bit by bit, since the start: 0 a column command to a closed row, 1 ACTIVE of an open row, 2 REFRESH with an open
        row, 3 a column command too early after ACTIVE, 4 both sides drive the data pins, 5 no REFRESH for 64 ms / 8192,
        6 a command before the mode was set as it must be, 7 PRECHARGE too early after a write.
    """

    def __init__(self) -> None:
        pins = {name: Out(pin.shape) if pin.flow is In else In(pin.shape) for name, pin in SDRAM_PINS.items()}
        super().__init__({**pins, "violations": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.cells = cells = memory.Memory(shape=16, depth=1 << (9 + BANK_BITS + ROW_BITS), init=[])
        write, read = cells.write_port(granularity=8), cells.read_port()
        opened, rows = Signal(4), Array(Signal(13, name=f"row_{n}") for n in range(4))
        left, column, bank, writing = Signal(2), Signal(9), Signal(2), Signal()
        command = Signal(3)
        m.d.comb += command.eq(~Cat(self.cas_n, self.ras_n, self.we_n))
        is_read, is_write, is_active = command == 0b001, command == 0b101, command == 0b010
        is_precharge, is_refresh, is_mode = command == 0b110, command == 0b011, command == 0b111
        starts = is_read | is_write
        now_bank, now_column, now_writing = Signal(2), Signal(9), Signal()
        with m.If(starts):
            m.d.comb += [now_bank.eq(self.ba), now_column.eq(self.a[:9]), now_writing.eq(is_write)]
            m.d.sync += [left.eq(3), bank.eq(self.ba), column.eq(self.a[:9] + 1), writing.eq(is_write)]
        with m.Else():
            m.d.comb += [now_bank.eq(bank), now_column.eq(column), now_writing.eq(writing)]
            with m.If(left != 0):
                m.d.sync += [left.eq(left - 1), column.eq(column + 1)]
        busy = starts | (left != 0)
        address = Cat(now_column, now_bank, rows[now_bank])
        m.d.comb += [
            write.addr.eq(address),
            write.data.eq(self.dq_out),
            write.en.eq((busy & now_writing).replicate(2) & ~self.dqm),
            read.addr.eq(address),
            read.en.eq(1),
        ]
        reading, driving = Signal(), Signal()
        m.d.sync += [reading.eq(busy & ~now_writing), driving.eq(reading)]
        # High where nobody drives: pulled up.
        m.d.sync += self.dq_in.eq(0xFFFF)
        with m.If(reading):
            m.d.sync += self.dq_in.eq(read.data)

        with m.If(is_active):
            m.d.sync += [opened.bit_select(self.ba, 1).eq(1), rows[self.ba].eq(self.a)]
        with m.If(is_precharge):
            m.d.sync += opened.eq(0)
        self._watch(
            m, opened, starts, is_active, is_refresh, is_mode, is_precharge, command, driving, busy & now_writing
        )
        return m

    def _watch(self, m, opened, starts, is_active, is_refresh, is_mode, is_precharge, command, driving, writes) -> None:
        since_active, since_refresh, since_write = Signal(8, init=255), Signal(16), Signal(4, init=15)
        ready, refreshed = Signal(), Signal(2)
        with m.If(is_active):
            m.d.sync += since_active.eq(1)
        with m.Elif(since_active != 255):
            m.d.sync += since_active.eq(since_active + 1)
        with m.If(writes):
            m.d.sync += since_write.eq(1)
        with m.Elif(since_write != 15):
            m.d.sync += since_write.eq(since_write + 1)
        with m.If(is_refresh):
            m.d.sync += [since_refresh.eq(0), refreshed.eq(refreshed | 1 | refreshed << 1)]
        with m.Elif(ready & (since_refresh != 0xFFFF)):
            m.d.sync += since_refresh.eq(since_refresh + 1)
        with m.If(is_mode & (self.a == MODE) & (refreshed == 3)):
            m.d.sync += ready.eq(1)
        broken = (
            starts & ~opened.bit_select(self.ba, 1),
            is_active & opened.bit_select(self.ba, 1),
            is_refresh & opened.any(),
            starts & (since_active < 2),
            self.dq_enable & driving,
            since_refresh > int(7.9e-6 * CLOCK_HZ),
            (starts | is_active) & ~ready,
            is_precharge & (since_write < 2),
        )
        for k, rule in enumerate(broken):
            with m.If(rule):
                m.d.sync += self.violations[k].eq(1)


class Bench(wiring.Component):
    """The system, the SDRAM's model, and the far end of the line."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({"host": In(axi4_lite(ADDRESS_BITS)), "mem": Out(axi4(replace(config, axi_data_bits=64)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.system = system = System(self._config, CLOCK_HZ, DIVISOR, power_up_seconds=1e-6, silence=SILENCE)
        m.submodules.sdram = sdram = SdramModel()
        for name, pin in SDRAM_PINS.items():
            inner, outer = getattr(system, name), getattr(sdram, name)
            m.d.comb += outer.eq(inner) if pin.flow is Out else inner.eq(outer)
        m.submodules.port = port = HostPort()
        wiring.connect(m, wiring.flipped(self.host), port.host)
        m.submodules.sent = sent = SyncFIFOBuffered(width=8, depth=FIFO_BYTES)
        m.submodules.got = got = SyncFIFOBuffered(width=8, depth=FIFO_BYTES)
        m.submodules.transmitter = transmitter = UartTransmitter(DIVISOR)
        m.submodules.receiver = receiver = UartReceiver(DIVISOR)
        # So many bytes from now one bit of the line is wrong.
        damage = Signal(16)
        taken = transmitter.valid & transmitter.ready
        flip = (damage == 1) & taken
        m.d.comb += [
            port.ready.eq(1),
            sent.w_data.eq(port.write_data),
            sent.w_en.eq(port.write & (port.write_word == SEND // 4)),
            transmitter.data.eq(sent.r_data ^ (flip << 3)),
            transmitter.valid.eq(sent.r_rdy),
            sent.r_en.eq(taken),
            system.rx.eq(transmitter.tx),
            receiver.rx.eq(system.tx),
            got.w_data.eq(receiver.data),
            got.w_en.eq(receiver.valid),
            got.r_en.eq(port.read & (port.read_word == RECEIVED // 4)),
        ]
        with m.If(port.write & (port.write_word == DAMAGE // 4)):
            m.d.sync += damage.eq(port.write_data)
        with m.Elif((damage != 0) & taken):
            m.d.sync += damage.eq(damage - 1)
        with m.If(port.read), m.Switch(port.read_word):
            with m.Case(RECEIVED // 4):
                m.d.sync += port.read_data.eq(Cat(got.r_data, got.r_rdy))
            with m.Case(LEVEL // 4):
                m.d.sync += port.read_data.eq(got.level | sent.level << 16)
            with m.Case(VIOLATIONS // 4):
                m.d.sync += port.read_data.eq(sdram.violations)
        return m


class SimulatedSerial:
    """The far end of the line, with the methods that the driver uses of pyserial."""

    def __init__(self, hardware: object) -> None:
        self._hardware = hardware
        self.lose_bytes = 0
        self.written = 0

    def write(self, data: bytes) -> int:
        for byte in data:
            if self.lose_bytes:
                self.lose_bytes -= 1
                continue
            self._hardware.write_register(SEND, byte)
        self.written += len(data)
        return len(data)

    def read(self, size: int = 1) -> bytes:
        """Waits while bytes are on their way; gives up after `QUIET` cycles of silence."""
        model = self._hardware._model
        silent = 0
        while silent < QUIET:
            level = self._hardware.read_register(LEVEL)
            if level & 0xFFFF >= size or (level & 0xFFFF and silent > 50 * DIVISOR):
                break
            before = level & 0xFFFF
            model.run_until(LEVEL, 0, 12 * DIVISOR if size < 64 else 100 * DIVISOR)
            after = self._hardware.read_register(LEVEL)
            moving = after >> 16 or (after & 0xFFFF) != before
            silent = 0 if moving else silent + 12 * DIVISOR
        count = min(size, self._hardware.read_register(LEVEL) & 0xFFFF)
        return bytes(self._hardware.read_register(RECEIVED) & 0xFF for _ in range(count))

    def damage(self, byte: int) -> None:
        """Flip a bit of the byte that is sent so many bytes from now."""
        self._hardware.write_register(DAMAGE, byte)

    @property
    def violations(self) -> int:
        """What the controller did that the SDRAM does not allow."""
        return self._hardware.read_register(VIOLATIONS)

    def close(self) -> None:
        """Nothing to do; the bench is closed by whoever opened it."""


def noise(rng: np.random.Generator, nbytes: int) -> bytes:
    """Random bytes."""
    return rng.integers(0, 256, nbytes, np.uint8).tobytes()
