"""The compute module: GEMM, ALU and FINISH, the LOADs of micro-ops and accumulators, and SET of its registers."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Alu, Finish, Gemm, Load, Memory, Opcode, Queue, Set, alu_operations, instruction_bits, loadable
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


class Compute(wiring.Component):
    """Executes the compute queue, one instruction after another as far as anybody can see.

    GEMM and ALU take `sequencer.Sequencer`'s cycles, then `datapath.DATAPATH_LATENCY` to drain. One that pushes no
    token retires when its last step is issued, since nothing can go wrong with it any more: the next GEMM or ALU
    follows it through the pipeline, whose forwarding keeps the order. One that pushes, every LOAD and FINISH wait until
    the pipeline is empty. So a token always says that what came before it can be read. A GEMM of n steps without tokens
    holds the queue's head for n + 6 cycles.

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
    load_tokens, store_tokens : token_port
        The previous and the next neighbour.
    read : read_port
        DRAM, for the LOADs.
    window : window_port
        For them too.
    clear : In(1)
        The queue's registers go back to their initial values.
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
        wiring.connect(m, sequencer.uop, uops.read)
        m.d.comb += [
            loader.base_uop.eq(self.base_uop),
            loader.base_acc.eq(self.base_acc),
            self.effort.waits_memory.eq(loader.effort.waits_memory & ~datapath.busy),
            self.effort.moves.eq(loader.effort.moves | datapath.valid | datapath.busy),
        ]

        word = issue.execute.payload
        self._registers = self._build_registers(m, word)
        self._connect_accumulators(m, loader, datapath)
        self._loops(m, word, sequencer, datapath)
        self._control(m, issue, loader, sequencer, datapath)
        return m

    def _build_registers(self, m: Module, word: Value) -> QueueRegisters | None:
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
        return registers

    def _connect_accumulators(self, m: Module, loader: BlockLoader, datapath: Datapath) -> None:
        """Loaded tiles to the accumulators, those of ACC_8BIT widened on the way."""
        registers = self._registers
        if registers is not None and self.config.pad_value:
            m.d.comb += loader.pad.eq(registers.compute_pad)
        if registers is None or not self.config.widening_load:
            wiring.connect(m, loader.write_acc, datapath.write_acc)
            return
        m.d.comb += loader.base_acc_8bit.eq(self.base_acc_8bit)
        whole, narrow, written = loader.write_acc, loader.write_acc_8bit, datapath.write_acc
        unsigned_reading = registers.widen
        elements = [narrow.tile[k : k + 8] for k in range(0, len(narrow.tile), 8)]
        high = self.config.acc_bits - 8
        widened = Cat(Cat(byte, (byte[-1] & ~unsigned_reading).replicate(high)) for byte in elements)
        m.d.comb += [
            written.enable.eq(whole.enable | narrow.enable),
            written.index.eq(whole.index),
            written.tile.eq(Mux(narrow.enable, widened, whole.tile)),
        ]

    def _loops(self, m: Module, word: Value, sequencer: Sequencer, datapath: Datapath) -> None:
        """Decode what GEMM and ALU have in common and what they do not; the word is stable while it runs."""
        gemm, alu = (instruction_layout(cls, self.config)(word) for cls in (Gemm, Alu))
        is_gemm = gemm.opcode == Opcode.GEMM
        if self.config.gemm_overwrite:
            overwrites = gemm.opcode == Opcode.GEMM_OVERWRITE
            is_gemm |= overwrites
            m.d.comb += [
                sequencer.loops.overwrite.eq(overwrites & ~gemm.reset),
                sequencer.loops.mask.eq(self._registers.overwrite),
            ]
        loops, operation = sequencer.loops, datapath.operation
        for name in ("uop_bgn", "uop_end", "iter_out", "iter_in", "wgt_out", "wgt_in"):
            m.d.comb += loops[name].eq(gemm[name])
        for name in ("dst_out", "dst_in", "src_out", "src_in"):
            m.d.comb += loops[name].eq(Mux(is_gemm, gemm[name], alu[name]))
        m.d.comb += [
            loops.gemm.eq(is_gemm),
            loops.use_src.eq(Mux(is_gemm, ~gemm.reset, ~alu.use_imm)),
            operation.gemm.eq(is_gemm),
            operation.reset.eq(gemm.reset),
            operation.alu_op.eq(alu.alu_op),
            operation.use_imm.eq(alu.use_imm),
            operation.immediate.eq(alu.imm),
            datapath.valid.eq(sequencer.valid),
            datapath.access.eq(sequencer.access),
        ]

    def _control(self, m: Module, issue: Issue, loader: BlockLoader, sequencer: Sequencer, datapath: Datapath) -> None:
        word = issue.execute.payload
        common, load, alu = (instruction_layout(cls, self.config)(word) for cls in (Finish, Load, Alu))
        m.d.comb += [loader.start.payload.as_value().eq(word), self.busy.eq(issue.instruction.valid | datapath.busy)]

        illegal = Signal()
        with m.If(illegal):
            m.d.sync += [self.fault.raised.eq(1), self.fault.cause.eq(Cause.ILLEGAL_INSTRUCTION)]
        for part in (sequencer.fault, loader.fault):
            with m.If(part.raised & ~self.fault.raised):
                m.d.sync += [self.fault.raised.eq(1), self.fault.cause.eq(part.cause), self.fault.value.eq(part.value)]

        drained = ~datapath.busy & ~datapath.valid
        pushes = common.push_prev | common.push_next
        with m.FSM():
            with m.State("START"), m.If(issue.execute.valid & ~self.fault.raised), m.Switch(common.opcode):
                with m.Case(Opcode.GEMM, *([Opcode.GEMM_OVERWRITE] if self.config.gemm_overwrite else [])):
                    m.d.comb += [sequencer.start.eq(1), issue.execute.ready.eq(1)]
                    m.next = "STEPS"
                with m.Case(Opcode.ALU):
                    with m.If(~Cat(alu.alu_op == op for op in alu_operations(self.config)).any()):
                        m.d.comb += illegal.eq(1)
                    with m.Else():
                        m.d.comb += [sequencer.start.eq(1), issue.execute.ready.eq(1)]
                        m.next = "STEPS"
                with m.Case(Opcode.LOAD):
                    with m.If(~Cat(load.memory == memory for memory in loader.memories).any()):
                        m.d.comb += illegal.eq(1)
                    with m.Elif(drained):
                        m.d.comb += [loader.start.valid.eq(1), issue.execute.ready.eq(loader.start.ready)]
                        with m.If(loader.start.ready):
                            m.next = "LOAD"
                if self._registers is not None:
                    with m.Case(Opcode.SET):
                        with m.If(~self._registers.legal):
                            m.d.comb += illegal.eq(1)
                        with m.Else():
                            m.d.comb += [self._registers.write.eq(1), issue.execute.ready.eq(1)]
                            m.next = "SET"
                with m.Case(Opcode.FINISH), m.If(drained):
                    m.d.comb += [self.finished.eq(1), issue.execute.ready.eq(1)]
                    m.next = "DRAIN"
                with m.Default():
                    m.d.comb += illegal.eq(1)
            with m.State("STEPS"), m.If(sequencer.done):
                m.d.comb += issue.completed.eq(~pushes)
                m.next = "START"
                with m.If(pushes):
                    m.next = "DRAIN"
            with m.State("SET"), m.If(drained | ~pushes):
                m.d.comb += issue.completed.eq(1)
                m.next = "START"
            with m.State("LOAD"), m.If(loader.done):
                m.d.comb += issue.completed.eq(1)
                m.next = "START"
            with m.State("DRAIN"), m.If(drained):
                m.d.comb += issue.completed.eq(1)
                m.next = "START"
