"""The top: fetch, three command queues, three modules, token queues, the memory port and the control registers."""

from __future__ import annotations

from amaranth import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..registers import ADDRESS_BITS
from .axi import axi4, axi4_lite
from .commands import CommandQueue
from .compute import Compute
from .control import ControlUnit
from .dma import ReadEngine, WriteEngine
from .fetch import Fetch
from .load import LoadModule
from .store import StoreModule
from .tokens import TokenQueue

READ_CLIENTS = ("fetch", "load", "compute", "store")
"""Clients of the read engine; the position is the AXI ID. Store reads with an epilogue only."""


class Accelerator(wiring.Component):
    """One accelerator.

    Parameters
    ----------
    config : AcceleratorConfig
    packed_multipliers : bool
        How it is built, which no program sees: two products a multiplier, at the same latency.

    Attributes
    ----------
    host : In(axi4_lite)
        The registers of `weft_hardware.registers`.
    mem : Out(axi4)
        DRAM.
    irq : Out(1)
        Level; see `registers.Interrupt`.
    """

    def __init__(self, config: AcceleratorConfig, packed_multipliers: bool = False) -> None:
        self._config = config
        self._packed_multipliers = packed_multipliers
        super().__init__({"host": In(axi4_lite(ADDRESS_BITS)), "mem": Out(axi4(config)), "irq": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.control = self._control = control = ControlUnit(config)
        # A soft reset is a reset of everything but the host's registers.
        self._resettable = resettable = ResetInserter(control.clear)
        fetch, load, store = Fetch(config), LoadModule(config), StoreModule(config)
        compute = Compute(config, self._packed_multipliers)
        m.submodules.fetch = resettable(fetch)
        m.submodules.load = resettable(load)
        m.submodules.compute = resettable(compute)
        m.submodules.store = resettable(store)
        wiring.connect(m, wiring.flipped(self.host), control.host)
        m.d.comb += self.irq.eq(control.irq)
        self._connect_queues(m, fetch, {"load": load, "compute": compute, "store": store})
        self._connect_tokens(m, load, compute, store)
        self._connect_memory(m, {"fetch": fetch, "load": load, "compute": compute, "store": store})
        self._connect_control(m, {"load": load, "compute": compute, "store": store, "fetch": fetch})

        for name, unit in (("load", load), ("compute", compute), ("store", store), ("fetch", fetch)):
            wiring.connect(m, unit.window, getattr(control, f"window_{name}"))
        wiring.connect(m, load.write_inp, compute.write_inp)
        wiring.connect(m, load.write_wgt, compute.write_wgt)
        wiring.connect(m, store.acc_read, compute.acc_read)
        for module in (load, compute, store):
            for name in module.signature.members:
                if name.startswith("base_"):
                    m.d.comb += getattr(module, name).eq(getattr(control, name))
        return m

    def _connect_queues(self, m: Module, fetch: Fetch, modules: dict[str, wiring.Component]) -> None:
        """Fetch to the command queues, and those to their modules, which get nothing more after a fault."""
        for name, module in modules.items():
            queue = CommandQueue(self._config)
            m.submodules[f"queue_{name}"] = self._resettable(queue)
            wiring.connect(m, getattr(fetch, name), queue.dispatch)
            wiring.connect(m, queue.instruction, module.instruction)
            m.d.comb += [queue.retire.eq(module.retire), queue.stop.eq(self._control.stop)]

    def _connect_tokens(self, m: Module, load: LoadModule, compute: Compute, store: StoreModule) -> None:
        ends = {
            "load_compute": (load.compute_tokens, compute.load_tokens),
            "compute_load": (compute.load_tokens, load.compute_tokens),
            "compute_store": (compute.store_tokens, store.compute_tokens),
            "store_compute": (store.compute_tokens, compute.store_tokens),
        }
        for name, (giver, taker) in ends.items():
            queue = TokenQueue(self._config.token_queue_depth)
            m.submodules[f"tokens_{name}"] = self._resettable(queue)
            wiring.connect(m, giver.push, queue.push)
            wiring.connect(m, queue.pop, taker.pop)
            m.d.comb += [
                giver.room.eq(queue.room),
                queue.clear.eq(self._control.start),
                getattr(self._control, f"tokens_{name}").eq(queue.level),
            ]

    def _connect_memory(self, m: Module, units: dict[str, wiring.Component]) -> None:
        config, control = self._config, self._control
        clients = [name for name in READ_CLIENTS if "read" in units[name].signature.members]
        reads, writes = ReadEngine(config, len(clients)), WriteEngine(config)
        m.submodules.reads = self._resettable(reads)
        m.submodules.writes = self._resettable(writes)
        wiring.connect(m, units["store"].write, writes.client)
        m.d.comb += [
            control.failed_store.eq(writes.failed),
            control.failed_address_store.eq(writes.failed_address),
            control.memory_busy.eq(reads.busy | writes.busy),
            control.reads_missing.eq(reads.missing),
            control.writes_missing.eq(writes.missing),
            control.bus_moves.eq(reads.moves | writes.moves),
            reads.stop.eq(control.stop),
            writes.stop.eq(control.stop),
        ]
        for n, name in enumerate(clients):
            wiring.connect(m, units[name].read, getattr(reads, f"client_{n}"))
            # Of a read and a write of store that fail in one instruction, the read is named.
            failed = getattr(reads, f"failed_{n}")
            with m.If(failed):
                m.d.comb += [
                    getattr(control, f"failed_{name}").eq(1),
                    getattr(control, f"failed_address_{name}").eq(getattr(reads, f"failed_address_{n}")),
                ]
        for bus in (reads.bus, writes.bus):
            for name, member in bus.signature.members.items():
                port, inner = getattr(self.mem, name), getattr(bus, name)
                m.d.comb += port.eq(inner) if member.flow is Out else inner.eq(port)

    def _connect_control(self, m: Module, units: dict[str, wiring.Component]) -> None:
        control, fetch, compute = self._control, units["fetch"], units["compute"]
        for name, unit in units.items():
            wiring.connect(m, unit.fault, getattr(control, f"fault_{name}"))
            if name != "fetch":
                wiring.connect(m, unit.status, getattr(control, f"status_{name}"))
                wiring.connect(m, unit.effort, getattr(control, f"effort_{name}"))
        m.d.comb += [
            fetch.start.eq(control.start),
            units["store"].clear.eq(control.start),
            fetch.address.eq(control.insn_address),
            fetch.count.eq(control.insn_count),
            control.fetch_left.eq(fetch.left),
            units["load"].clear.eq(control.start),
            compute.clear.eq(control.start),
            control.fetch_done.eq(fetch.done),
            control.fetch_waiting.eq(fetch.waiting),
            control.finished.eq(compute.finished),
            control.compute_busy.eq(compute.busy),
        ]
