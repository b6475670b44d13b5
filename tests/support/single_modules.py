"""Fetch, load, compute and store beside each other, connected to nothing but an AXI bus of their own each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from weft_hardware.config import AcceleratorConfig
from weft_hardware.rtl.axi import axi4, axi4_read
from weft_hardware.rtl.compute import Compute
from weft_hardware.rtl.dma import ReadEngine, WriteEngine
from weft_hardware.rtl.fetch import Fetch
from weft_hardware.rtl.load import LoadModule
from weft_hardware.rtl.store import StoreModule

from .bench import TINY

CONFIG = replace(
    TINY,
    inp_depth=72,
    wgt_depth=40,
    acc_depth=88,
    uop_depth=72,
    max_burst=16,
    pad_value=True,
    widening_load=True,
    gemm_overwrite=True,
    alu_extensions=True,
    epilogue_lanes=1,
    param_depth=5,
    table=True,
    residual=True,
)
"""Every extension; tiles of half a beat (INP, ACC_8BIT, OUT, micro-ops), of two (WGT, ACC), of four (PARAM)."""

MODULES = {"fetch": Fetch, "load": LoadModule, "compute": Compute, "store": StoreModule}


class SingleModules(wiring.Component):
    """One design, and one build of it, for the benches of four modules.

    A module's port ``name`` is ``<module>_name`` here, but for its side of the memory port, which is the AXI bus
    ``<module>_mem``, and for its window, which is not connected: everything is allowed.
    """

    def __init__(self, config: AcceleratorConfig = CONFIG) -> None:
        self.config = config
        self.units: dict[str, Any] = {name: module(config) for name, module in MODULES.items()}
        members: dict[str, In | Out] = {}
        for name, unit in self.units.items():
            bus = axi4(config) if "write" in unit.signature.members else axi4_read(config)
            members[f"{name}_mem"] = Out(bus)
            members |= {f"{name}_{port}": member for port, member in self._direct(unit)}
        super().__init__(members)

    @staticmethod
    def _direct(unit: Any) -> list[tuple[str, Any]]:
        return [(n, member) for n, member in unit.signature.members.items() if n not in ("read", "write", "window")]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, unit in self.units.items():
            m.submodules[name] = unit
            for port, member in self._direct(unit):
                outer, inner = getattr(self, f"{name}_{port}"), getattr(unit, port)
                if member.is_signature:
                    wiring.connect(m, wiring.flipped(outer), inner)
                else:
                    m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
            m.submodules[f"{name}_reads"] = reads = ReadEngine(self.config, 1)
            wiring.connect(m, unit.read, reads.client_0)
            buses = [reads.bus]
            if "write" in unit.signature.members:
                m.submodules[f"{name}_writes"] = writes = WriteEngine(self.config)
                wiring.connect(m, unit.write, writes.client)
                buses.append(writes.bus)
            for bus in buses:
                for channel, member in bus.signature.members.items():
                    outer, inner = getattr(getattr(self, f"{name}_mem"), channel), getattr(bus, channel)
                    m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m
