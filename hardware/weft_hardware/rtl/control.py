"""Control and status: registers, launch, counters, faults, watchdog, reset, interrupt, and the end of a program."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Memory
from ..registers import (
    ADDRESS_BITS,
    BY_NAME,
    DRAIN_LIMIT_INITIAL,
    IDENTITY_VALUE,
    REGISTERS,
    WINDOW_ROWS,
    Access,
    Activity,
    Cause,
    Control,
    Interrupt,
    ModuleState,
    Unit,
)
from .axi import axi4_lite
from .counters import COUNTER_BITS, SPAN_BITS, ActivityCounters
from .host import HostPort
from .signatures import effort_port, fault_port, status_port, window_port
from .windows import WindowTable

MODULES = ("load", "compute", "store")
TOKEN_QUEUES = ("load_compute", "compute_load", "compute_store", "store_compute")
UNITS = ("load", "compute", "store", "fetch")

QUIET_CYCLES = 16
"""Cycles without any progress after which a program counts as hung; more than any unit takes between two steps."""

_IN_TABLE = tuple(f"{name}_{end}" for name in WINDOW_ROWS for end in ("FIRST", "LAST"))


class ControlUnit(wiring.Component):
    """The host's side of the engine.

    A launch takes effect when ``start`` pulses. The engine is then busy until *done* (a FINISH was executed, everything
    fetched, retired and drained), or until a fault, which only a reset clears. A fault other than a deadlock, and a
    soft reset, raise ``stop`` until ``clear``: the memory port asks for nothing more and finishes what it asked for.
    A soft reset pulses ``clear`` once the port is empty, or gives up after DRAIN_LIMIT cycles.
    Base, window and address registers have as many bits as the memory port's addresses; the others read as zero. So do
    words without a register; writing them does nothing.

    Attributes
    ----------
    host : In(axi4_lite)
    irq : Out(1)
        A bit of IRQ_STATUS is set that IRQ_ENABLE has too.
    start : Out(1)
        Pulse: clear the tokens, begin to fetch.
    clear : Out(1)
        Pulse: reset every other unit.
    stop : Out(1)
        A fault is latched, or a reset goes on: nothing new may begin, and the memory port gets empty. Not after a hang,
        where nothing can begin, so that the modules' states go on telling what they wait for.
    insn_count, insn_address, base_<memory> : Out
    window_<unit> : In(window_port)
    status_<module> : In(status_port)
    effort_<module> : In(effort_port)
    fault_<unit> : In(fault_port)
    failed_<unit>, failed_address_<unit> : In
        The unit's first burst that the memory answered with an error; its address replaces the fault's value.
    tokens_<queue> : In(32)
    fetch_done, fetch_waiting : In(1)
        Everything is dispatched; an instruction waits for space in its queue.
    fetch_left : In(32)
        Instructions not fetched.
    finished : In(1)
        Pulse: FINISH was executed.
    compute_busy, memory_busy : In(1)
        Results are on their way; bursts are, or are about to be.
    reads_missing, writes_missing : In(1)
        The bus owes an answer.
    bus_moves : In(1)
        A transfer on any channel of the memory port.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        address_bits = config.axi_addr_bits
        inputs = ("fetch_done", "fetch_waiting", "finished", "compute_busy", "memory_busy")
        inputs += ("reads_missing", "writes_missing", "bus_moves")
        members: dict[str, In | Out] = {
            "host": In(axi4_lite(ADDRESS_BITS)),
            "irq": Out(1),
            "start": Out(1),
            "clear": Out(1),
            "stop": Out(1),
            "insn_count": Out(32),
            "insn_address": Out(address_bits),
            "fetch_left": In(32),
            **{name: In(1) for name in inputs},
        }
        members |= {f"base_{memory.name.lower()}": Out(address_bits) for memory in Memory}
        members |= {f"status_{module}": In(status_port()) for module in MODULES}
        members |= {f"effort_{module}": In(effort_port()) for module in MODULES}
        members |= {f"tokens_{queue}": In(32) for queue in TOKEN_QUEUES}
        for unit in UNITS:
            members[f"window_{unit}"] = In(window_port(config))
            members[f"fault_{unit}"] = In(fault_port())
            members[f"failed_{unit}"] = In(1)
            members[f"failed_address_{unit}"] = In(address_bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._busy, self._done, self._finished = Signal(), Signal(), Signal()
        self._raised, self._stopped, self._resetting = Signal(), Signal(), Signal()
        self._fault, self._fault_index, self._fault_value = Signal(16), Signal(32), Signal(64)
        self._irq_status = Signal(len(Interrupt))
        # A fault was raised in the cycle before; how long something is waited for, and whether that is long enough.
        self._raising, self._waited, self._waited_enough = Signal(), Signal(32), Signal()
        self._cycles, self._counted = Signal(COUNTER_BITS), Signal()
        self._retired = {module: getattr(self, f"status_{module}").retired for module in MODULES}

        m.submodules.port = port = HostPort()
        m.submodules.windows = windows = WindowTable(self._config, UNITS)
        wiring.connect(m, wiring.flipped(self.host), port.host)
        for unit in UNITS:
            wiring.connect(m, wiring.flipped(getattr(self, f"window_{unit}")), getattr(windows, f"port_{unit}"))
        self._stored = self._storage(m, port)
        counters = self._count_activities(m)
        self._serve_writes(m, port, windows)
        self._serve_reads(m, port, windows, counters)

        commands = self._commands(m, port)
        # A launch while the engine is busy, at fault or being reset is ignored.
        m.d.sync += self.start.eq((commands == Control.START) & ~self._busy & ~self._raised & ~self._resetting)
        # A cycle late, beside the modules' activities, which are registered.
        m.d.sync += self._counted.eq(self._busy & ~self.start)
        with m.If(self.start):
            m.d.sync += [self._busy.eq(1), self._done.eq(0), self._finished.eq(0), self._cycles.eq(0)]
        with m.Elif(self._counted):
            m.d.sync += self._cycles.eq(self._cycles + 1)
        with m.If(self._busy & self.finished):
            m.d.sync += self._finished.eq(1)
        m.d.comb += self.stop.eq(self._stopped | self._resetting)
        m.d.sync += self.irq.eq((self._irq_status & self._stored["IRQ_ENABLE"]).any())
        self._watch(m)
        self._reset(m, commands[1])
        return m

    # Registers ------------------------------------------------------------------------------------------------

    def _storage(self, m: Module, port: HostPort) -> dict[str, Signal]:
        """What the host writes, the windows apart: one signal a register, no wider than what it drives."""
        high_bits = self._config.axi_addr_bits - 32
        widths, initial = {"IRQ_ENABLE": len(Interrupt)}, {"DRAIN_LIMIT": DRAIN_LIMIT_INITIAL}
        stored: dict[str, Signal] = {}
        for register in REGISTERS:
            name = register.name
            if register.writable and name != "CONTROL" and not name.startswith(_IN_TABLE):
                width = widths.get(name, high_bits if name.endswith("_HI") else 32)
                stored[name] = Signal(width, init=initial.get(name, 0), name=name.lower())
        m.d.comb += [
            self.insn_count.eq(stored["INSN_COUNT"]),
            self.insn_address.eq(Cat(stored["INSN_ADDR_LO"], stored["INSN_ADDR_HI"])),
        ]
        for memory in Memory:
            base = getattr(self, f"base_{memory.name.lower()}")
            m.d.comb += base.eq(Cat(stored[f"{memory.name}_BASE_LO"], stored[f"{memory.name}_BASE_HI"]))
        for name, value in stored.items():
            written = port.write & (port.write_word == BY_NAME[name].offset // 4)
            for k, strobe in enumerate(port.write_strobe):
                with m.If(written & strobe):
                    m.d.sync += value[8 * k : 8 * k + 8].eq(port.write_data[8 * k : 8 * k + 8])
        return stored

    def _mask(self, port: HostPort) -> Value:
        return Cat(strobe.replicate(8) for strobe in port.write_strobe)

    def _commands(self, m: Module, port: HostPort) -> Signal:
        """The bits of CONTROL that are written now."""
        commands = Signal(len(Control))
        with m.If(port.write & (port.write_word == BY_NAME["CONTROL"].offset // 4)):
            m.d.comb += commands.eq(port.write_data & self._mask(port))
        return commands

    def _readable(self) -> dict[str, Value]:
        """What the registers read as, windows, counters and the upper halves of pairs apart."""
        values: dict[str, Value] = {
            "IDENTITY": Const(IDENTITY_VALUE, 32),
            "CONFIG_DIGEST": Const(int(self._config.digest[:8], 16), 32),
            "CONTROL": Const(0, 32),
            "STATUS": Cat(self._busy, self._done, self._raised, self._resetting),
            "IRQ_STATUS": self._irq_status,
            "CYCLES_LO": self._cycles[:32],
            "FAULT": self._fault,
            "FAULT_INDEX": self._fault_index,
            "FAULT_VALUE_LO": self._fault_value[:32],
            **self._stored,
        }
        for module in MODULES:
            values[f"{module.upper()}_STATE"] = getattr(self, f"status_{module}").state
            values[f"{module.upper()}_RETIRED"] = self._retired[module]
        for queue in TOKEN_QUEUES:
            values[f"TOKENS_{queue.upper()}"] = getattr(self, f"tokens_{queue}")
        return values

    def _serve_writes(self, m: Module, port: HostPort, windows: WindowTable) -> None:
        """Windows and IRQ_STATUS. Writes to a read-only register do nothing."""
        m.d.comb += [
            port.ready.eq(windows.ready),
            windows.write.eq(port.write & _in_windows(port.write_word)),
            windows.write_word.eq(port.write_word),
            windows.write_data.eq(port.write_data),
            windows.write_strobe.eq(port.write_strobe),
        ]
        with m.If(port.write & (port.write_word == BY_NAME["IRQ_STATUS"].offset // 4)):
            m.d.sync += self._irq_status.eq(self._irq_status & ~(port.write_data & self._mask(port)))

    def _serve_reads(
        self, m: Module, port: HostPort, windows: WindowTable, counters: dict[str, ActivityCounters]
    ) -> None:
        value, upper = Signal(32), Signal(32)
        window_read, counter_read, counter_module = Signal(), Signal(), Signal(2)
        word = port.read_word
        uppers = {"CYCLES_LO": self._cycles[32:], "FAULT_VALUE_LO": self._fault_value[32:]}
        values = self._readable()
        with m.If(port.read):
            m.d.sync += [
                value.eq(0),
                window_read.eq(_in_windows(word)),
                counter_read.eq(_is_counter(word)),
                counter_module.eq(word[4:6]),
            ]
            with m.Switch(word):
                for name, register in BY_NAME.items():
                    with m.Case(register.offset // 4):
                        if name in values:
                            m.d.sync += value.eq(values[name])
                        elif name.endswith("_HI") and BY_NAME[name[:-2] + "LO"].access is Access.LATCH:
                            m.d.sync += value.eq(upper)
                        if name in uppers:
                            m.d.sync += upper.eq(uppers[name])
        m.d.comb += [windows.read.eq(port.read & _in_windows(word)), windows.read_word.eq(word)]

        counted, valid = Signal(COUNTER_BITS), Signal()
        with m.Switch(counter_module):
            for k, module in enumerate(MODULES):
                chosen = port.read & _is_counter(word) & (word[4:6] == k)
                m.d.comb += [counters[module].read.eq(chosen), counters[module].read_activity.eq(word[1:4])]
                with m.Case(k):
                    m.d.comb += [counted.eq(counters[module].value), valid.eq(counters[module].valid)]
        arrived = Signal()
        m.d.sync += arrived.eq(port.read & _is_counter(word))
        with m.If(arrived):
            m.d.sync += upper.eq(Mux(valid, counted[32:], 0))
        lower = Mux(counter_read, Mux(valid, counted[:32], 0), value)
        m.d.comb += port.read_data.eq(Mux(window_read, windows.read_data, lower))

    # What the modules do --------------------------------------------------------------------------------------

    def _count_activities(self, m: Module) -> dict[str, ActivityCounters]:
        counters: dict[str, ActivityCounters] = {}
        for module in MODULES:
            m.submodules[f"counters_{module}"] = counters[module] = counter = ActivityCounters()
            status, effort = getattr(self, f"status_{module}"), getattr(self, f"effort_{module}")
            running = Mux(effort.waits_bank, Activity.HAZARD, Activity.BUSY)
            running = Mux(effort.waits_memory, Activity.MEMORY, running)
            with m.Switch(status.state):
                with m.Case(ModuleState.IDLE):
                    m.d.sync += counter.activity.eq(Mux(self.fetch_done, Activity.IDLE, Activity.QUEUE))
                with m.Case(ModuleState.BUSY):
                    m.d.sync += counter.activity.eq(running)
                with m.Default():
                    m.d.sync += counter.activity.eq(Activity.TOKEN)
            m.d.comb += [
                counter.clear.eq(self.start),
                counter.counted.eq(self._counted),
                counter.now.eq(self._cycles[:SPAN_BITS]),
            ]
        return counters

    # The end of a program -------------------------------------------------------------------------------------

    def _watch(self, m: Module) -> None:
        """Tell done, a missing FINISH, a hang and a fault."""
        states = [getattr(self, f"status_{module}").state for module in MODULES]
        all_retired = Signal()
        # A cycle old, which is safe because the sum only rises while the engine is busy.
        m.d.sync += all_retired.eq((sum(self._retired.values()) == self.insn_count) & self._busy)
        idle = Cat(state == ModuleState.IDLE for state in states).all()
        drained = self.fetch_done & idle & ~self.compute_busy & ~self.memory_busy
        running = Signal()
        m.d.comb += running.eq(self._busy & ~self.start)
        self._describe(m)

        moving = Cat(state == ModuleState.BUSY for state in states).any() | self.memory_busy
        stuck = Signal()
        m.d.sync += stuck.eq(~moving & (self.fetch_done | self.fetch_waiting))
        quiet = Signal(range(QUIET_CYCLES + 1))
        m.d.sync += quiet.eq(Mux(running & stuck & (quiet != QUIET_CYCLES), quiet + 1, 0))
        expired = self._watchdog(m, running)

        with m.If(running):
            with m.If(all_retired & drained & self._finished):
                m.d.sync += [self._done.eq(1), self._busy.eq(0)]
                self._interrupt(m, Interrupt.DONE)
            # The assignment that comes last wins: a unit's fault goes before a hang, load's before compute's.
            with m.If(quiet == QUIET_CYCLES):
                self._latch(m, Mux(all_retired, Cause.NO_FINISH, Cause.DEADLOCK), Unit.ENGINE)
            # The watchdog blames the first module that runs an instruction, or else fetch.
            for unit in reversed(UNITS):
                blamed = True if unit == "fetch" else getattr(self, f"status_{unit}").state == ModuleState.BUSY
                with m.If(expired & blamed):
                    self._latch(m, Cause.WATCHDOG, Unit[unit.upper()])
            for unit in reversed(UNITS):
                fault = getattr(self, f"fault_{unit}")
                with m.If(fault.raised):
                    self._latch(m, fault.cause, Unit[unit.upper()])

    def _watchdog(self, m: Module, running: Value) -> Value:
        """Whether nothing moved for WATCHDOG cycles."""
        limit = Mux(self._resetting, self._stored["DRAIN_LIMIT"], self._stored["WATCHDOG"])
        # Each is known late in its cycle, and they come from everywhere: they are gathered in the next one.
        moved = Signal(len(MODULES) + 1)
        m.d.sync += moved.eq(Cat(*(getattr(self, f"effort_{module}").moves for module in MODULES), self.bus_moves))
        expired = Signal()
        # A program and a reset never wait at the same time.
        with m.If(self._resetting | (running & ~moved.any())):
            m.d.sync += self._waited.eq(self._waited + 1)
        with m.Else():
            m.d.sync += self._waited.eq(0)
        m.d.comb += self._waited_enough.eq(self._waited == limit)
        m.d.sync += expired.eq(self._waited_enough & (self._stored["WATCHDOG"] != 0) & ~self._resetting)
        return expired

    def _latch(self, m: Module, cause: Value | Cause, unit: Unit) -> None:
        m.d.sync += [
            self._raised.eq(1),
            self._stopped.eq(cause != Cause.DEADLOCK),
            self._busy.eq(0),
            self._fault[:8].eq(cause),
            self._fault[8:].eq(unit),
            self._raising.eq(1),
        ]
        self._interrupt(m, Interrupt.FAULT)

    def _describe(self, m: Module) -> None:
        """Keep index and value of a fault in the cycle after it was raised: units hold them, and its unit is known."""
        cause, unit = self._fault[:8], self._fault[8:10]
        of_engine = self._fault[10]

        def chosen(name: str) -> Value:
            return Cat(Cat(getattr(self, f"{name}_{u}"), Const(0, 64))[:64] for u in UNITS).word_select(unit, 64)

        index = [*self._retired.values(), (self.insn_count - self.fetch_left)[:32]]
        failed = Cat(getattr(self, f"failed_{u}") for u in UNITS).bit_select(unit, 1)
        values = Cat(getattr(self, f"fault_{u}").value for u in UNITS).word_select(unit, 64)
        m.d.sync += self._raising.eq(0)
        with m.If(self._raising):
            m.d.sync += self._fault_index.eq(
                Mux(of_engine, sum(self._retired.values()), Cat(index).word_select(unit, 32))
            )
            with m.Switch(cause):
                with m.Case(Cause.DEADLOCK, Cause.NO_FINISH):
                    m.d.sync += self._fault_value.eq(0)
                with m.Case(Cause.BUS_HUNG):
                    m.d.sync += self._fault_value.eq(Cat(self.reads_missing, self.writes_missing))
                with m.Case(Cause.WATCHDOG):
                    m.d.sync += self._fault_value.eq(self._stored["WATCHDOG"])
                with m.Default():
                    m.d.sync += self._fault_value.eq(
                        Mux((cause == Cause.BUS_ERROR) & failed, chosen("failed_address"), values)
                    )

    def _interrupt(self, m: Module, bit: Interrupt) -> None:
        m.d.sync += self._irq_status[bit.bit_length() - 1].eq(1)

    def _reset(self, m: Module, requested: Value) -> None:
        """A soft reset: wait for the bus, then clear everything; it goes before whatever else happens."""
        missing = Cat(self.reads_missing, self.writes_missing)
        with m.If(self.clear):
            m.d.sync += [
                self.clear.eq(0),
                self._resetting.eq(0),
                self._raised.eq(0),
                self._stopped.eq(0),
                self._fault.eq(0),
                self._fault_index.eq(0),
                self._fault_value.eq(0),
            ]
        with m.Elif(self._resetting):
            with m.If(~missing.any()):
                m.d.sync += self.clear.eq(1)
            with m.Elif(self._waited_enough):
                m.d.sync += self._resetting.eq(0)
                self._latch(m, Cause.BUS_HUNG, Unit.ENGINE)
        with m.Elif(requested):
            m.d.sync += [
                self._resetting.eq(1),
                self._busy.eq(0),
                self._done.eq(0),
                self._waited.eq(0),
            ]


def _in_windows(word: Value) -> Value:
    """Whether a word number is one of a window: part, row (4 bits), which half of which end."""
    rows = Cat(word[2:6] == row for row in WINDOW_ROWS.values())
    return (word[6:] == BY_NAME["UOP_FIRST_LO"].offset >> 8) & rows.any()


def _is_counter(word: Value) -> Value:
    """Whether a word number is the lower half of a counter: part, module (2 bits), activity (3), half."""
    return word[7] & ~word[0]
