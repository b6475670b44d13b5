"""The store module: STORE of OUT (narrowed by truncation) and of ACC (raw), with its tokens.

Accumulators are read ahead as far as a small buffer reaches, one a cycle when compute grants it. Rows that follow
each other in DRAM are one range. The instruction is complete when the bus acknowledged its last write.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Memory, Opcode, Store, instruction_bits, storable, tile_bytes
from ..registers import Cause
from .issue import Issue
from .layouts import instruction_layout
from .packer import TilePacker, packed_tile_layout
from .signatures import (
    ACC_READ_LATENCY,
    RANGE_BYTES_BITS,
    acc_read_port,
    fault_port,
    status_port,
    token_port,
    window_port,
    write_port,
)
from .windows import extent, outside

TILES_AHEAD = 8
"""Tiles read but not yet packed: covers the read latency and the buffer's own at one tile a cycle."""


class StoreModule(wiring.Component):
    """Executes the store queue.

    Attributes
    ----------
    instruction : In stream, the queue's head
    retire : Out(1)
    compute_tokens : Out(token_port)
    acc_read : Out(acc_read_port)
    write : Out(write_port)
    window : Out(window_port)
    base_out, base_acc : In(axi_addr_bits)
        Byte addresses of tile 0, multiples of 64.
    fault : Out(fault_port)
        ILLEGAL_INSTRUCTION; SCRATCHPAD_RANGE with the first index outside, before anything is read; BUS_ERROR with
        the low 32 bits of the row's address when it lies outside the address space, with 0 when the memory answered
        an error.
    status : Out(status_port)
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._layout = instruction_layout(Store, config)
        super().__init__(
            {
                "instruction": In(stream.Signature(unsigned(instruction_bits(config)))),
                "retire": Out(1),
                "compute_tokens": Out(token_port()),
                "acc_read": Out(acc_read_port(config)),
                "write": Out(write_port(config)),
                "window": Out(window_port(config)),
                "base_out": In(config.axi_addr_bits),
                "base_acc": In(config.axi_addr_bits),
                "fault": Out(fault_port()),
                "status": Out(status_port()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        self._insn = insn = Signal(self._layout)
        m.submodules.issue = issue = Issue(config, has_prev=True, has_next=False)
        wiring.connect(m, wiring.flipped(self.instruction), issue.instruction)
        wiring.connect(m, wiring.flipped(self.compute_tokens), issue.prev)
        wiring.connect(m, wiring.flipped(self.status), issue.status)
        m.d.comb += self.retire.eq(issue.retire)

        self._raw, self._checked = Signal(), Signal()
        tiles, merged, legal = Signal(32), Signal(), Signal()
        pads = Cat(insn.x_pad0, insn.x_pad1, insn.y_pad0, insn.y_pad1)
        m.d.comb += [
            self._raw.eq(insn.memory == Memory.ACC),
            merged.eq(insn.x_stride == insn.x_size),
            legal.eq(
                (insn.opcode == Opcode.STORE)
                & Cat(insn.memory == memory for memory in storable(config)).any()
                & (pads == 0)
            ),
        ]
        written = Signal()
        # Wide enough for the highest address that an instruction can name, so that nothing wraps.
        first, tiles_between = Signal(max(config.axi_addr_bits, 34 + 13) + 2), Signal(33)
        leaves, leaving = outside(self.window, first, first + self._scaled(tiles_between) - 1)
        m.d.comb += [
            self.window.read.eq(issue.execute.valid & issue.execute.ready),
            self.window.row.eq(self._layout(issue.execute.payload).memory),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += issue.execute.ready.eq(~self.fault.raised)
                with m.If(issue.execute.valid & ~self.fault.raised):
                    m.d.sync += insn.eq(issue.execute.payload)
                    m.next = "SIZE"
            with m.State("SIZE"):
                base = Mux(self._raw, self.base_acc, self.base_out)
                m.d.sync += [
                    tiles.eq(insn.x_size * insn.y_size),
                    first.eq(base + self._scaled(insn.dram)),
                    tiles_between.eq(extent(insn)),
                ]
                m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(~legal):
                    self._raise(m, Cause.ILLEGAL_INSTRUCTION, 0)
                    m.next = "FAULT"
                with m.Elif(tiles == 0):
                    m.next = "DONE"
                with m.Elif(insn.sram + tiles > config.acc_depth):
                    first_outside = Mux(insn.sram > config.acc_depth, insn.sram, config.acc_depth)
                    self._raise(m, Cause.SCRATCHPAD_RANGE, first_outside)
                    m.next = "FAULT"
                with m.Elif(leaves):
                    self._raise(m, Cause.WINDOW, leaving)
                    m.next = "FAULT"
                with m.Else():
                    m.d.comb += self._checked.eq(1)
                    m.next = "RUN"
            with m.State("RUN"), m.If(written):
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += issue.completed.eq(1)
                m.next = "IDLE"
            with m.State("FAULT"):
                pass

        rows_done = self._request_rows(m, merged, tiles, first)
        m.d.comb += written.eq(rows_done)
        self._send_tiles(m, merged, tiles)
        return m

    def _raise(self, m: Module, cause: Cause, value: Value | int) -> None:
        with m.If(~self.fault.raised):
            m.d.sync += [self.fault.raised.eq(1), self.fault.cause.eq(cause), self.fault.value.eq(value)]

    def _scaled(self, tiles: Value) -> Value:
        """A number of tiles of the memory being stored, in bytes."""
        acc, out = (tile_bytes(memory, self._config) for memory in (Memory.ACC, Memory.OUT))
        return Mux(self._raw, tiles * acc, tiles * out)

    def _request_rows(self, m: Module, merged: Value, tiles: Value, first: Value) -> Value:
        """Announce the block's DRAM rows; returns whether all of them are written and acknowledged."""
        insn, request = self._insn, self.write.request
        address = Signal.like(first)
        rows_left, unacknowledged = Signal(16), Signal(17)
        nbytes = Signal(RANGE_BYTES_BITS)
        announced = Signal()
        m.d.comb += [
            nbytes.eq(self._scaled(Mux(merged, tiles[:17], insn.x_size))),
            request.payload.address.eq(address),
            request.payload.nbytes.eq(nbytes),
            request.valid.eq((rows_left != 0) & ~self.fault.raised),
            announced.eq(request.valid & request.ready),
        ]
        m.d.sync += unacknowledged.eq(unacknowledged + announced - self.write.acknowledged)
        with m.If(self._checked):
            m.d.sync += [address.eq(first), rows_left.eq(Mux(merged, 1, insn.y_size))]
        with m.Elif(announced):
            m.d.sync += [address.eq(address + self._scaled(insn.x_stride)), rows_left.eq(rows_left - 1)]
        with m.If(self.write.acknowledged & self.write.error):
            self._raise(m, Cause.BUS_ERROR, 0)
        return (rows_left == 0) & (unacknowledged == 0) & ~self.fault.raised

    def _send_tiles(self, m: Module, merged: Value, tiles: Value) -> None:
        """Read the block's tiles in scratchpad order and pack them into beats."""
        insn, config, read = self._insn, self._config, self.acc_read
        m.submodules.buffer = buffer = fifo.SyncFIFOBuffered(width=config.acc_tile_bits, depth=TILES_AHEAD)
        m.submodules.packer = packer = TilePacker(config)
        wiring.connect(m, wiring.flipped(self.write.beats), packer.beats)

        unread, index = Signal(17), Signal(17)
        # Tiles requested that have not left the buffer: they never exceed it, so the buffer always takes a tile.
        ahead = Signal(range(TILES_AHEAD + 1))
        arriving = Signal(ACC_READ_LATENCY)
        requested, taken = Signal(), Signal()
        m.d.comb += [
            read.request.payload.eq(index),
            read.request.valid.eq((unread != 0) & (ahead != TILES_AHEAD)),
            requested.eq(read.request.valid & read.request.ready),
            buffer.w_data.eq(read.tile),
            buffer.w_en.eq(arriving[-1]),
        ]
        m.d.sync += [arriving.eq(Cat(requested, arriving)), ahead.eq(ahead + requested - taken)]
        with m.If(requested):
            m.d.sync += [unread.eq(unread - 1), index.eq(index + 1)]

        unsent, x = Signal(17), Signal(16)
        tile_number, row_number = Signal(16), Signal(16)
        next_row_number = (row_number + insn.x_stride)[: len(row_number)]
        packed = Signal(packed_tile_layout(config))
        m.d.comb += [
            packed.tile.eq(buffer.r_data),
            packed.raw.eq(self._raw),
            packed.slot.eq(tile_number),
            packed.last.eq(Mux(merged, unsent == 1, x == insn.x_size - 1)),
            packer.tiles.payload.eq(packed),
            packer.tiles.valid.eq(buffer.r_rdy),
            buffer.r_en.eq(packer.tiles.ready),
            taken.eq(buffer.r_rdy & buffer.r_en),
        ]
        with m.If(taken):
            m.d.sync += [unsent.eq(unsent - 1), x.eq(x + 1), tile_number.eq(tile_number + 1)]
            with m.If(packed.last):
                m.d.sync += [x.eq(0), row_number.eq(next_row_number), tile_number.eq(next_row_number)]
        with m.If(self._checked):
            m.d.sync += [unread.eq(tiles), unsent.eq(tiles), index.eq(insn.sram), x.eq(0)]
            m.d.sync += [tile_number.eq(insn.dram), row_number.eq(insn.dram)]
