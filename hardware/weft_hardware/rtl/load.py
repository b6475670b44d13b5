"""The load module: LOAD of INP and WGT and SET of its registers, with the tokens it exchanges with compute."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Load, Memory, Opcode, Queue, Set, instruction_bits
from ..registers import Cause
from .block import BlockLoader
from .issue import Issue
from .layouts import instruction_layout
from .queue_registers import QueueRegisters, has_registers
from .signatures import effort_port, fault_port, read_port, scratchpad_write, status_port, token_port, window_port


class LoadModule(wiring.Component):
    """Executes the load queue. Its LOADs are of INP and WGT, or fetch would not send them here.

    SET takes 2 cycles, and waits until every LOAD before it has retired.

    Attributes
    ----------
    instruction : In stream, the queue's head
    retire : Out(1)
    compute_tokens : Out(token_port)
    read : Out(read_port)
    window : Out(window_port)
    clear : In(1)
        A launch: the queue's registers go back to their initial values.
    base_inp, base_wgt : In(axi_addr_bits)
    write_inp, write_wgt : Out(scratchpad_write)
    fault : Out(fault_port)
    status : Out(status_port)
    effort : Out(effort_port)
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "instruction": In(stream.Signature(unsigned(instruction_bits(config)))),
                "retire": Out(1),
                "compute_tokens": Out(token_port()),
                "read": Out(read_port(config)),
                "window": Out(window_port(config)),
                "clear": In(1),
                "base_inp": In(config.axi_addr_bits),
                "base_wgt": In(config.axi_addr_bits),
                "write_inp": Out(scratchpad_write(config.inp_index_bits, config.inp_tile_bits)),
                "write_wgt": Out(scratchpad_write(config.wgt_index_bits, config.wgt_tile_bits)),
                "fault": Out(fault_port()),
                "status": Out(status_port()),
                "effort": Out(effort_port()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.issue = issue = Issue(self._config, has_prev=False, has_next=True)
        m.submodules.loader = loader = BlockLoader(self._config, (Memory.INP, Memory.WGT))
        connect = wiring.connect
        connect(m, wiring.flipped(self.instruction), issue.instruction)
        connect(m, wiring.flipped(self.compute_tokens), issue.next)
        connect(m, wiring.flipped(self.status), issue.status)
        connect(m, wiring.flipped(self.read), loader.read)
        connect(m, wiring.flipped(self.window), loader.window)
        connect(m, wiring.flipped(self.effort), loader.effort)
        connect(m, wiring.flipped(self.write_inp), loader.write_inp)
        connect(m, wiring.flipped(self.write_wgt), loader.write_wgt)
        load = instruction_layout(Load, self._config)(issue.execute.payload)
        illegal, is_load = Signal(), load.opcode == Opcode.LOAD
        is_set, was_set = Signal(), Signal()
        if has_registers(self._config, Queue.LOAD):
            m.submodules.registers = registers = QueueRegisters(self._config, Queue.LOAD)
            set_ = instruction_layout(Set, self._config)(issue.execute.payload)
            m.d.comb += [
                registers.clear.eq(self.clear),
                registers.number.eq(set_.register),
                registers.value.eq(set_.value),
                is_set.eq((set_.opcode == Opcode.SET) & registers.legal),
                registers.write.eq(is_set & issue.execute.valid & issue.execute.ready),
                loader.pad.eq(registers.load_pad),
            ]
            m.d.sync += was_set.eq(registers.write)
        with m.If(issue.execute.valid & ~is_load & ~is_set & ~issue.running):
            m.d.sync += illegal.eq(1)
        m.d.comb += [
            self.fault.raised.eq(illegal | loader.fault.raised),
            self.fault.cause.eq(Mux(illegal, Cause.ILLEGAL_INSTRUCTION, loader.fault.cause)),
            self.fault.value.eq(Mux(illegal, 0, loader.fault.value)),
            loader.base_inp.eq(self.base_inp),
            loader.base_wgt.eq(self.base_wgt),
            loader.start.payload.eq(load),
            loader.start.valid.eq(issue.execute.valid & is_load),
            loader.oldest.eq(issue.alone),
            # What pads a LOAD may not change while one runs.
            issue.execute.ready.eq((loader.start.ready & is_load) | (is_set & ~issue.running)),
            issue.completed.eq(loader.done | was_set),
            self.retire.eq(issue.retire),
            issue.clear.eq(self.clear),
        ]
        return m
