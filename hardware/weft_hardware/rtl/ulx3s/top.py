"""The ULX3S's FPGA: clocks and pads around `System`.

One phase-locked loop makes the system clock and, a quarter of a period later, the SDRAM's: so commands are stable when
the memory looks, and its answers when we do. Which cycle they come in is measured by the driver (`HostLink.delay`).

Source
------
Lattice FPGA-TN-02200 (sysCLOCK), FPGA-TN-02032 (sysIO); Radiona, ulx3s_v20.lpf.
"""

from __future__ import annotations

from amaranth import Cat, ClockDomain, ClockSignal, Const, Elaboratable, Instance, Module, ResetSignal, Signal
from amaranth.back import rtlil
from amaranth.hdl import IOPort
from amaranth.lib.cdc import ResetSynchronizer

from ...config import AcceleratorConfig
from .system import System

TOP = "weft_ulx3s"

INPUT_MHZ = 25
LOOP_DIVISOR = 24
"""25 MHz × 24 = 600 MHz, inside the loop's 400 to 800 MHz."""

PINS: dict[str, tuple[str, ...]] = {
    "clk_25mhz": ("G2",),
    # Seen from the FTDI chip: it sends on txd, which we receive.
    "ftdi_txd": ("M1",),
    "ftdi_rxd": ("L4",),
    "led": ("B2", "C2", "C1", "D2", "D1", "E2", "E1", "H3"),
    # Held high, or the board's ESP32 takes over.
    "wifi_gpio0": ("L2",),
    "sdram_clk": ("F19",),
    "sdram_cke": ("F20",),
    "sdram_csn": ("P20",),
    "sdram_wen": ("T20",),
    "sdram_rasn": ("R20",),
    "sdram_casn": ("T19",),
    "sdram_ba": ("P19", "N20"),
    "sdram_a": ("M20", "M19", "L20", "L19", "K20", "K19", "K18", "J20", "J19", "H20", "N19", "G20", "G19"),
    "sdram_dqm": ("U19", "E20"),
    "sdram_d": (
        *("J16", "L18", "M18", "N18", "P18", "T18", "T17", "U20"),
        *("E19", "D20", "D19", "C20", "E18", "F18", "J18", "J17"),
    ),
}
"""Balls of the CABGA381 package, from bit 0 up."""

BIDIRECTIONAL = ("sdram_d",)


def constraints() -> str:
    """The pins and the oscillator, for nextpnr (``.lpf``)."""
    lines = [f'FREQUENCY PORT "clk_25mhz" {INPUT_MHZ} MHZ;']
    for name, balls in PINS.items():
        fast = " SLEWRATE=FAST DRIVE=4" if name.startswith("sdram") else ""
        for k, ball in enumerate(balls):
            port = name if len(balls) == 1 else f"{name}[{k}]"
            lines.append(f'LOCATE COMP "{port}" SITE "{ball}";')
            lines.append(f'IOBUF PORT "{port}" IO_TYPE=LVCMOS33 PULLMODE=NONE{fast};')
    return "\n".join(lines) + "\n"


class Top(Elaboratable):
    """The top level.

    Parameters
    ----------
    config : AcceleratorConfig
    clock_divisor : int
        Of the 600 MHz loop, at least 8.
    baud : int
    """

    def __init__(self, config: AcceleratorConfig, clock_divisor: int, baud: int) -> None:
        self._divisor = clock_divisor
        clock_hz = INPUT_MHZ * LOOP_DIVISOR / clock_divisor * 1e6
        self._system = System(config, clock_hz, round(clock_hz / baud))
        self.ports = {name: IOPort(len(balls), name=name) for name, balls in PINS.items()}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains += [ClockDomain("sync"), ClockDomain("sdram", reset_less=True)]
        m.submodules.system = system = self._system
        ports = self.ports
        locked = Signal()
        oscillator, loop = Signal(), Signal()
        m.submodules.oscillator = Instance("IB", i_I=ports["clk_25mhz"], o_O=oscillator)
        quarter = self._divisor // 4
        m.submodules.pll = Instance(
            "EHXPLLL",
            p_CLKI_DIV=1,
            p_CLKFB_DIV=1,
            p_FEEDBK_PATH="INT_OS3",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=self._divisor,
            p_CLKOP_CPHASE=self._divisor - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=self._divisor,
            p_CLKOS_CPHASE=self._divisor - 1 + quarter,
            p_CLKOS_FPHASE=8 * (self._divisor % 4) // 4,
            p_CLKOS3_ENABLE="ENABLED",
            p_CLKOS3_DIV=LOOP_DIVISOR,
            p_CLKOS3_CPHASE=LOOP_DIVISOR - 1,
            p_CLKOS3_FPHASE=0,
            a_FREQUENCY_PIN_CLKI=str(INPUT_MHZ),
            i_CLKI=oscillator,
            i_CLKFB=loop,
            o_CLKINTFB=loop,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=ClockSignal("sync"),
            o_CLKOS=ClockSignal("sdram"),
            o_LOCK=locked,
        )
        m.submodules.reset = ResetSynchronizer(~locked, domain="sync")
        sdram_clock = Signal()
        m.submodules.sdram_clock = Instance(
            "ODDRX1F", i_D0=Const(1), i_D1=Const(0), i_SCLK=ClockSignal("sdram"), i_RST=Const(0), o_Q=sdram_clock
        )
        lamps = Signal(8)
        alive = Signal(25)
        m.d.sync += [alive.eq(alive + 1), lamps.eq(Cat(alive[-1], system.busy, ~system.rx, system.irq))]

        m.submodules += Instance("IB", i_I=ports["ftdi_txd"], o_O=system.rx)
        outputs = {
            "ftdi_rxd": system.tx,
            "led": lamps,
            "wifi_gpio0": Const(1),
            "sdram_clk": sdram_clock,
            "sdram_cke": Const(1),
            "sdram_csn": Const(0),
            "sdram_wen": system.we_n,
            "sdram_rasn": system.ras_n,
            "sdram_casn": system.cas_n,
            "sdram_ba": system.ba,
            "sdram_a": system.a,
            "sdram_dqm": system.dqm,
        }
        for name, value in outputs.items():
            for k in range(len(ports[name])):
                m.submodules[f"{name}_{k}"] = Instance("OB", i_I=value[k], o_O=ports[name][k])
        for k in range(16):
            m.submodules[f"sdram_d_{k}"] = Instance(
                "BB", i_I=system.dq_out[k], i_T=~system.dq_enable, o_O=system.dq_in[k], io_B=ports["sdram_d"][k]
            )
        # Looked at by nothing, but reset has to be there before the domain is used.
        m.d.comb += Signal(name="reset_seen").eq(ResetSignal("sync"))
        return m


def top_rtlil(config: AcceleratorConfig, clock_divisor: int, baud: int) -> str:
    """RTLIL of the whole FPGA, top module `TOP`."""
    top = Top(config, clock_divisor, baud)
    return rtlil.convert(top, name=TOP, ports=list(top.ports.values()), emit_src=False)
