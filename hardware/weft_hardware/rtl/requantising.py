"""What a STORE of ACC_8BIT adds to the way out: the epilogue, with each tile's parameters and residual operand."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Load, Memory, Queue, Set, Store, StoreMode, instruction_bits
from .block import BlockLoader
from .bursts import longest_burst
from .epilogue import Epilogue, epilogue_tile_layout
from .layouts import instruction_layout
from .queue_registers import QueueRegisters
from .rows import address_bits, load_target
from .signatures import fault_port, read_port, scratchpad_write, window_port

BUFFER_BYTES = 2048
LOAD_BURST = 16
"""The loader's buffer is more than a residual operand of half a beat a cycle needs at a latency of 200 cycles; its
bursts are short, so that they hold up those of others for a short time only."""

RESIDUALS_AHEAD = 4
"""Residual tiles between the loader and the epilogue; their beats wait in the loader's buffer."""

OPERANDS = ("zero_point", "clamp_lo", "clamp_hi")
RESIDUAL_OPERANDS = ("scale", "residual_scale", "offset", "sum_lo", "sum_hi")


class RequantisingPath(wiring.Component):
    """Gives each tile its parameter tile and its residual operand, and requantises it.

    A tile enters in the cycle in which both are there, and takes ``batch · block_out / epilogue_lanes`` cycles.

    Attributes
    ----------
    start : In(1)
        Tiles are those of a new block of ``width`` tiles a row from now on; all results of the one before were taken.
    width : In(17)
    param : In(16)
        Parameter tile of the block's first tile; static while a block is under way, like ``mode``.
    mode : In(6)
        `isa.StoreMode`.
    tiles : In stream of acc_tile_bits
    results : Out stream of 8-bit tiles, in the same order
    write_param, write_residual, write_table : In(scratchpad_write)
        What LOAD brings. Residual tiles come in the block's order, whatever their index.
    pause : Out(1)
        No residual tile may be written from the cycle after the next on.
    <register> : In
        The epilogue's, see there.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._epilogue = epilogue = Epilogue(config)
        self._result_bits = config.batch * config.block_out * 8
        members: dict[str, In | Out] = {
            "start": In(1),
            "width": In(17),
            "param": In(16),
            "mode": In(6),
            "tiles": In(stream.Signature(config.acc_tile_bits)),
            "results": Out(stream.Signature(self._result_bits)),
        }
        self._passed = ["write_param", *OPERANDS]
        if config.residual:
            self._passed += RESIDUAL_OPERANDS
            members |= {
                "write_residual": In(scratchpad_write(config.acc_index_bits, self._result_bits)),
                "pause": Out(1),
            }
        self._passed += ["write_table"] if config.table else []
        members |= {name: epilogue.signature.members[name] for name in self._passed}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.epilogue = epilogue = self._epilogue
        for name in self._passed:
            if name.startswith("write_"):
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(epilogue, name))
            else:
                m.d.comb += getattr(epilogue, name).eq(getattr(self, name))
        wiring.connect(m, epilogue.results, wiring.flipped(self.results))

        param, row_param, x = Signal(16), Signal(16), Signal(17)
        taken, complete = Signal(), Signal()
        tile = Signal(epilogue_tile_layout(self._config))
        m.d.comb += [
            tile.tile.eq(self.tiles.payload),
            tile.param.eq(param),
            epilogue.mode.eq(self.mode),
            epilogue.tiles.payload.eq(tile),
            epilogue.tiles.valid.eq(self.tiles.valid & complete),
            self.tiles.ready.eq(epilogue.tiles.ready & complete),
            taken.eq(epilogue.tiles.valid & epilogue.tiles.ready),
        ]
        with m.If(taken):
            next_row = row_param + _bit(self.mode, StoreMode.PARAM_Y)
            with m.If(x == self.width - 1):
                m.d.sync += [x.eq(0), param.eq(next_row), row_param.eq(next_row)]
            with m.Else():
                m.d.sync += [x.eq(x + 1), param.eq(param + _bit(self.mode, StoreMode.PARAM_X))]
        with m.If(self.start):
            m.d.sync += [x.eq(0), param.eq(self.param), row_param.eq(self.param)]
        if self._config.residual:
            m.d.comb += complete.eq(self._residual(m, tile.residual, taken))
        else:
            m.d.comb += complete.eq(1)
        return m

    def _residual(self, m: Module, operand: Value, taken: Value) -> Value:
        """Queue the residual operand's tiles; returns whether the next one is there, or none is needed."""
        m.submodules.residuals = residuals = fifo.SyncFIFO(width=self._result_bits, depth=RESIDUALS_AHEAD)
        needed = _bit(self.mode, StoreMode.RESIDUAL)
        m.d.comb += [
            residuals.w_data.eq(self.write_residual.tile),
            residuals.w_en.eq(self.write_residual.enable),
            # One may be on its way from the loader's walk when the pause begins.
            self.pause.eq(residuals.w_level >= RESIDUALS_AHEAD - 2),
            operand.eq(residuals.r_data),
            residuals.r_en.eq(taken & needed),
        ]
        return ~needed | residuals.r_rdy


