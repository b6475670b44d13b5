"""What the store queue keeps for its epilogue: registers, parameters, table, residual operands."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import Load, Memory, Queue, Set, Store, StoreMode, instruction_bits
from ..latencies import MOVING, epilogue_burst, epilogue_reader_beats
from .block import BlockLoader
from .layouts import instruction_layout
from .queue_registers import QueueRegisters
from .requantising_path import OPERANDS, RESIDUAL_OPERANDS, STREAM_LAYOUT, RequantisingPath, has_mode
from .rows import address_bits, load_target
from .signatures import fault_port, read_port, window_port


class RequantisingUnit(wiring.Component):
    """The epilogue with what the store queue keeps for it: registers, parameters, table, residual operand.

    The residual operand is a block of its own: a LOAD of ACC_8BIT with the STORE's geometry, whose tiles go to the
    epilogue instead of a scratchpad. Its rows are requested 4 cycles after the STORE's block began, or after the STORE
    became the oldest that runs: it may lie where those before write.

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
        The instruction that may be accepted now; ``set_legal`` says whether SET's register exists, ``set_moving``
        whether it is one of `MOVING`: any other is static while an instruction runs.
    accepted, set, load : In(1)
        A STORE that writes something, a SET, a LOAD is accepted; the latter when nothing else runs.
    loaded : Out(1)
        Pulses when the LOAD has run.
    insn : In
        The LOAD or STORE accepted last; static while ``busy``, and from a STORE of ACC_8BIT's acceptance until its
        block began.
    busy : Out(1)
        The window port or ``insn`` is needed.
    oldest : In(1)
        That instruction, if it has begun, is the oldest that runs.
    outside, first_outside : Out(1), Out(16)
        The STORE needs parameter tiles outside the scratchpad; from the second cycle after it was accepted.
    blocks : In stream of STREAM_LAYOUT
        Checked blocks.
    tiles : In stream of acc_tile_bits
        Theirs.
    passed : Out stream of acc_tile_bits
        Those that are not requantised.
    results : Out stream of 8-bit tiles
        Those that are.
    sent : In(1)
        The last result of a block was taken.
    starved : Out(1)
        For want of parameters, a table or a residual operand no tile enters.
    window : Out(window_port)
    read : Out(read_port)
    base_<name> : In(axi_addr_bits)
        Of ``memories``, and of ACC_8BIT where there is a residual operand.
    fault : Out(fault_port)
        As `block.BlockLoader`; of the oldest instruction.
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
                "set_moving": Out(1),
                "accepted": In(1),
                "set": In(1),
                "load": In(1),
                "loaded": Out(1),
                "insn": In(bits),
                "busy": Out(1),
                "oldest": In(1),
                "outside": Out(1),
                "first_outside": Out(16),
                "blocks": In(stream.Signature(STREAM_LAYOUT)),
                "tiles": In(stream.Signature(config.acc_tile_bits)),
                "passed": Out(stream.Signature(config.acc_tile_bits)),
                "results": Out(stream.Signature(config.batch * config.block_out * 8)),
                "sent": In(1),
                "starved": Out(1),
                "window": Out(window_port(config)),
                "read": Out(read_port(config)),
                "fault": Out(fault_port()),
                **{name: In(config.axi_addr_bits) for name in self.bases},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.registers = self._registers = registers = QueueRegisters(config, Queue.STORE)
        m.submodules.path = self._path = path = RequantisingPath(config)
        self._insn, offered = self._store(self.insn), self._set(self.offered)
        for name in ("blocks", "tiles", "passed", "results"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(path, name))
        m.d.comb += [
            path.sent.eq(self.sent),
            registers.number.eq(offered.register),
            registers.value.eq(offered.value),
            registers.write.eq(self.set),
            registers.clear.eq(self.clear),
            self.set_legal.eq(registers.legal),
            self.set_moving.eq(Cat(offered.register == number for number in MOVING).any()),
        ]
        for name in (*OPERANDS, *(RESIDUAL_OPERANDS if config.residual else ())):
            m.d.comb += getattr(path, name).eq(getattr(registers, name))
        self._check_parameters(m)
        self._loads(m)
        return m

    def _check_parameters(self, m: Module) -> None:
        """Keep the STORE's first parameter tile, and look whether all are in the scratchpad."""
        insn, depth = self._insn, self._config.param_depth
        first, fresh = Signal(16), Signal()
        m.d.sync += fresh.eq(self.accepted)
        with m.If(self.accepted):
            m.d.sync += first.eq(self._registers.param)
        last = first + Mux(has_mode(insn.mode, StoreMode.PARAM_X), insn.x_size - 1, 0)[:16]
        last = last + Mux(has_mode(insn.mode, StoreMode.PARAM_Y), insn.y_size - 1, 0)[:16]
        with m.If(fresh):
            m.d.sync += self.outside.eq(last >= depth)
        m.d.comb += [
            # Tile by tile the number grows by one at most, so it leaves the scratchpad at its end.
            self.first_outside.eq(Mux(first >= depth, first, depth)),
            self._path.first_param.eq(first),
            self._path.mode.eq(insn.mode),
        ]

    def _loads(self, m: Module) -> None:
        """Bring parameters, tables and residual operands, for the oldest instruction only."""
        config, insn, path = self._config, self._insn, self._path
        m.submodules.loader = loader = BlockLoader(
            config,
            self._memories,
            buffer_beats=epilogue_reader_beats(config),
            longest=epilogue_burst(config),
        )
        wiring.connect(m, loader.read, wiring.flipped(self.read))
        wiring.connect(m, loader.window, wiring.flipped(self.window))
        wiring.connect(m, loader.fault, wiring.flipped(self.fault))
        # The window's row is read when the loader starts, and looked at in the two cycles after.
        wanted, looks, loading, begins = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            loader.start.valid.eq(wanted & self.oldest),
            loader.start.payload.eq(self.insn),
            loader.oldest.eq(1),
            begins.eq(self.blocks.valid & self.blocks.ready & self.blocks.payload.requantised),
            self.loaded.eq(loader.done),
            self.busy.eq(wanted | looks),
            path.hold.eq(loading),
            self.starved.eq(loading | path.starved),
        ]
        m.d.sync += looks.eq(wanted)
        with m.If(loader.start.ready & self.oldest):
            m.d.sync += wanted.eq(0)
        with m.If(self.load | (begins & has_mode(insn.mode, StoreMode.RESIDUAL) & config.residual)):
            m.d.sync += wanted.eq(1)
        with m.If(self.load):
            m.d.sync += loading.eq(1)
        with m.Elif(loader.done):
            m.d.sync += loading.eq(0)
        for memory, base in zip(self._memories, self.bases, strict=True):
            if memory is not Memory.ACC_8BIT:
                written = f"write_{memory.name.lower()}"
                wiring.connect(m, getattr(loader, written), getattr(path, written))
                m.d.comb += getattr(loader, base).eq(getattr(self, base))
                continue
            wiring.connect(m, loader.write_acc_8bit, path.write_residual)
            m.d.comb += loader.hold.eq(path.pause)
            self._place_operand(m, loader)

    def _place_operand(self, m: Module, loader: BlockLoader) -> None:
        """Move the STORE's block to its residual operand, RESIDUAL tiles from it.

        The loader takes a tile's place in its beat from the tile's number in DRAM, and the base for a whole number of
        beats. So the tiles that are less than a beat go into the number, and the others, with the carry, into the base.
        """
        target, dram = load_target(Memory.ACC_8BIT, self._config), loader.start.payload.dram
        slot_bits = (target.tiles_per_beat - 1).bit_length()
        beat_step = target.tile_bytes << slot_bits
        away = self._registers.residual
        low, slot, base = Signal(slot_bits + 1), Signal(slot_bits), Signal(address_bits(self._config))
        m.d.comb += low.eq(self._store(self.offered).dram[:slot_bits] + away[:slot_bits])
        with m.If(self.accepted):
            m.d.sync += [slot.eq(low), base.eq(self.base_acc_8bit + ((away >> slot_bits) + low[slot_bits]) * beat_step)]
        m.d.comb += loader.base_acc_8bit.eq(base)
        with m.If(loader.start.payload.memory == Memory.ACC_8BIT):
            m.d.comb += dram[:slot_bits].eq(slot)
