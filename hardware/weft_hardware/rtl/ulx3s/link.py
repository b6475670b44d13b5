"""The host link: requests of `weft_hardware.serial_link` from a byte stream, to registers and memory."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ...registers import ADDRESS_BITS as REGISTER_ADDRESS_BITS
from ...serial_link import (
    CRC_INITIAL,
    CRC_POLYNOMIAL,
    DEFAULT_DELAY,
    DELAYS,
    DONE,
    HEADER_BYTES,
    MAX_WORDS,
    READS,
    REFUSED,
    WORD_BYTES,
    WRITES,
    Command,
)
from ..axi import axi4_lite
from .words import WORD_BITS, words

RESET_CYCLES = 16


def _next_crc(crc: Value, byte: Value) -> Value:
    """The CRC after one more byte."""
    bits = [crc[k] for k in range(16)]
    for k in reversed(range(8)):
        feedback = bits[15] ^ byte[k]
        bits = [0, *bits[:15]]
        bits = [bit ^ feedback if CRC_POLYNOMIAL >> n & 1 else bit for n, bit in enumerate(bits)]
    return Cat(*bits)


class HostLink(wiring.Component):
    """Answers one request after another.

    Parameters
    ----------
    silence : int
        Clock cycles of `serial_link.SILENCE_SECONDS`.

    Attributes
    ----------
    rx_data, rx_valid : In
        A byte in each cycle with valid.
    tx_data, tx_valid, tx_ready
        A byte in each cycle with both.
    host : Out(axi4_lite)
        To the accelerator's registers.
    port : Out(words)
        To memory.
    delay : Out(3)
        For `SdramController.delay`.
    reset : Out(1)
        For everything but this link.
    """

    def __init__(self, silence: int) -> None:
        self._silence = silence
        super().__init__(
            {
                "rx_data": In(8),
                "rx_valid": In(1),
                "tx_data": Out(8),
                "tx_valid": Out(1),
                "tx_ready": In(1),
                "host": Out(axi4_lite(REGISTER_ADDRESS_BITS)),
                "port": Out(words()),
                "delay": Out(3, init=DEFAULT_DELAY),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header = Signal(8 * HEADER_BYTES)
        command, sequence, count, address = header[:8], header[8:16], header[16:24], header[24:56]
        crc, position, status = Signal(16, init=CRC_INITIAL), Signal(4), Signal(8)
        word, index, asked = Signal(WORD_BITS), Signal(range(MAX_WORDS + 1)), Signal(range(MAX_WORDS + 1))
        last, known = Signal(8), Signal()
        silence, forgotten = Signal(range(self._silence + 2)), Signal()

        def give_up() -> None:
            """A request that stops in its middle is forgotten."""
            with m.If(forgotten):
                m.d.sync += [position.eq(0), crc.eq(CRC_INITIAL)]
                m.next = "HEADER"

        self._word, self._index, self._asked = word, index, asked
        self._command, self._address, self._count = command, address, count
        m.submodules.buffer = buffer = memory.Memory(shape=WORD_BITS, depth=MAX_WORDS, init=[])
        self._write, self._read = buffer.write_port(), buffer.read_port()
        m.d.comb += [self._write.addr.eq(index), self._write.data.eq(word), self._read.en.eq(1)]
        writes = Cat(command == value for value in WRITES).any()
        reads = Cat(command == value for value in READS).any()
        sends = reads | (command == Command.RESET)
        accepted = (writes | sends) & (count <= MAX_WORDS) & ((count != 0) | (command == Command.RESET))

        with m.FSM() as states:
            with m.State("HEADER"):
                m.d.sync += index.eq(0)
                with m.If(self.rx_valid):
                    m.d.sync += [
                        header.eq(Cat(header[8:], self.rx_data)),
                        crc.eq(_next_crc(crc, self.rx_data)),
                        position.eq(position + 1),
                    ]
                    with m.If(position == HEADER_BYTES - 1):
                        m.d.sync += position.eq(0)
                        m.next = "CHECK"
                give_up()
            with m.State("CHECK"):
                with m.If(writes & accepted):
                    m.next = "WORDS"
                with m.Else():
                    m.next = "CRC"
            with m.State("WORDS"):
                with m.If(self.rx_valid):
                    m.d.sync += [
                        word.eq(Cat(word[8:], self.rx_data)),
                        crc.eq(_next_crc(crc, self.rx_data)),
                        position.eq(position + 1),
                    ]
                    with m.If(position == WORD_BYTES - 1):
                        m.d.sync += position.eq(0)
                        m.next = "KEEP"
                give_up()
            with m.State("KEEP"):
                m.d.comb += self._write.en.eq(1)
                m.d.sync += index.eq(index + 1)
                m.next = "WORDS"
                with m.If(index + 1 == count):
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.sync += [index.eq(0), asked.eq(0)]
                with m.If(self.rx_valid):
                    # Equal bytes leave zeros: the lower byte first, then, rotated, the upper.
                    m.d.sync += [crc.eq(Cat(crc[8:], crc[:8] ^ self.rx_data)), position.eq(position + 1)]
                    with m.If(position == 1):
                        m.d.sync += position.eq(0)
                        m.next = "JUDGE"
                give_up()
            with m.State("JUDGE"):
                m.d.sync += [status.eq(DONE), crc.eq(CRC_INITIAL)]
                repeated = writes & known & (sequence == last)
                with m.If((crc != 0) | ~accepted):
                    m.d.sync += status.eq(REFUSED)
                    m.next = "STATUS"
                with m.Elif(repeated):
                    m.next = "STATUS"
                with m.Else():
                    with m.If(writes):
                        m.d.sync += [last.eq(sequence), known.eq(1)]
                    with m.Switch(command):
                        for value in Command:
                            with m.Case(value):
                                m.next = value.name
            self._execute(m, known)
            with m.State("STATUS"):
                m.d.comb += [self.tx_valid.eq(1), self.tx_data.eq(status)]
                with m.If(self.tx_ready):
                    m.d.sync += [crc.eq(_next_crc(crc, self.tx_data)), index.eq(0)]
                    m.next = "FETCH"
            with m.State("FETCH"):
                # The buffer answers a cycle later.
                m.d.comb += self._read.addr.eq(index)
                m.next = "SEND_CRC"
                with m.If(reads & (status == DONE) & (index != count)):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += [word.eq(self._read.data), index.eq(index + 1)]
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.tx_valid.eq(1), self.tx_data.eq(word[:8])]
                with m.If(self.tx_ready):
                    m.d.sync += [word.eq(word >> 8), crc.eq(_next_crc(crc, self.tx_data)), position.eq(position + 1)]
                    with m.If(position == WORD_BYTES - 1):
                        m.d.sync += position.eq(0)
                        m.next = "FETCH"
            with m.State("SEND_CRC"):
                m.d.comb += [self.tx_valid.eq(1), self.tx_data.eq(Mux(position[0], crc[8:], crc[:8]))]
                with m.If(self.tx_ready):
                    m.d.sync += position.eq(position + 1)
                    with m.If(position == 1):
                        m.d.sync += [position.eq(0), crc.eq(CRC_INITIAL)]
                        m.next = "HEADER"
        receiving = Cat(states.ongoing(name) for name in ("HEADER", "WORDS", "CRC")).any()
        idle = states.ongoing("HEADER") & (position == 0)
        m.d.sync += [
            silence.eq(Mux(receiving & ~idle & ~self.rx_valid & ~forgotten, silence + 1, 0)),
            forgotten.eq(silence == self._silence),
        ]
        return m

    def _execute(self, m: Module, known: Signal) -> None:
        """What each command does; all but a read of memory finish at once or in a few cycles."""
        host, port = self.host, self.port
        index, asked, count, address, word = self._index, self._asked, self._count, self._address, self._word
        left = Signal(range(RESET_CYCLES))
        with m.State(Command.RESET.name):
            m.d.comb += self.reset.eq(1)
            m.d.sync += [left.eq(left + 1), known.eq(0), self.delay.eq(DEFAULT_DELAY)]
            with m.If(left == RESET_CYCLES - 1):
                m.next = "STATUS"
        with m.State(Command.SET_DELAY.name):
            with m.If((word[:3] >= DELAYS[0]) & (word[:3] <= DELAYS[-1])):
                m.d.sync += self.delay.eq(word[:3])
            m.next = "STATUS"
        m.d.comb += [
            host.araddr.eq(address),
            host.awaddr.eq(address),
            host.wdata.eq(word),
            host.wstrb.eq(0xF),
        ]
        with m.State(Command.READ_REGISTER.name):
            m.d.comb += host.arvalid.eq(1)
            with m.If(host.arready):
                m.next = "REGISTER_ANSWER"
        with m.State("REGISTER_ANSWER"):
            m.d.comb += host.rready.eq(1)
            with m.If(host.rvalid):
                m.d.sync += word.eq(host.rdata)
                m.next = "REGISTER_KEEP"
        with m.State("REGISTER_KEEP"):
            m.d.comb += self._write.en.eq(1)
            m.next = "STATUS"
        with m.State(Command.WRITE_REGISTER.name):
            # HostPort takes address and data together.
            m.d.comb += [host.awvalid.eq(1), host.wvalid.eq(1)]
            with m.If(host.awready & host.wready):
                m.next = "REGISTER_WRITTEN"
        with m.State("REGISTER_WRITTEN"):
            m.d.comb += host.bready.eq(1)
            with m.If(host.bvalid):
                m.next = "STATUS"

        m.d.comb += [port.address.eq(address[3:] + asked), port.data.eq(word), port.strobe.eq(-1)]
        with m.State(Command.WRITE_MEMORY.name):
            m.d.comb += self._read.addr.eq(asked)
            m.next = "WRITE_FETCHED"
        with m.State("WRITE_FETCHED"):
            m.d.sync += word.eq(self._read.data)
            m.next = "WRITE_WORD"
        with m.State("WRITE_WORD"):
            m.d.comb += [port.valid.eq(1), port.write.eq(1)]
            with m.If(port.ready):
                m.d.sync += asked.eq(asked + 1)
                m.next = Command.WRITE_MEMORY.name
                with m.If(asked + 1 == count):
                    m.next = "STATUS"
        with m.State(Command.READ_MEMORY.name):
            m.d.comb += port.valid.eq(1)
            with m.If(port.ready):
                m.next = "READ_ANSWER"
        with m.State("READ_ANSWER"), m.If(port.answer):
            m.d.sync += [word.eq(port.answer_data), asked.eq(asked + 1)]
            m.next = "READ_KEEP"
        with m.State("READ_KEEP"):
            m.d.comb += self._write.en.eq(1)
            m.d.sync += index.eq(index + 1)
            m.next = Command.READ_MEMORY.name
            with m.If(asked == count):
                m.next = "STATUS"
