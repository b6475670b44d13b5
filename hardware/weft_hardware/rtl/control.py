"""Control and status: the AXI4-Lite registers, launch, cycle counter, faults, the end of a program and hangs."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Memory
from ..registers import (
    ADDRESS_BITS,
    BY_NAME,
    IDENTITY_VALUE,
    REGISTERS,
    Cause,
    Control,
    ModuleState,
    Register,
    Unit,
)
from .axi import axi4_lite
from .signatures import fault_port, status_port

MODULES = ("load", "compute", "store")
TOKEN_QUEUES = ("load_compute", "compute_load", "compute_store", "store_compute")
UNITS = ("load", "compute", "store", "fetch")

QUIET_CYCLES = 16
"""Cycles without any progress after which a program counts as hung; more than any unit takes between two steps."""

OKAY = 0


class ControlUnit(wiring.Component):
    """The host's side of the engine.

    A launch takes effect when ``start`` pulses. The engine is then busy until *done* (a FINISH was executed, everything
    fetched, retired and drained), or until a fault, which only a reset clears. Base and address registers have as
    many bits as the memory port's addresses; the others read as zero.

    Attributes
    ----------
    host : In(axi4_lite)
    start : Out(1)
        Pulse: clear the tokens, begin to fetch.
    stop : Out(1)
        A fault is latched: nothing new may begin. Not after a hang, where nothing can, so that the modules' states
        go on telling what they wait for.
    insn_count, insn_address, base_<memory> : Out
    status_<module> : In(status_port)
    fault_<unit> : In(fault_port)
    failed_<unit>, failed_address_<unit> : In(1), In(32)
        The unit's first burst that the memory answered with an error; its address replaces the fault's value.
    tokens_<queue> : In(32)
    fetch_done, fetch_waiting : In(1)
        Everything is dispatched; an instruction waits for space in its queue.
    finished : In(1)
        Pulse: FINISH was executed.
    compute_busy, memory_busy : In(1)
        Results are on their way; bursts are.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        address_bits = config.axi_addr_bits
        members: dict[str, In | Out] = {
            "host": In(axi4_lite(ADDRESS_BITS)),
            "start": Out(1),
            "stop": Out(1),
            "insn_count": Out(32),
            "insn_address": Out(address_bits),
            "fetch_done": In(1),
            "fetch_waiting": In(1),
            "finished": In(1),
            "compute_busy": In(1),
            "memory_busy": In(1),
        }
        members |= {f"base_{memory.name.lower()}": Out(address_bits) for memory in Memory}
        members |= {f"status_{module}": In(status_port()) for module in MODULES}
        members |= {f"tokens_{queue}": In(32) for queue in TOKEN_QUEUES}
        for unit in UNITS:
            members[f"fault_{unit}"] = In(fault_port())
            members[f"failed_{unit}"] = In(1)
            members[f"failed_address_{unit}"] = In(32)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._busy, self._done, self._finished = Signal(), Signal(), Signal()
        self._raised, self._fault, self._fault_value = Signal(), Signal(16), Signal(32)
        self._cycles = Signal(64)
        self._retired = self._count_retired(m)
        self._stored = self._storage(m)

        launch = self._serve_writes(m)
        self._serve_reads(m)
        # A launch while the engine is busy or at fault is ignored.
        m.d.sync += self.start.eq(launch & ~self._busy & ~self._raised)
        with m.If(self.start):
            m.d.sync += [self._busy.eq(1), self._done.eq(0), self._finished.eq(0), self._cycles.eq(0)]
        with m.Elif(self._busy):
            m.d.sync += self._cycles.eq(self._cycles + 1)
            with m.If(self.finished):
                m.d.sync += self._finished.eq(1)
        m.d.comb += self.stop.eq(self._raised & (self._fault[:8] != Cause.DEADLOCK))
        self._watch(m)
        return m

    # Registers ------------------------------------------------------------------------------------------------

    def _storage(self, m: Module) -> dict[str, Signal]:
        """What the host writes, one signal a register, no wider than what it drives."""
        high_bits = self._config.axi_addr_bits - 32
        stored: dict[str, Signal] = {}
        for register in REGISTERS:
            if register.writable and register.name != "CONTROL":
                width = high_bits if register.name.endswith("_HI") else 32
                stored[register.name] = Signal(width, name=register.name.lower())
        m.d.comb += [
            self.insn_count.eq(stored["INSN_COUNT"]),
            self.insn_address.eq(Cat(stored["INSN_ADDR_LO"], stored["INSN_ADDR_HI"])),
        ]
        for memory in Memory:
            base = getattr(self, f"base_{memory.name.lower()}")
            m.d.comb += base.eq(Cat(stored[f"{memory.name}_BASE_LO"], stored[f"{memory.name}_BASE_HI"]))
        return stored

    def _readable(self, register: Register) -> Value:
        """What a register reads as."""
        name = register.name
        values: dict[str, Value] = {
            "IDENTITY": Const(IDENTITY_VALUE, 32),
            "CONFIG_DIGEST": Const(int(self._config.digest[:8], 16), 32),
            "CONTROL": Const(0, 32),
            "STATUS": Cat(self._busy, self._done, self._raised),
            "CYCLES_LO": self._cycles[:32],
            "CYCLES_HI": self._cycles[32:],
            "FAULT": self._fault,
            "FAULT_VALUE": self._fault_value,
            **self._stored,
        }
        for module in MODULES:
            values[f"{module.upper()}_STATE"] = getattr(self, f"status_{module}").state
            values[f"{module.upper()}_RETIRED"] = self._retired[module]
        for queue in TOKEN_QUEUES:
            values[f"TOKENS_{queue.upper()}"] = getattr(self, f"tokens_{queue}")
        return values[name]

    def _serve_writes(self, m: Module) -> Value:
        """Answer writes, one at a time; returns the launch request. Writes to a read-only register do nothing."""
        host = self.host
        taken, launch = Signal(), Signal()
        m.d.comb += [
            taken.eq(host.awvalid & host.wvalid & ~host.bvalid),
            host.awready.eq(taken),
            host.wready.eq(taken),
            host.bresp.eq(OKAY),
        ]
        with m.If(taken):
            m.d.sync += host.bvalid.eq(1)
        with m.Elif(host.bready):
            m.d.sync += host.bvalid.eq(0)
        mask = Cat(strobe.replicate(8) for strobe in host.wstrb)
        word = host.awaddr[2:]
        for name, stored in self._stored.items():
            with m.If(taken & (word == BY_NAME[name].offset // 4)):
                m.d.sync += stored.eq((stored & ~mask) | (host.wdata & mask))
        control = BY_NAME["CONTROL"].offset // 4
        m.d.comb += launch.eq(taken & (word == control) & ((host.wdata & mask & Control.START) != 0))
        return launch

    def _serve_reads(self, m: Module) -> None:
        host = self.host
        m.d.comb += [host.arready.eq(~host.rvalid), host.rresp.eq(OKAY)]
        with m.If(host.arvalid & host.arready):
            m.d.sync += [host.rvalid.eq(1), host.rdata.eq(0)]
            with m.Switch(host.araddr[2:]):
                for register in REGISTERS:
                    with m.Case(register.offset // 4):
                        m.d.sync += host.rdata.eq(self._readable(register))
        with m.Elif(host.rready):
            m.d.sync += host.rvalid.eq(0)

    # The end of a program -------------------------------------------------------------------------------------

    def _count_retired(self, m: Module) -> dict[str, Signal]:
        """Instructions retired since the launch: the modules count since reset."""
        retired: dict[str, Signal] = {}
        for module in MODULES:
            total = getattr(self, f"status_{module}").retired
            before = Signal(32, name=f"{module}_retired_before")
            retired[module] = Signal(32, name=f"{module}_retired")
            with m.If(self.start):
                m.d.sync += before.eq(total)
            m.d.comb += retired[module].eq(total - before)
        return retired

    def _watch(self, m: Module) -> None:
        """Tell done, a missing FINISH, a hang and a fault."""
        states = [getattr(self, f"status_{module}").state for module in MODULES]
        all_retired = Signal()
        # A cycle old, which is safe because the sum only rises while the engine is busy.
        m.d.sync += all_retired.eq((sum(self._retired.values()) == self.insn_count) & self._busy)
        idle = Cat(state == ModuleState.IDLE for state in states).all()
        drained = self.fetch_done & idle & ~self.compute_busy & ~self.memory_busy
        running = Signal()
        m.d.comb += running.eq(self._busy & ~self._raised & ~self.start)

        moving = Cat(state == ModuleState.BUSY for state in states).any() | self.memory_busy
        stuck = ~moving & (self.fetch_done | self.fetch_waiting)
        quiet = Signal(range(QUIET_CYCLES + 1))
        m.d.sync += quiet.eq(Mux(running & stuck & (quiet != QUIET_CYCLES), quiet + 1, 0))

        with m.If(running):
            with m.If(all_retired & drained & self._finished):
                m.d.sync += [self._done.eq(1), self._busy.eq(0)]
            with m.If(quiet == QUIET_CYCLES):
                self._latch(m, Mux(all_retired, Cause.NO_FINISH, Cause.DEADLOCK), Unit.ENGINE, 0)
            # The assignment that comes last wins: a unit's fault goes before a hang, load's before compute's.
            for unit in reversed(UNITS):
                fault = getattr(self, f"fault_{unit}")
                failed, address = getattr(self, f"failed_{unit}"), getattr(self, f"failed_address_{unit}")
                with m.If(fault.raised):
                    value = Mux((fault.cause == Cause.BUS_ERROR) & failed, address, fault.value)
                    self._latch(m, fault.cause, Unit[unit.upper()], value)

    def _latch(self, m: Module, cause: Value, unit: Unit, value: Value | int) -> None:
        m.d.sync += [
            self._raised.eq(1),
            self._busy.eq(0),
            self._fault[:8].eq(cause),
            self._fault[8:].eq(unit),
            self._fault_value.eq(value),
        ]
