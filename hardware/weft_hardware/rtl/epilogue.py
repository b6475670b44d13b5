"""The requantising store's datapath: accumulator tiles in, 8-bit tiles out.

``epilogue_lanes`` elements enter a cycle, whatever their values. The lanes run freely; a tile's steps enter as long as
the buffer behind the lanes has room for all results under way, so nothing ever has to stop inside.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import PARAM_BITS, Memory, StoreMode
from ..latencies import BUFFER_LATENCY, epilogue_buffer
from .parameters import FETCH_LATENCY, ParameterMemory
from .requantise import REQUANTISE_LATENCY, RequantiseLane
from .residual import RESIDUAL_LATENCY, ResidualConstants, ResidualLane
from .rows import load_target
from .stages import Stages
from .table import TABLE_LATENCY, ByteTable

_ONE = 0x3F800000
_LEAST, _GREATEST = -256, 255


def epilogue_tile_layout(config: AcceleratorConfig) -> data.StructLayout:
    """An accumulator tile to requantise, its residual operand (8-bit elements) and its parameter tile's number."""
    elements = config.batch * config.block_out
    return data.StructLayout({"tile": config.acc_tile_bits, "residual": elements * 8, "param": 16})


class Epilogue(wiring.Component):
    """Requantises tiles, ``epilogue_lanes`` elements a cycle; built only when there are lanes.

    A tile takes ``batch · block_out / epilogue_lanes`` cycles and tiles follow each other without a gap. Its result is
    valid ``latency`` cycles after its last step started.

    Attributes
    ----------
    tiles : In stream of epilogue_tile_layout
        ``param`` is below ``param_depth``, and loaded.
    results : Out stream of 8-bit tiles, in the same order
    zero_point, clamp_lo, clamp_hi : In(signed(9))
        As `isa.QUEUE_REGISTERS` declares them; static from a tile's arrival until its result was taken.
    scale, residual_scale, offset : In(32); sum_lo, sum_hi : In(signed(9))
        Likewise, with ``residual`` only.
    mode : In(6)
        `isa.StoreMode`, static likewise.
    write_param : In(rows.Target.write_port)
    write_table : In(rows.Target.write_port)
        With ``table`` only. A tile may arrive in the cycle after the last write that it needs.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._lanes = config.epilogue_lanes
        self.steps = config.batch * config.block_out // config.epilogue_lanes
        self._depths = {
            "fetch": FETCH_LATENCY,
            "requantise": REQUANTISE_LATENCY,
            "residual": RESIDUAL_LATENCY if config.residual else 0,
            "table": TABLE_LATENCY if config.table else 0,
        }
        self.latency = sum(self._depths.values()) + BUFFER_LATENCY
        members: dict[str, In | Out] = {
            "tiles": In(stream.Signature(epilogue_tile_layout(config))),
            "results": Out(stream.Signature(config.batch * config.block_out * 8)),
            "zero_point": In(signed(9)),
            "clamp_lo": In(signed(9)),
            "clamp_hi": In(signed(9)),
            "mode": In(6),
            "write_param": In(load_target(Memory.PARAM, config).write_port),
        }
        if config.residual:
            members |= {"scale": In(32), "residual_scale": In(32), "offset": In(32)}
            members |= {"sum_lo": In(signed(9)), "sum_hi": In(signed(9))}
        if config.table:
            members["write_table"] = In(load_target(Memory.TABLE, config).write_port)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._m = m
        config, lanes = self._config, self._lanes
        started, step = Signal(), Signal(range(max(2, self.steps)))
        # Bit k: a step's values are at stage k's inputs. The fetch's two stages come first.
        reached = Signal(sum(self._depths.values()) + 1)
        m.d.comb += reached[0].eq(started)
        m.d.sync += reached[1:].eq(reached[:-1])
        self._enables: dict[str, Value] = {}
        first = 0
        for name, depth in self._depths.items():
            self._enables[name] = reached[first : first + depth]
            first += depth

        m.submodules.parameters = parameters = ParameterMemory(config)
        wiring.connect(m, wiring.flipped(self.write_param), parameters.write)
        m.d.comb += [
            parameters.enable.eq(started),
            parameters.tile.eq(self.tiles.payload.param),
            parameters.part.eq(step),
        ]
        fetch = Stages(m, self._enables["fetch"])
        accumulators = self._part(self.tiles.payload.tile, step, lanes * config.acc_bits)
        accumulators = fetch.delayed(0, FETCH_LATENCY - 1, accumulators, "accumulators")
        values = self._requantised(accumulators, parameters.channels)
        if config.residual:
            operand = self._part(self.tiles.payload.residual, step, lanes * 8)
            values = self._with_residual(values, fetch.delayed(0, FETCH_LATENCY - 1, operand, "operand"))
        results = Cat(value[:8] for value in values)
        if config.table:
            m.submodules.table = table = ByteTable(config)
            wiring.connect(m, wiring.flipped(self.write_table), table.write)
            m.d.comb += [
                table.enables.eq(self._enables["table"]),
                table.bypass.eq(~self._mode(StoreMode.TABLE)),
                table.indices.eq(results),
            ]
            results = table.results
        taken = self._gather(reached[-1], results)
        self._start(started, step, taken)
        return m

    def _mode(self, bit: StoreMode) -> Value:
        return self.mode[bit.bit_length() - 1]

    def _part(self, tile: Value, step: Value, width: int) -> Value:
        return tile if self.steps == 1 else tile.word_select(step, width)

    def _start(self, started: Signal, step: Signal, taken: Value) -> None:
        """Cut the tile at the stream's head into steps, as far as the buffer has places left."""
        m, depth = self._m, epilogue_buffer(self._config)
        under_way, room = Signal(range(depth + 1)), Signal()
        last = step == self.steps - 1
        m.d.comb += [
            room.eq(under_way != depth),
            started.eq(self.tiles.valid & room),
            self.tiles.ready.eq(room & last),
        ]
        with m.If(started):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
        with m.If(started ^ taken):
            m.d.sync += under_way.eq(Mux(started, under_way + 1, under_way - 1))

    def _ordered(self, low: Value, high: Value, name: str) -> Value:
        """The lower bound, at most the upper: ``min(max(v, lo), hi)`` is ``hi`` if they are the wrong way round."""
        # As the operands arrive, so that it stands still without tiles.
        return Stages(self._m, self._enables["fetch"])(0, Mux(low > high, high, low).as_signed(), name)

    def _requantised(self, accumulators: Value, channels: Value) -> list[Value]:
        m, bits = self._m, self._config.acc_bits
        low = self._ordered(self.clamp_lo, self.clamp_hi, "lowest")
        results = []
        for k in range(self._lanes):
            m.submodules[f"requantise_{k}"] = lane = RequantiseLane()
            bias, scale = (channels.word_select(2 * k + half, PARAM_BITS // 2) for half in (0, 1))
            m.d.comb += [
                lane.enables.eq(self._enables["requantise"]),
                lane.acc.eq(accumulators.word_select(k, bits)),
                lane.bias.eq(bias),
                lane.scale.eq(scale),
                lane.zero_point.eq(self.zero_point),
                lane.clamp_lo.eq(low),
                lane.clamp_hi.eq(self.clamp_hi),
            ]
            results.append(lane.result)
        return results

    def _with_residual(self, values: list[Value], operand: Value) -> list[Value]:
        """The sums, or the values as they are: times 1, plus 0 times the operand, plus 0."""
        m, added = self._m, self._mode(StoreMode.RESIDUAL)
        waiting = Stages(m, self._enables["requantise"])
        operand = waiting.delayed(0, REQUANTISE_LATENCY - 1, operand, "operand_waits")
        swapped = self._mode(StoreMode.SWAP) & added
        own = Mux(added, self.scale, Const(_ONE, 32))
        other = Mux(added, self.residual_scale, 0)
        m.submodules.constants = constants = ResidualConstants()
        high = Mux(added, self.sum_hi, _GREATEST).as_signed()
        low = self._ordered(Mux(added, self.sum_lo, _LEAST).as_signed(), high, "lowest_sum")
        m.d.comb += [
            constants.enables.eq(self._enables["fetch"]),
            constants.outer.eq(Mux(swapped, other, own)),
            constants.inner.eq(Mux(swapped, own, other)),
            constants.addend.eq(Mux(added, self.offset, 0)),
        ]
        results = []
        for k, value in enumerate(values):
            m.submodules[f"residual_{k}"] = lane = ResidualLane()
            byte = operand.word_select(k, 8)
            residual = Cat(byte, byte[-1] & ~self._mode(StoreMode.UNSIGNED)).as_signed()
            m.d.comb += [
                lane.enables.eq(self._enables["residual"]),
                lane.a.eq(Mux(swapped, residual, value)),
                lane.b.eq(Mux(swapped, value, residual)),
                lane.constants.eq(constants.constants),
                lane.sum_lo.eq(low),
                lane.sum_hi.eq(high),
            ]
            results.append(lane.result)
        return results

    def _gather(self, arrived: Value, result: Value) -> Value:
        """Buffer the steps' results and put tiles together again; returns whether a step leaves the buffer.

        The last part of a tile comes straight from the buffer.
        """
        m = self._m
        m.submodules.buffer = buffer = fifo.SyncFIFOBuffered(width=len(result), depth=epilogue_buffer(self._config))
        m.d.comb += [buffer.w_data.eq(result), buffer.w_en.eq(arrived)]
        part, taken = Signal(range(max(2, self.steps))), Signal()
        parts = [Signal(len(result), name=f"part_{k}", reset_less=True) for k in range(self.steps - 1)]
        last = part == self.steps - 1
        m.d.comb += [
            self.results.payload.eq(Cat(*parts, buffer.r_data)),
            self.results.valid.eq(buffer.r_rdy & last),
            buffer.r_en.eq(Mux(last, self.results.ready, 1)),
            taken.eq(buffer.r_rdy & buffer.r_en),
        ]
        with m.If(taken):
            m.d.sync += part.eq(Mux(last, 0, part + 1))
            for k, held in enumerate(parts):
                with m.If(part == k):
                    m.d.sync += held.eq(buffer.r_data)
        return taken