class RequantisingUnit(wiring.Component):
    """The epilogue with what the store queue keeps for it: registers, parameters, table, residual operand.

    The residual operand is a block of its own: a LOAD of ACC_8BIT with the STORE's geometry, whose tiles go to the
    epilogue instead of a scratchpad. It is requested 4 cycles after the STORE's block began.

    Parameters
    ----------
    config : AcceleratorConfig
    memories : tuple of Memory
        Whose LOAD runs here.

    Attributes
    ----------
    clear : In(1)
        The registers take their initial values.
    offered : In
        The instruction that may be accepted now; ``set_legal`` says whether SET's register exists.
    accepted, set, load : In(1)
        It is accepted; and is a SET, or a LOAD. ``loaded`` pulses when that has run.
    insn : In
        The instruction accepted last; a STORE of ACC_8BIT is static until its last result was taken.
    outside, first_outside : Out(1), Out(16)
        The STORE needs parameter tiles outside the scratchpad; from the second cycle after it was accepted.
    begins : In(1)
        A STORE's block is checked; its tiles follow.
    tiles : In stream of acc_tile_bits
    results : Out stream of 8-bit tiles, in the same order
    window : Out(window_port)
    read : Out(read_port)
    base_<name> : In(axi_addr_bits)
        Of ``memories``, and of ACC_8BIT where there is a residual operand.
    fault : Out(fault_port)
        As `block.BlockLoader`.
    """

    def __init__(self, config: AcceleratorConfig, memories: tuple[Memory, ...]) -> None:
        self._config = config
        self._store, self._load, self._set = (instruction_layout(cls, config) for cls in (Store, Load, Set))
        self._memories = (*memories, *([Memory.ACC_8BIT] if config.residual else []))
        self.bases = tuple(f"base_{memory.name.lower()}" for memory in self._memories)
        bits = instruction_bits(config)
        super().__init__(
            {
                "clear": In(1),
                "offered": In(bits),
                "set_legal": Out(1),
                "accepted": In(1),
                "set": In(1),
                "load": In(1),
                "loaded": Out(1),
                "insn": In(bits),
                "outside": Out(1),
                "first_outside": Out(16),
                "begins": In(1),
                "tiles": In(stream.Signature(config.acc_tile_bits)),
                "results": Out(stream.Signature(config.batch * config.block_out * 8)),
                "window": Out(window_port(config)),
                "read": Out(read_port(config)),
                "fault": Out(fault_port()),
                **{name: In(config.axi_addr_bits) for name in self.bases},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.registers = registers = QueueRegisters(config, Queue.STORE)
        m.submodules.path = path = RequantisingPath(config)
        insn, offered = self._store(self.insn), self._set(self.offered)
        wiring.connect(m, wiring.flipped(self.tiles), path.tiles)
        wiring.connect(m, path.results, wiring.flipped(self.results))
        m.d.comb += [
            registers.number.eq(offered.register),
            registers.value.eq(offered.value),
            registers.write.eq(self.set),
            registers.clear.eq(self.clear),
            self.set_legal.eq(registers.legal),
            path.start.eq(self.begins),
            path.width.eq(insn.x_size),
            path.mode.eq(insn.mode),
            path.param.eq(registers.param),
        ]
        for name in (*OPERANDS, *(RESIDUAL_OPERANDS if config.residual else ())):
            m.d.comb += getattr(path, name).eq(getattr(registers, name))

        # The cycle after an instruction was accepted.
        fresh = Signal()
        m.d.sync += fresh.eq(self.accepted)
        last_param = registers.param + Mux(_bit(insn.mode, StoreMode.PARAM_X), insn.x_size - 1, 0)[:16]
        last_param = last_param + Mux(_bit(insn.mode, StoreMode.PARAM_Y), insn.y_size - 1, 0)[:16]
        with m.If(fresh):
            m.d.sync += self.outside.eq(last_param >= config.param_depth)
        # Tile by tile the number grows by one at most, so it leaves the scratchpad at its end.
        beyond = registers.param >= config.param_depth
        m.d.comb += self.first_outside.eq(Mux(beyond, registers.param, config.param_depth))
        self._loads(m, path, registers, fresh)
        return m

    def _loads(self, m: Module, path: RequantisingPath, registers: QueueRegisters, fresh: Value) -> None:
        """Bring parameters, tables and residual operands."""
        config, insn = self._config, self._store(self.insn)
        m.submodules.loader = loader = BlockLoader(
            config,
            self._memories,
            buffer_beats=max(2 * LOAD_BURST, BUFFER_BYTES // config.axi_bytes),
            longest=min(LOAD_BURST, longest_burst(config)),
        )
        wiring.connect(m, loader.read, wiring.flipped(self.read))
        wiring.connect(m, loader.window, wiring.flipped(self.window))
        wiring.connect(m, loader.fault, wiring.flipped(self.fault))
        wanted = Signal()
        m.d.comb += [
            loader.start.valid.eq(wanted),
            loader.start.payload.eq(self.insn),
            loader.oldest.eq(1),
            self.loaded.eq(loader.done),
        ]
        with m.If(loader.start.ready):
            m.d.sync += wanted.eq(0)
        with m.If(self.load | (self.begins & _bit(insn.mode, StoreMode.RESIDUAL) & config.residual)):
            m.d.sync += wanted.eq(1)
        for memory, base in zip(self._memories, self.bases, strict=True):
            if memory is not Memory.ACC_8BIT:
                written = f"write_{memory.name.lower()}"
                wiring.connect(m, getattr(loader, written), getattr(path, written))
                m.d.comb += getattr(loader, base).eq(getattr(self, base))
                continue
            wiring.connect(m, loader.write_acc_8bit, path.write_residual)
            m.d.comb += loader.hold.eq(path.pause)
            self._place_operand(m, loader, registers.residual, fresh)

    def _place_operand(self, m: Module, loader: BlockLoader, away: Value, fresh: Value) -> None:
        """Move the STORE's block to its residual operand, ``away`` tiles from it.

        The loader takes a tile's place in its beat from the tile's number in DRAM, and the base for a whole number of
        beats. So the tiles that are less than a beat go into the number, and the others, with the carry, into the base.
        """
        target, dram = load_target(Memory.ACC_8BIT, self._config), loader.start.payload.dram
        slot_bits = (target.tiles_per_beat - 1).bit_length()
        beat_step = target.tile_bytes << slot_bits
        low, slot, base = Signal(slot_bits + 1), Signal(slot_bits), Signal(address_bits(self._config))
        m.d.comb += low.eq(self._store(self.insn).dram[:slot_bits] + away[:slot_bits])
        with m.If(fresh):
            m.d.sync += [slot.eq(low), base.eq(self.base_acc_8bit + ((away >> slot_bits) + low[slot_bits]) * beat_step)]
        m.d.comb += loader.base_acc_8bit.eq(base)
        with m.If(loader.start.payload.memory == Memory.ACC_8BIT):
            m.d.comb += dram[:slot_bits].eq(slot)


def _bit(mode: Value, bit: StoreMode) -> Value:
    return mode[bit.bit_length() - 1]
