"""A top level for timing: every port of the accelerator between registers, on three pins."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from .accelerator import Accelerator
from .verilog import to_rtlil

TOP = "weft_timing"


class RegisteredPorts(wiring.Component):
    """The accelerator, its inputs from a shift register, its outputs registered and then reduced to one bit.

    So place and route see no more pins than a package has, time every path of the accelerator from register to
    register, and can drop nothing of it.

    Attributes
    ----------
    serial : In(1)
        Fills the shift register.
    parity : Out(1)
        Of the registered outputs.
    """

    def __init__(self, config: AcceleratorConfig, packed_multipliers: bool = False) -> None:
        self._accelerator = Accelerator(config, packed_multipliers)
        super().__init__({"serial": In(1), "parity": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accelerator = accelerator = self._accelerator
        ports = list(accelerator.signature.flatten(accelerator))
        inputs = Cat(Value.cast(value) for _, member, value in ports if member.flow is In)
        outputs = Cat(Value.cast(value) for _, member, value in ports if member.flow is Out)
        shifted = Signal(len(inputs), reset_less=True)
        registered = Signal(len(outputs), reset_less=True)
        m.d.comb += inputs.eq(shifted)
        m.d.sync += [
            shifted.eq(Cat(self.serial, shifted)),
            registered.eq(outputs),
            self.parity.eq(registered.xor()),
        ]
        return m


def rtlil_text(config: AcceleratorConfig, packed_multipliers: bool = False) -> str:
    """RTLIL of the accelerator between registers, top module `TOP`; see `verilog.rtlil_text`."""
    return to_rtlil(RegisteredPorts(config, packed_multipliers), TOP)
