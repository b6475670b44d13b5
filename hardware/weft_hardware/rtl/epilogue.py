"""The requantising store's datapath: accumulator tiles in, 8-bit tiles out.

``epilogue_lanes`` elements enter a cycle, whatever their values. The lanes run freely; a tile's steps enter as long as
the buffer behind the lanes has room for all results under way, so nothing ever has to stop inside.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import PARAM_BITS
from .requantise import REQUANTISE_LATENCY, RequantiseLane
from .signatures import scratchpad_write

FETCH_LATENCY = 2
"""Cycles from a step's start to its operands at the lanes: the parameter memory, and a register behind it."""

BUFFER_LATENCY = 2
"""Cycles through the empty buffer behind the lanes."""


def epilogue_tile_layout(config: AcceleratorConfig) -> data.StructLayout:
    """An accumulator tile to requantise, its residual operand (8-bit elements) and its parameter tile's number."""
    elements = config.batch * config.block_out
    return data.StructLayout({"tile": config.acc_tile_bits, "residual": elements * 8, "param": 16})


def param_index_bits(config: AcceleratorConfig) -> int:
    """Bits of a parameter tile's number in the scratchpad."""
    return max(1, (config.param_depth - 1).bit_length())


class ParameterMemory(wiring.Component):
    """Bias and scale of ``param_depth`` tiles of ``block_out`` channels, read ``epilogue_lanes`` channels at a time.

    A row holds only as many channels as lanes need and a bus beat brings, so that few block RAMs serve. A written tile
    is spread over the cycles that its beats take to arrive: tiles may follow each other every ``rows_per_tile`` cycles.
    What is read `FETCH_LATENCY` cycles after ``enable`` holds until the next read.

    Attributes
    ----------
    write : In(scratchpad_write)
    enable : In(1)
    tile, part : In
        Parameter tile, and which ``epilogue_lanes`` of its channels.
    channels : Out
        `isa.PARAM_BITS` each.
    settled : Out(1)
        All that was written before this cycle can be read.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        lanes, channels = config.epilogue_lanes, config.block_out
        self._row_channels = min(channels, max(lanes, config.axi_data_bits // PARAM_BITS))
        self.rows_per_tile = channels // self._row_channels
        super().__init__(
            {
                "write": In(scratchpad_write(param_index_bits(config), channels * PARAM_BITS)),
                "enable": In(1),
                "tile": In(param_index_bits(config)),
                "part": In(range(max(2, channels // lanes))),
                "channels": Out(lanes * PARAM_BITS),
                "settled": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, rows = self._config.epilogue_lanes, self.rows_per_tile
        row_bits = self._row_channels * PARAM_BITS
        m.submodules.memory = store = memory.Memory(shape=row_bits, depth=self._config.param_depth * rows, init=[])
        write, read = store.write_port(), store.read_port()
        self._spread(m, write, row_bits)

        parts_per_row = self._row_channels // lanes
        part_bits = (parts_per_row - 1).bit_length()
        row = self.part[part_bits : part_bits + (rows - 1).bit_length()]
        m.d.comb += [read.en.eq(self.enable), read.addr.eq(Cat(row, self.tile))]
        arrived = Signal()
        channels = Signal(lanes * PARAM_BITS, reset_less=True)
        m.d.sync += arrived.eq(self.enable)
        chosen = read.data
        if parts_per_row > 1:
            part = Signal(part_bits, reset_less=True)
            with m.If(self.enable):
                m.d.sync += part.eq(self.part)
            chosen = read.data.word_select(part, lanes * PARAM_BITS)
        with m.If(arrived):
            m.d.sync += channels.eq(chosen)
        m.d.comb += self.channels.eq(channels)
        return m

    def _spread(self, m: Module, write: memory.WritePort, row_bits: int) -> None:
        """Write a tile row by row."""
        rows = self.rows_per_tile
        tile, index = self.write.tile, self.write.index
        m.d.comb += [write.en.eq(self.write.enable), write.data.eq(tile[:row_bits]), write.addr.eq(index)]
        if rows == 1:
            m.d.comb += self.settled.eq(1)
            return
        # The first row goes in at once, the rest waits in registers, one a row.
        left = Signal(range(rows))
        waiting = [Signal(row_bits, name=f"row_{k}", reset_less=True) for k in range(1, rows)]
        held = Signal.like(index)
        with m.If(self.write.enable):
            m.d.sync += [left.eq(rows - 1), held.eq(index)]
            m.d.sync += [r.eq(tile[k * row_bits : (k + 1) * row_bits]) for k, r in enumerate(waiting, start=1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        row_bits = (rows - 1).bit_length()
        number = (rows - left)[:row_bits]
        m.d.comb += self.settled.eq(left == 0)
        with m.If(self.write.enable):
            m.d.comb += write.addr.eq(Cat(Const(0, row_bits), index))
        with m.Else():
            m.d.comb += [
                write.en.eq(left != 0),
                write.addr.eq(Cat(number, held)),
                write.data.eq(Array([waiting[0], *waiting])[number]),
            ]


class Epilogue(wiring.Component):
    """Requantises tiles, ``epilogue_lanes`` elements a cycle; built only when there are lanes.

    A tile takes ``batch · block_out / epilogue_lanes`` cycles and tiles follow each other without a gap. Its result is
    valid `latency` cycles after its last step started.

    Attributes
    ----------
    tiles : In stream of epilogue_tile_layout
        ``param`` is below ``param_depth``, and loaded.
    results : Out stream of 8-bit tiles, in the same order
    zero_point, clamp_lo, clamp_hi : In(signed(9))
        As `isa.QUEUE_REGISTERS` declares them; static from a tile's arrival until its result was taken.
    mode : In(6)
        `isa.StoreMode`, static likewise.
    write_param : In(scratchpad_write)
        See `ParameterMemory`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self.steps = config.batch * config.block_out // config.epilogue_lanes
        self.latency = FETCH_LATENCY + REQUANTISE_LATENCY + BUFFER_LATENCY
        super().__init__(
            {
                "tiles": In(stream.Signature(epilogue_tile_layout(config))),
                "results": Out(stream.Signature(config.batch * config.block_out * 8)),
                "zero_point": In(signed(9)),
                "clamp_lo": In(signed(9)),
                "clamp_hi": In(signed(9)),
                "mode": In(6),
                "write_param": In(scratchpad_write(param_index_bits(config), config.block_out * PARAM_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, lanes = self._config, self._config.epilogue_lanes
        m.submodules.parameters = parameters = ParameterMemory(config)
        wiring.connect(m, wiring.flipped(self.write_param), parameters.write)

        started, step = self._steps(m, parameters.settled)
        stages = Signal(FETCH_LATENCY + REQUANTISE_LATENCY)  # bit k: values reached stage k's inputs
        m.d.sync += stages.eq(Cat(started, stages))
        m.d.comb += [
            parameters.enable.eq(started),
            parameters.tile.eq(self.tiles.payload.param),
            parameters.part.eq(step),
        ]
        elements = self._operands(
            m, started, stages, self._chosen(self.tiles.payload.tile, step, lanes * config.acc_bits)
        )

        # min(max(v, lo), hi) is hi wherever the bounds are the wrong way round.
        low = Signal(signed(9))
        m.d.sync += low.eq(Mux(self.clamp_lo > self.clamp_hi, self.clamp_hi, self.clamp_lo))
        results = []
        for k in range(lanes):
            m.submodules[f"lane_{k}"] = lane = RequantiseLane()
            bias, scale = (parameters.channels.word_select(2 * k + half, PARAM_BITS // 2) for half in (0, 1))
            m.d.comb += [
                lane.enables.eq(stages[FETCH_LATENCY - 1 :]),
                lane.acc.eq(elements.word_select(k, config.acc_bits)),
                lane.bias.eq(bias),
                lane.scale.eq(scale),
                lane.zero_point.eq(self.zero_point),
                lane.clamp_lo.eq(low),
                lane.clamp_hi.eq(self.clamp_hi),
            ]
            results.append(lane.result[:8])
        self._gather(m, stages[-1], Cat(results))
        return m

    def _chosen(self, tile: Value, step: Value, width: int) -> Value:
        return tile if self.steps == 1 else tile.word_select(step, width)

    def _steps(self, m: Module, settled: Value) -> tuple[Value, Value]:
        """Cut the tile at the stream's head into steps; returns whether one starts and which."""
        depth = self._buffer_depth
        self._under_way, self._taken = under_way, taken = Signal(range(depth + 1)), Signal()
        started, step = Signal(), Signal(range(max(2, self.steps)))
        last = step == self.steps - 1
        room = (under_way != depth) & settled
        m.d.comb += [started.eq(self.tiles.valid & room), self.tiles.ready.eq(room & last)]
        with m.If(started):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
        with m.If(started ^ taken):
            m.d.sync += under_way.eq(Mux(started, under_way + 1, under_way - 1))
        return started, step

    @property
    def _buffer_depth(self) -> int:
        """Steps under way at full rate: each of them has its place in the buffer from its start."""
        return 1 << (self.latency + 1).bit_length()

    def _operands(self, m: Module, started: Value, stages: Value, elements: Value) -> Value:
        """``elements`` as late as the parameters arrive."""
        for k, enable in enumerate([started, *stages[: FETCH_LATENCY - 1]]):
            register = Signal(len(elements), name=f"elements_{k}", reset_less=True)
            with m.If(enable):
                m.d.sync += register.eq(elements)
            elements = register
        return elements

    def _gather(self, m: Module, arrived: Value, result: Value) -> None:
        """Buffer the steps' results and put tiles together again, the last part straight from the buffer."""
        m.submodules.buffer = buffer = fifo.SyncFIFOBuffered(width=len(result), depth=self._buffer_depth)
        m.d.comb += [buffer.w_data.eq(result), buffer.w_en.eq(arrived)]
        part = Signal(range(max(2, self.steps)))
        parts = [Signal(len(result), name=f"part_{k}", reset_less=True) for k in range(self.steps - 1)]
        last = part == self.steps - 1
        m.d.comb += [
            self.results.payload.eq(Cat(*parts, buffer.r_data)),
            self.results.valid.eq(buffer.r_rdy & last),
            buffer.r_en.eq(Mux(last, self.results.ready, 1)),
            self._taken.eq(buffer.r_rdy & buffer.r_en),
        ]
        with m.If(self._taken):
            m.d.sync += part.eq(Mux(last, 0, part + 1))
            for k, held in enumerate(parts):
                with m.If(part == k):
                    m.d.sync += held.eq(buffer.r_data)
