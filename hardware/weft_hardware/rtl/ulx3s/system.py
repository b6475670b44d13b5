"""Everything on the ULX3S's FPGA but clocks and pads: host link, accelerator, SDRAM."""

from __future__ import annotations

from amaranth import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...config import AcceleratorConfig
from ...serial_link import SILENCE_SECONDS
from ..accelerator import Accelerator
from .bridge import AxiReads, AxiWrites, WordArbiter
from .link import HostLink
from .sdram import SDRAM_PINS, SdramController
from .uart import UartReceiver, UartTransmitter


class System(wiring.Component):
    """The system.

    Parameters
    ----------
    config : AcceleratorConfig
        With a memory port of 64 bits.
    clock_hz : float
    divisor : int
        Clock cycles of a bit on the serial line.
    power_up_seconds : float
        See `SdramController`.
    silence : int, optional
        Clock cycles after which half a request is forgotten; fewer in a simulation.

    Attributes
    ----------
    rx, tx : In(1), Out(1)
        The serial line.
    busy : Out(1)
        For a lamp: a request is being answered.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        clock_hz: float,
        divisor: int,
        power_up_seconds: float = 200e-6,
        silence: int = 0,
    ) -> None:
        assert config.axi_data_bits == 64, config.axi_data_bits
        self._config, self._clock_hz, self._divisor = config, clock_hz, divisor
        self._power_up_seconds = power_up_seconds
        self._silence = silence or int(SILENCE_SECONDS * clock_hz)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1), "irq": Out(1), **SDRAM_PINS})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self._divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(self._divisor)
        m.submodules.link = link = HostLink(self._silence)
        resettable = ResetInserter(link.reset)
        accelerator = Accelerator(self._config)
        reads, writes, arbiter = AxiReads(self._config), AxiWrites(self._config), WordArbiter(3)
        memory = SdramController(self._clock_hz, self._power_up_seconds)
        m.submodules.accelerator = resettable(accelerator)
        m.submodules.reads = resettable(reads)
        m.submodules.writes = resettable(writes)
        m.submodules.arbiter = resettable(arbiter)
        # Never reset: it refreshes what the memory holds. Answers to what was forgotten find nobody.
        m.submodules.memory = memory
        m.d.comb += [
            receiver.rx.eq(self.rx),
            link.rx_data.eq(receiver.data),
            link.rx_valid.eq(receiver.valid),
            transmitter.data.eq(link.tx_data),
            transmitter.valid.eq(link.tx_valid),
            link.tx_ready.eq(transmitter.ready),
            self.tx.eq(transmitter.tx),
            self.busy.eq(link.tx_valid),
            self.irq.eq(accelerator.irq),
            memory.delay.eq(link.delay),
        ]
        wiring.connect(m, link.host, accelerator.host)
        for name, member in accelerator.mem.signature.members.items():
            part = reads if name in reads_of(accelerator) else writes
            source, target = getattr(accelerator.mem, name), getattr(part.axi, name)
            m.d.comb += target.eq(source) if member.flow is Out else source.eq(target)
        wiring.connect(m, reads.port, arbiter.client_0)
        wiring.connect(m, writes.port, arbiter.client_1)
        wiring.connect(m, link.port, arbiter.client_2)
        wiring.connect(m, arbiter.memory, memory.port)
        for name, pin in SDRAM_PINS.items():
            inner, outer = getattr(memory, name), getattr(self, name)
            m.d.comb += outer.eq(inner) if pin.flow is Out else inner.eq(outer)
        return m


def reads_of(accelerator: Accelerator) -> set[str]:
    """The signals of the AR and R channels."""
    return {name for name in accelerator.mem.signature.members if name.startswith(("ar", "r"))}
