"""The store module: STORE of OUT (narrowed by truncation), of ACC (raw) and of ACC_8BIT (requantised), with its tokens.

Where there is an epilogue, the queue also executes SET of its registers and LOAD of its parameters and table
(`requantising`). Instructions run one after another. A STORE's rows are announced while its accumulators are read
ahead; rows that follow each other in DRAM are one range. It is complete when the bus acknowledged its last write.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import LOAD_QUEUES, Memory, Opcode, Queue, Store, instruction_bits, loadable, storable, store_modes
from ..registers import Cause
from .issue import Issue
from .layouts import instruction_layout
from .requantising import RequantisingUnit
from .rows import RowRequester, load_target
from .signatures import acc_read_port, fault_port, read_port, status_port, token_port, window_port, write_port
from .unload import AccumulatorReader, TileSender


def store_loads(config: AcceleratorConfig) -> tuple[Memory, ...]:
    """The memories whose LOAD runs in the store queue."""
    return tuple(sorted(memory for memory in loadable(config) if LOAD_QUEUES.get(memory) is Queue.STORE))


class StoreModule(wiring.Component):
    """Executes the store queue.

    A STORE's first row is announced, and its first accumulator's read requested, 2 and 3 cycles after it was accepted;
    it is complete in the cycle after its last acknowledgement.

    Attributes
    ----------
    clear : In(1)
        A launch: the queue's registers take their initial values.
    instruction : In stream, the queue's head
    retire : Out(1)
    compute_tokens : Out(token_port)
    acc_read : Out(acc_read_port)
    write : Out(write_port)
    window : Out(window_port)
    read : Out(read_port)
        There with an epilogue only.
    base_<name> : In(axi_addr_bits)
        Byte address of tile 0, a multiple of 64, of each memory of `storable` and `store_loads`.
    fault : Out(fault_port)
        ILLEGAL_INSTRUCTION; SCRATCHPAD_RANGE with the first index outside, accumulators before parameters, before
        anything is written; WINDOW with the first address outside the memory's; BUS_ERROR with 0 when the memory
        answered an error.
    status : Out(status_port)
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._layout = instruction_layout(Store, config)
        self._memories = sorted({*storable(config), *store_loads(config)})
        members: dict[str, In | Out] = {
            "clear": In(1),
            "instruction": In(stream.Signature(unsigned(instruction_bits(config)))),
            "retire": Out(1),
            "compute_tokens": Out(token_port()),
            "acc_read": Out(acc_read_port(config)),
            "write": Out(write_port(config)),
            "window": Out(window_port(config)),
            "fault": Out(fault_port()),
            "status": Out(status_port()),
        }
        members |= {f"base_{memory.name.lower()}": In(config.axi_addr_bits) for memory in self._memories}
        if config.epilogue_lanes:
            members["read"] = Out(read_port(config))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.issue = self._issue = issue = Issue(config, has_prev=True, has_next=False)
        wiring.connect(m, wiring.flipped(self.instruction), issue.instruction)
        wiring.connect(m, wiring.flipped(self.compute_tokens), issue.prev)
        wiring.connect(m, wiring.flipped(self.status), issue.status)
        m.d.comb += self.retire.eq(issue.retire)

        targets = [load_target(memory, config) for memory in sorted(storable(config))]
        m.submodules.rows = self._rows = rows = RowRequester(config, targets)
        m.submodules.reader = self._reader = reader = AccumulatorReader(config)
        m.submodules.sender = self._sender = sender = TileSender(config, targets)
        wiring.connect(m, reader.acc_read, wiring.flipped(self.acc_read))
        wiring.connect(m, sender.beats, wiring.flipped(self.write.beats))
        for target in targets:
            base = f"base_{target.memory.name.lower()}"
            m.d.comb += getattr(rows, base).eq(getattr(self, base))

        self._insn, self._running, completed = Signal(self._layout), Signal(), Signal()
        self._begins, refused = Signal(), Signal()
        # A fault of the module's own.
        self._raised, self._cause, self._value = Signal(), Signal.like(self.fault.cause), Signal.like(self.fault.value)
        self._unit = unit = RequantisingUnit(config, store_loads(config)) if config.epilogue_lanes else None
        m.d.comb += completed.eq(self._execute(m, completed) | self._announce(m, refused))
        m.d.comb += issue.completed.eq(completed)
        m.d.comb += [
            rows.blocks.ready.eq(1),
            self._begins.eq(rows.blocks.valid & ~refused),
            reader.start.eq(self._begins),
            reader.index.eq(rows.blocks.payload.index),
            reader.count.eq(rows.blocks.payload.tiles),
            sender.start.eq(self._begins),
            sender.block.eq(rows.blocks.payload),
        ]
        if unit is None:
            wiring.connect(m, rows.window, wiring.flipped(self.window))
            wiring.connect(m, reader.tiles, sender.tiles)
        else:
            m.submodules.requantising = unit
            self._requantise(m, unit, refused)
        self._collect_faults(m, [rows.fault] + ([unit.fault] if unit else []))
        return m

    def _legal(self, m: Module) -> tuple[Value, Value, Value]:
        """Whether the instruction on offer is a legal STORE, LOAD or SET."""
        config, insn = self._config, self._layout(self._issue.execute.payload)

        def named(memories: list[Memory]) -> Value:
            return Cat(Const(0, 1), *(insn.memory == memory for memory in memories)).any()

        pads = Cat(insn.x_pad0, insn.x_pad1, insn.y_pad0, insn.y_pad1)
        lacking = (insn.memory == Memory.ACC_8BIT) & (insn.mode & (~store_modes(config) & 0x3F)).any()
        store = (insn.opcode == Opcode.STORE) & named(sorted(storable(config))) & (pads == 0) & ~lacking
        load = (insn.opcode == Opcode.LOAD) & named(list(store_loads(config)))
        if self._unit is None:
            return store, Const(0, 1), Const(0, 1)
        return store, load, (insn.opcode == Opcode.SET) & self._unit.set_legal

    def _execute(self, m: Module, completed: Value) -> Value:
        """Accept one instruction after another; returns whether the present one is over, STORE apart."""
        execute, rows, unit = self._issue.execute, self._rows, self._unit
        store, load, set_ = self._legal(m)
        offered = self._layout(execute.payload)
        free, accepted, legal, empty = Signal(), Signal(), Signal(), Signal()
        self._storing, loading, instant = Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~self.fault.raised & (~self._running | completed)),
            legal.eq(store | load | set_),
            empty.eq((offered.x_size == 0) | (offered.y_size == 0)),
            execute.ready.eq(free & legal),
            accepted.eq(execute.valid & execute.ready),
            self._running.eq(self._storing | loading | instant),
            rows.start.payload.eq(execute.payload),
            rows.start.valid.eq(accepted & store & ~empty),
            rows.oldest.eq(1),
            rows.stop.eq(self._raised | (unit.fault.raised if unit else 0)),
        ]
        with m.If(free):
            m.d.sync += [
                self._storing.eq(accepted & store & ~empty),
                loading.eq(accepted & load),
                instant.eq(accepted & (set_ | (store & empty))),
            ]
        with m.If(accepted):
            m.d.sync += self._insn.eq(execute.payload)
        with m.If(execute.valid & ~self._running & ~legal):
            self._raise(m, Cause.ILLEGAL_INSTRUCTION, 0)
        if unit is None:
            return instant
        m.d.comb += [
            unit.offered.eq(execute.payload),
            unit.set.eq(accepted & set_),
            unit.accepted.eq(accepted),
            unit.load.eq(accepted & load),
        ]
        return instant | (loading & unit.loaded)

    def _announce(self, m: Module, refused: Value) -> Value:
        """Announce the rows; returns whether all of the present STORE are written and acknowledged."""
        rows, write = self._rows, self.write
        unacknowledged, announced = Signal(17), Signal()
        m.d.comb += [
            write.request.payload.eq(rows.ranges.payload),
            write.request.valid.eq(rows.ranges.valid & ~refused),
            rows.ranges.ready.eq(write.request.ready & ~refused),
            announced.eq(write.request.valid & write.request.ready),
        ]
        with m.If(announced != write.acknowledged):
            m.d.sync += unacknowledged.eq(Mux(announced, unacknowledged + 1, unacknowledged - 1))
        with m.If(write.acknowledged & write.error):
            self._raise(m, Cause.BUS_ERROR, 0)
        # `rows` is ready again when all are announced.
        m.d.comb += rows.ended.eq(self._storing & rows.start.ready & (unacknowledged == 0))
        return rows.ended

    def _requantise(self, m: Module, unit: RequantisingUnit, refused: Value) -> None:
        """Send the tiles of ACC_8BIT through the epilogue."""
        reader, sender, rows = self._reader, self._sender, self._rows
        wiring.connect(m, unit.read, wiring.flipped(self.read))
        wiring.connect(m, unit.results, sender.results)
        requantised = Signal()
        m.d.comb += [
            requantised.eq(self._insn.memory == Memory.ACC_8BIT),
            refused.eq(requantised & unit.outside),
            unit.clear.eq(self.clear),
            unit.insn.eq(self._insn),
            unit.begins.eq(self._begins & requantised),
            unit.tiles.payload.eq(reader.tiles.payload),
            unit.tiles.valid.eq(reader.tiles.valid & requantised),
            sender.tiles.payload.eq(reader.tiles.payload),
            sender.tiles.valid.eq(reader.tiles.valid & ~requantised),
            reader.tiles.ready.eq(Mux(requantised, unit.tiles.ready, sender.tiles.ready)),
        ]
        # A LOAD, or the residual operand's, begins when the window of a STORE was looked at.
        m.d.comb += [
            self.window.read.eq(rows.window.read | unit.window.read),
            self.window.row.eq(Mux(unit.window.read, unit.window.row, rows.window.row)),
        ]
        for port in (rows.window, unit.window):
            m.d.comb += [port.first.eq(self.window.first), port.last.eq(self.window.last)]
        for name in unit.bases:
            m.d.comb += getattr(unit, name).eq(getattr(self, name))
        # Goes before a fault of the window, which `rows` raises in the same cycle.
        with m.If(rows.inside & refused):
            self._raise(m, Cause.SCRATCHPAD_RANGE, unit.first_outside)

    def _raise(self, m: Module, cause: Cause, value: Value | int) -> None:
        with m.If(~self._raised):
            m.d.sync += [self._raised.eq(1), self._cause.eq(cause), self._value.eq(value)]

    def _collect_faults(self, m: Module, others: list[wiring.PureInterface]) -> None:
        """The module's own fault, else the first of the others."""
        m.d.comb += [
            self.fault.raised.eq(self._raised | Cat(other.raised for other in others).any()),
            self.fault.cause.eq(self._cause),
            self.fault.value.eq(self._value),
        ]
        for other in reversed(others):
            with m.If(~self._raised & other.raised):
                m.d.comb += [self.fault.cause.eq(other.cause), self.fault.value.eq(other.value)]
