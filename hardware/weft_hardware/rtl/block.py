"""LOADs: 2-D, strided, padded blocks from DRAM into a scratchpad.

The front (`rows`) checks a block and requests its rows, one a cycle; a block without padding whose rows follow each
other is one request. The back walks the block in scratchpad order and writes a tile a cycle at most: padding tiles
while beats are still under way, data tiles as their beats arrive. Meanwhile the front goes on to the next LOADs, so
that their latency passes while the first one's beats arrive.

A tile as wide as the bus, or wider, takes a beat every cycle; a narrower one takes a cycle a tile. A padding tile takes
a cycle in which no beat leaves the buffer. No beat is asked for twice, except one that two rows share.

Source
------
Apache TVM VTA, the LOAD instruction; differs in the range check, which covers the whole padded block.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import QUEUE_REGISTERS, Load, Memory, SetRegister
from ..registers import Cause
from .layouts import instruction_layout
from .reader import BufferedReader, streaming_beats
from .rows import BLOCKS_AHEAD, RowRequester, Target, address_bits, block_layout, load_target, select
from .signatures import effort_port, fault_port, read_port, window_port

PADDED = frozenset({Memory.INP, Memory.ACC, Memory.ACC_8BIT})
"""Memories whose padding can be chosen; others are padded with zeros."""


class BlockLoader(wiring.Component):
    """Executes LOADs of some memories, in order.

    The first burst is requested 3 cycles after ``start``. ``start`` is ready again when the last row is requested,
    until `rows.BLOCKS_AHEAD` blocks wait for the one that is being written. ``done`` follows the last beat on the bus
    by one cycle, if nothing else is to be written.

    Parameters
    ----------
    config : AcceleratorConfig
    memories : tuple of Memory
        The scratchpads it writes; ``start`` names one of them.
    buffer_beats, longest : int, optional
        Of its reader; default: what uses the whole bus.

    Attributes
    ----------
    start : In stream of the LOAD
    oldest : In(1)
        No instruction but LOADs of this loader is left of those before the last one started: what its fault waits for.
        High if unconnected.
    hold : In(1)
        Nothing is written and no LOAD ends, though rows are requested and their beats kept: what came before the LOAD
        may still use what it overwrites. Low if unconnected.
    base_<name> : In(rows.address_bits)
        Byte address of the memory's tile 0, a multiple of 64.
    window : Out(window_port)
    read : Out(read_port)
    write_<name> : Out(scratchpad_write)
        A tile as it lies in DRAM, or a part of it, see `rows.Target.write_port`. Where both ACC and ACC_8BIT are
        served, tiles of the latter are widened and written to ``write_acc``.
    widen : In(1)
        Bytes of ACC_8BIT are unsigned; there where they are widened. Stable while one of its LOADs runs.
    pad : In(32)
        The element with which blocks of INP, ACC and ACC_8BIT are padded, its low bits; only with ``pad_value``.
        Stable while one of them runs.
    done : Out(1)
        Pulses once an instruction, in the cycle before its last tile is written; also for a block of no tiles.
    fault : Out(fault_port)
        SCRATCHPAD_RANGE with the first index outside, before anything is written; BUS_ERROR with the low 32 bits
        of the row's address when it lies outside the address space, with 0 when the memory answered an error. It is
        raised after ``done`` of every LOAD before, never with or after its own.
    effort : Out(effort_port)
        It waits for the memory when the next tile wants a beat that is not there.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        memories: tuple[Memory, ...],
        *,
        buffer_beats: int | None = None,
        longest: int | None = None,
    ) -> None:
        self._config = config
        self.memories = memories
        self._buffer_beats = buffer_beats or streaming_beats(config)
        self._longest = longest
        self._targets = [load_target(memory, config) for memory in memories]
        members: dict[str, In | Out] = {
            "start": In(stream.Signature(instruction_layout(Load, config))),
            "oldest": In(1, init=1),
            "hold": In(1),
            "window": Out(window_port(config)),
            "read": Out(read_port(config)),
            "done": Out(1),
            "fault": Out(fault_port()),
            "effort": Out(effort_port()),
        }
        if config.pad_value and PADDED & set(memories):
            members["pad"] = In(QUEUE_REGISTERS[SetRegister.COMPUTE_PAD].width)
        for t in self._targets:
            name = t.memory.name.lower()
            members[f"base_{name}"] = In(address_bits(config))
            if self._widens(t):
                members["widen"] = In(QUEUE_REGISTERS[SetRegister.WIDEN].width)
            else:
                members[f"write_{name}"] = Out(t.write_port)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.rows = rows = RowRequester(config, self._targets)
        m.submodules.reader = self._reader = reader = BufferedReader(
            config, buffer_beats=self._buffer_beats, longest=self._longest
        )
        wiring.connect(m, wiring.flipped(self.start), rows.start)
        wiring.connect(m, rows.ranges, reader.ranges)
        wiring.connect(m, rows.window, wiring.flipped(self.window))
        wiring.connect(m, wiring.flipped(self.read), reader.read)
        for t in self._targets:
            base = f"base_{t.memory.name.lower()}"
            m.d.comb += getattr(rows, base).eq(getattr(self, base))

        failed = Signal()
        m.d.comb += [
            rows.oldest.eq(self.oldest),
            rows.stop.eq(failed),
            # Rows fault when no LOAD before is left, so both faults are the oldest one's.
            self.fault.raised.eq(failed | rows.fault.raised),
            self.fault.cause.eq(Mux(failed, Cause.BUS_ERROR, rows.fault.cause)),
            self.fault.value.eq(Mux(failed, 0, rows.fault.value)),
        ]
        m.submodules.ahead = ahead = fifo.SyncFIFO(width=len(rows.blocks.payload.as_value()), depth=BLOCKS_AHEAD)
        blocks = stream.Signature(block_layout(self._targets)).create(path=("blocks",))
        m.d.comb += [
            ahead.w_data.eq(rows.blocks.payload),
            ahead.w_en.eq(rows.blocks.valid),
            rows.blocks.ready.eq(ahead.w_rdy),
            blocks.payload.eq(ahead.r_data),
            blocks.valid.eq(ahead.r_rdy),
            ahead.r_en.eq(blocks.ready),
            rows.ended.eq(self.done),
        ]
        self._walk(m, blocks, failed)
        return m

    def _widens(self, target: Target) -> bool:
        return target.memory is Memory.ACC_8BIT and Memory.ACC in self.memories

    def _select(self, values: Sequence[Value | int]) -> Value:
        return select(self._targets, self._block.memory, values)

    def _walk(self, m: Module, blocks: stream.Interface, failed: Signal) -> None:
        """Walk block after block in scratchpad order, one tile a cycle at most, until a beat fails."""
        self._block = block = Signal(block_layout(self._targets))
        beats = self._reader.beats
        walking, active, running = Signal(), Signal(), Signal()
        padding, last_data = Signal(), Signal()
        # What is compared lies in registers, found out with the tile before.
        some, last_tile = Signal(), Signal()
        m.d.comb += [
            active.eq(walking & ~self.fault.raised & ~self.hold),
            running.eq(active & some),
        ]

        # Which beat of a wide tile comes next; which tile of the current beat of narrow ones.
        part = Signal(range(max(2, *(t.beats_per_tile for t in self._targets))))
        slot = Signal(range(max(2, *(t.tiles_per_beat for t in self._targets))))
        last_slot = Signal.like(slot)
        # Whether the part is the tile's last one, found out with the part before.
        tile_ends = Signal()
        last_part = self._select([t.beats_per_tile - 1 for t in self._targets])
        beat_ends, taken, written, error = Signal(), Signal(), Signal(), Signal()
        by_beat, padded = Signal(), Signal()
        m.d.comb += [
            by_beat.eq(self._select([int(t.writes_per_tile > 1) for t in self._targets])),
            padded.eq(running & padding),
            last_slot.eq(self._select([t.tiles_per_beat - 1 for t in self._targets])),
            beat_ends.eq(last_data | (slot == last_slot)),
            taken.eq(running & ~padding & beats.valid),
            beats.ready.eq(taken & beat_ends),
            written.eq((padded & (tile_ends | ~by_beat)) | (taken & tile_ends)),
            error.eq(taken & beats.payload.error),
            # A block with an error never ends, not even when it comes with the last tile.
            self.done.eq(active & Mux(written, last_tile & ~error, ~some)),
            blocks.ready.eq(~walking | self.done),
            self.effort.waits_memory.eq(running & ~padding & ~beats.valid),
            self.effort.moves.eq(written),
        ]
        with m.If(error):
            m.d.sync += failed.eq(1)
        with m.If(taken | (padded & by_beat)):
            next_part = Mux(tile_ends, 0, part + 1)[: len(part)]
            m.d.sync += [part.eq(next_part), tile_ends.eq(next_part == last_part)]
        with m.If(taken):
            m.d.sync += slot.eq(Mux(beat_ends, 0, slot + 1))
        with m.If(written):
            m.d.sync += [block.tiles.eq(block.tiles - 1), last_tile.eq(block.tiles == 2)]
            m.d.sync += block.index.eq(block.index + 1)
            with m.If(~padding & last_data):
                # Bases are aligned to a beat, so the slot of a row's first tile follows from its tile number in DRAM.
                next_slot = (block.row_slot + block.row_step)[: len(block.row_slot)]
                m.d.sync += [block.row_slot.eq(next_slot), slot.eq(next_slot & last_slot)]
        self._follow(m, blocks, written, padding, last_data)
        with m.If(blocks.ready):
            m.d.sync += walking.eq(blocks.valid)
        with m.If(blocks.valid & blocks.ready):
            tiles_per_beat = select(self._targets, blocks.payload.memory, [t.tiles_per_beat for t in self._targets])
            one_part = select(self._targets, blocks.payload.memory, [int(t.beats_per_tile == 1) for t in self._targets])
            m.d.sync += [block.eq(blocks.payload), part.eq(0), tile_ends.eq(one_part)]
            m.d.sync += [some.eq(blocks.payload.tiles != 0), last_tile.eq(blocks.payload.tiles == 1)]
            m.d.sync += slot.eq(blocks.payload.row_slot & (tiles_per_beat - 1))
        part_written = by_beat & (taken | padded)
        self._drive_writes(m, written, part_written, part, self._assemble(m, padded, taken, slot))

    def _follow(self, m: Module, blocks: stream.Interface, written: Value, padding: Signal, last_data: Signal) -> None:
        """Find out with every tile whether the next one is padding, and whether a row's data end with it."""
        offered, block = blocks.payload, self._block
        # Of the tile after the next one: its column, and its row if the next one ends a row.
        x, y = Signal(17), Signal(17)
        # Numbers of the last column, and of the last one that holds data.
        last_x, last_data_x = Signal(17), Signal(17)
        first_x_in, one_column, first_x_last = Signal(), Signal(), Signal()
        y_in, row_ends = Signal(), Signal()
        next_y_in = (y >= block.y_begin) & (y < block.y_end)
        with m.If(written):
            with m.If(row_ends):
                m.d.sync += [x.eq(1), row_ends.eq(one_column), y.eq(y + 1), y_in.eq(next_y_in)]
                m.d.sync += padding.eq(~block.merged & ~(first_x_in & next_y_in))
                m.d.sync += last_data.eq(Mux(block.merged, block.tiles == 2, first_x_last))
            with m.Else():
                m.d.sync += [x.eq(x + 1), row_ends.eq(x == last_x)]
                m.d.sync += padding.eq(~block.merged & ~((x >= block.x_begin) & (x <= last_data_x) & y_in))
                m.d.sync += last_data.eq(Mux(block.merged, block.tiles == 2, x == last_data_x))
        with m.If(blocks.valid & blocks.ready):
            first_y_in = (offered.y_begin == 0) & (offered.y_end != 0)
            starts_in, is_one, ends_first = offered.x_begin == 0, offered.width == 1, offered.x_end == 1
            m.d.sync += [x.eq(1), y.eq(1), y_in.eq(first_y_in), row_ends.eq(is_one)]
            m.d.sync += [first_x_in.eq(starts_in), one_column.eq(is_one), first_x_last.eq(ends_first)]
            m.d.sync += [last_x.eq(offered.width - 1), last_data_x.eq(offered.x_end - 1)]
            m.d.sync += padding.eq(~offered.merged & ~(starts_in & first_y_in))
            m.d.sync += last_data.eq(Mux(offered.merged, offered.tiles == 1, ends_first))

    def _assemble(self, m: Module, padding: Value, taken: Value, slot: Value) -> Value:
        """The registers through which beats shift, from the top down; a tile that is complete ends at the top.

        One for each beat: a verilated model copies a wide register that is read by its own assignment every cycle.
        """
        word = self._reader.beats.payload.data
        count = max(t.beats_per_tile // t.writes_per_tile for t in self._targets)
        registers = [Signal(len(word), name=f"tile_beat{k}", reset_less=True) for k in range(count)]
        first = self._select(
            [word.word_select(slot, t.tile_bits) if t.tiles_per_beat > 1 else word for t in self._targets]
        )
        above: list[Value] = [*registers[1:], Cat(first, Const(0, len(word)))[: len(word)]]
        if any(map(self._widens, self._targets)):
            widened = self._widen(word, slot)
            narrow = self._block.memory == Memory.ACC_8BIT
            above = [
                Mux(narrow, of_narrow, of_others)
                for of_narrow, of_others in zip([*registers[len(widened) :], *widened], above, strict=True)
            ]
        for k, (register, successor) in enumerate(zip(registers, above, strict=True)):
            # A tile that does not reach down to this register leaves in it what it likes: that of one that does.
            reaching = [t for t in self._targets if t.beats_per_tile // t.writes_per_tile >= count - k]
            with m.If(padding):
                m.d.sync += register.eq(select(reaching, self._block.memory, [self._pad(t) for t in reaching]))
            with m.Elif(taken):
                m.d.sync += register.eq(successor)
        return Cat(registers)

    def _widen(self, word: Value, slot: Value) -> list[Value]:
        """A beat's bytes, or those of its tile in ``slot``, as accumulators: words of the beat's width."""
        target = next(t for t in self._targets if t.memory is Memory.ACC_8BIT)
        taken = word.word_select(slot, target.tile_bits) if target.tiles_per_beat > 1 else word
        high = self._config.acc_bits - 8
        elements = [
            Cat(byte, (byte[-1] & ~self.widen).replicate(high))
            for byte in (taken[k : k + 8] for k in range(0, len(taken), 8))
        ]
        per_word = len(word) // self._config.acc_bits
        words = [Cat(elements[k : k + per_word]) for k in range(0, len(elements), per_word)]
        return [Cat(of, Const(0, len(word) - len(of))) for of in words]

    def _pad(self, target: Target) -> Value | int:
        """One beat of padding."""
        if not self._config.pad_value or target.memory not in PADDED:
            return 0
        element = self._config.inp_bits if target.memory is Memory.INP else self._config.acc_bits
        return self.pad[:element].replicate(self._config.axi_data_bits // element)

    def _drive_writes(self, m: Module, written: Value, part_written: Value, part: Value, tile: Value) -> None:
        written_index, written_part = Signal(17), Signal.like(part)
        with m.If(written | part_written):
            m.d.sync += [written_index.eq(self._block.index), written_part.eq(part)]
        for t in self._targets:
            if self._widens(t):
                continue
            port = getattr(self, f"write_{t.memory.name.lower()}")
            chosen = self._block.memory == t.memory
            if t.memory is Memory.ACC and Memory.ACC_8BIT in self.memories:
                chosen |= self._block.memory == Memory.ACC_8BIT
            beats = t.beats_per_tile // t.writes_per_tile
            index = Cat(written_part[: (t.writes_per_tile - 1).bit_length()], written_index)
            m.d.sync += port.enable.eq((part_written if t.writes_per_tile > 1 else written) & chosen)
            m.d.comb += [port.index.eq(index), port.tile.eq(tile[-beats * self._config.axi_data_bits :])]
