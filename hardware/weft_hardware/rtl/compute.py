"""The compute module: GEMM, ALU and FINISH, the LOADs of micro-ops and accumulators, and SET of its registers."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Alu, Load, Memory, Opcode, Queue, Set, alu_operations, instruction_bits, loadable
from ..latencies import IN_FLIGHT, STEP_LATENCY, STEP_TO_COMPLETION
from ..registers import Cause
from .block import BlockLoader
from .datapath import Datapath
from .issue import Issue
from .layouts import instruction_layout, uop_layout
from .queue_registers import QueueRegisters, has_registers
from .scratchpad import Scratchpad
from .sequencer import Sequencer
from .signatures import (
    acc_read_port,
    effort_port,
    fault_port,
    read_port,
    scratchpad_write,
    status_port,
    token_port,
    window_port,
)
from .steps import decode_loops

RETIRE_LATENCY = STEP_LATENCY - 1 + STEP_TO_COMPLETION
"""Cycles that a GEMM or ALU instruction takes from being accepted to its retirement, besides one for each beat."""


class Compute(wiring.Component):
    """Executes the compute queue, one instruction after another as far as anybody can see.

    GEMM and ALU follow each other through `sequencer.Sequencer` and `datapath.Datapath` without a gap; forwarding keeps
    their order. Of n steps, or beats, such an instruction retires n + `RETIRE_LATENCY` cycles after it was accepted: so
    early that whoever pops its token can read what it wrote by the time it can read at all. LOAD of micro-ops and
    FINISH wait until all before retired, LOAD of accumulators until the pipeline is empty; GEMM and ALU wait for LOADs.

    An illegal instruction or an index outside raises ``fault``; the instruction never retires, so nothing follows it.

    Parameters
    ----------
    config : AcceleratorConfig
    packed_multipliers : bool
        See `gemm.MacArray`.

    Attributes
    ----------
    instruction : In stream
        The compute queue's head.
    retire : Out(1)
        The oldest instruction taken from it is over.
    load_tokens, store_tokens : token_port
        The previous and the next neighbour.
    read : read_port
        DRAM, for the LOADs.
    window : window_port
        For them too.
    clear : In(1)
        A launch: the queue's registers go back to their initial values.
    base_uop, base_acc, base_acc_8bit : In
        Byte addresses of tile 0.
    write_inp, write_wgt : scratchpad_write
        From the load module.
    acc_read : acc_read_port
        For the store module.
    fault : fault_port
    status : status_port
    effort : effort_port
    finished : Out(1)
        Pulses when FINISH executes.
    busy : Out(1)
        An instruction runs, waits for a token, or has results on their way.
    """

    def __init__(self, config: AcceleratorConfig, packed_multipliers: bool = False) -> None:
        self.config = config
        self.packed_multipliers = packed_multipliers
        super().__init__(
            {
                "instruction": In(stream.Signature(unsigned(instruction_bits(config)))),
                "retire": Out(1),
                "load_tokens": Out(token_port()),
                "store_tokens": Out(token_port()),
                "read": Out(read_port(config)),
                "window": Out(window_port(config)),
                "clear": In(1),
                "base_uop": In(config.axi_addr_bits),
                "base_acc": In(config.axi_addr_bits),
                "base_acc_8bit": In(config.axi_addr_bits),
                "write_inp": In(scratchpad_write(config.inp_index_bits, config.inp_tile_bits)),
                "write_wgt": In(scratchpad_write(config.wgt_index_bits, config.wgt_tile_bits)),
                "acc_read": In(acc_read_port(config)),
                "fault": Out(fault_port()),
                "status": Out(status_port()),
                "effort": Out(effort_port()),
                "finished": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        m.submodules.issue = issue = Issue(config, has_prev=True, has_next=True)
        memories = tuple(memory for memory in (Memory.UOP, Memory.ACC, Memory.ACC_8BIT) if memory in loadable(config))
        m.submodules.loader = loader = BlockLoader(config, memories)
        m.submodules.uops = uops = Scratchpad(config.uop_depth, config.uop_index_bits, uop_layout(config).size)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.datapath = datapath = Datapath(config, self.packed_multipliers)

        wiring.connect(m, wiring.flipped(self.instruction), issue.instruction)
        wiring.connect(m, wiring.flipped(self.load_tokens), issue.prev)
        wiring.connect(m, wiring.flipped(self.store_tokens), issue.next)
        wiring.connect(m, wiring.flipped(self.status), issue.status)
        wiring.connect(m, wiring.flipped(self.read), loader.read)
        wiring.connect(m, wiring.flipped(self.window), loader.window)
        wiring.connect(m, wiring.flipped(self.write_inp), datapath.write_inp)
        wiring.connect(m, wiring.flipped(self.write_wgt), datapath.write_wgt)
        wiring.connect(m, wiring.flipped(self.acc_read), datapath.store)
        wiring.connect(m, loader.write_uop, uops.write)
        wiring.connect(m, loader.write_acc, datapath.write_acc)
        wiring.connect(m, sequencer.uop, uops.read)
        self._registers = registers = self._build_registers(m, issue.execute.payload, loader)
        m.d.comb += [
            loader.base_uop.eq(self.base_uop),
            loader.base_acc.eq(self.base_acc),
            loader.start.payload.as_value().eq(issue.execute.payload),
            loader.oldest.eq(issue.alone),
            datapath.valid.eq(sequencer.valid),
            datapath.access.eq(sequencer.access),
            datapath.operation.eq(sequencer.operation),
            self.retire.eq(issue.retire),
            issue.clear.eq(self.clear),
            self.busy.eq(issue.instruction.valid | issue.running | datapath.busy),
            self.effort.waits_memory.eq(loader.effort.waits_memory & ~datapath.busy),
            self.effort.moves.eq(loader.effort.moves | datapath.valid | datapath.busy),
        ]
        loops, operation = decode_loops(issue.execute.payload, config)
        if registers is not None and config.gemm_overwrite:
            loops["mask"] = registers.overwrite
        m.d.comb += [sequencer.start.payload[name].eq(value) for name, value in loops.items()]
        m.d.comb += [sequencer.start.payload.operation[name].eq(value) for name, value in operation.items()]

        # Instructions whose last step was issued, on their way to the moment at which they count as complete.
        ending = Signal(STEP_TO_COMPLETION)
        m.d.sync += ending.eq(Cat(sequencer.done, ending))
        at_once = self._begin(m, issue, loader, sequencer, ~ending.any(), datapath.busy)
        m.d.comb += issue.completed.eq(ending[-1] | loader.done | at_once)

        # A faulting step comes after the last one of every instruction before; those are still to retire.
        for part, after in ((sequencer.fault, ~ending.any()), (loader.fault, 1)):
            with m.If(part.raised & after & ~self.fault.raised):
                m.d.sync += [self.fault.raised.eq(1), self.fault.cause.eq(part.cause), self.fault.value.eq(part.value)]
        return m

    def _build_registers(self, m: Module, word: Value, loader: BlockLoader) -> QueueRegisters | None:
        """The queue's registers, if any extension has some here; SET writes them where it executes."""
        if not has_registers(self.config, Queue.COMPUTE):
            return None
        m.submodules.registers = registers = QueueRegisters(self.config, Queue.COMPUTE)
        set_ = instruction_layout(Set, self.config)(word)
        m.d.comb += [
            registers.clear.eq(self.clear),
            registers.number.eq(set_.register),
            registers.value.eq(set_.value),
        ]
        if self.config.pad_value:
            m.d.comb += loader.pad.eq(registers.compute_pad)
        if self.config.widening_load:
            m.d.comb += [loader.base_acc_8bit.eq(self.base_acc_8bit), loader.widen.eq(registers.widen)]
        return registers

    def _begin(
        self, m: Module, issue: Issue, loader: BlockLoader, sequencer: Sequencer, retired: Value, writing: Value
    ) -> Signal:
        """Accept an instruction when it may begin; returns the completion of one that is over in the next cycle."""
        word, valid, ready = issue.execute.payload, issue.execute.valid, issue.execute.ready
        load, alu = (instruction_layout(cls, self.config)(word) for cls in (Load, Alu))
        loads = Signal(range(IN_FLIGHT + 1))
        started, at_once, illegal = Signal(), Signal(), Signal()
        # A LOAD is done in the cycle before its last tile is written, and the first step reads its micro-op at once.
        written = Signal()
        m.d.comb += started.eq(loader.start.valid & loader.start.ready)
        m.d.sync += [written.eq(loader.done), loads.eq(loads + started - written), at_once.eq(0)]

        stepped, loaded = ~sequencer.busy & retired & ~sequencer.fault.raised, loads == 0
        settled = stepped & loaded
        with m.If(valid & ~self.fault.raised), m.Switch(load.opcode):
            with m.Case(Opcode.GEMM, *([Opcode.GEMM_OVERWRITE] if self.config.gemm_overwrite else [])):
                m.d.comb += [sequencer.start.valid.eq(loaded), ready.eq(loaded & sequencer.start.ready)]
            with m.Case(Opcode.ALU):
                with m.If(~Cat(alu.alu_op == op for op in alu_operations(self.config)).any()):
                    m.d.comb += illegal.eq(1)
                with m.Else():
                    m.d.comb += [sequencer.start.valid.eq(loaded), ready.eq(loaded & sequencer.start.ready)]
            with m.Case(Opcode.LOAD):
                with m.If(~Cat(load.memory == memory for memory in loader.memories).any()):
                    m.d.comb += illegal.eq(1)
                with m.Elif(load.x_size == 0):
                    m.d.comb += ready.eq(settled)
                    m.d.sync += at_once.eq(settled)
                with m.Else():
                    begin = stepped & ((load.memory == Memory.UOP) | ~writing)
                    m.d.comb += [loader.start.valid.eq(begin), ready.eq(begin & loader.start.ready)]
            if self._registers is not None:
                with m.Case(Opcode.SET):
                    # Without steps, in its place among GEMMs; a LOAD uses registers as long as it runs.
                    with m.If(~self._registers.legal):
                        m.d.comb += illegal.eq(1)
                    with m.Else():
                        m.d.comb += [sequencer.start.valid.eq(loaded), ready.eq(loaded & sequencer.start.ready)]
                    m.d.comb += self._registers.write.eq(ready)
            with m.Case(Opcode.FINISH):
                # What is still being written needs no waiting for: the engine is not done before it is.
                m.d.comb += [ready.eq(settled), self.finished.eq(ready)]
                m.d.sync += at_once.eq(ready)
            with m.Default():
                m.d.comb += illegal.eq(1)
        with m.If(illegal & settled):
            m.d.sync += [self.fault.raised.eq(1), self.fault.cause.eq(Cause.ILLEGAL_INSTRUCTION)]
        return at_once
