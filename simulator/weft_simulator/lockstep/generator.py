"""Random legal programs: the same seed and configuration give the same program.

Instructions are drawn one by one, as a serial program; what each reads and writes is known at once, and a token is put
wherever a conflict with an earlier instruction of another queue is not ordered yet. So a program is legal by
construction and no more serial than its data demands. Last, the three queues are merged into one fetch order at random.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Instruction,
    Load,
    Memory,
    Queue,
    Set,
    SetRegister,
    Store,
    StoreMode,
    alu_operations,
    loadable,
    settable,
    storable,
    store_modes,
)

from .accesses import Accesses, AccessTracker
from .bits import instruction_bytes, uops_to_bytes
from .extension_values import draw_register, parameter_bytes
from .oracle import overlaps_itself, runs_to_end
from .program import Program
from .tokens import CHANNELS, COMPUTE, LOAD, STORE, Channel, pop_flag, push_flag

DRAM_BASE = 0x1000_0000
GUARD = 4096
"""Bytes at both ends of DRAM that no program may touch."""

UOP_REGION = (GUARD, GUARD + 8192)
INSN_REGION = (UOP_REGION[1], UOP_REGION[1] + 16384)
ARENA = (INSN_REGION[1], INSN_REGION[1] + 256 * 1024)
"""Where tensors come from and go to."""

PARAMETERS = (ARENA[0] + 4096, ARENA[0] + 20480)
"""Where biases and scales come from, mostly."""

DRAM_SIZE = ARENA[1] + GUARD

TABLE_UOPS = 512

Fields = dict[str, Any]
"""Values of some of an instruction's fields, by name."""

IMMEDIATES = (0, 1, -1, 2, -2, 7, 15, 16, -16, 30, 31, 32, 33, -31, -32, -33, 127, -128, 255, 32767, -32768)
SHIFTS = (-33, -32, -31, -1, 0, 1, 31, 32, 33)
"""Immediate shift amounts around the accumulator's width."""

CORNERS = (0, 1, -1, 4, 31, 32, 33, -5, -31, -32, -33, 0x7FFFFFFF, -0x80000000, 0x40000000, 255, -128, 128, 65535)


@dataclass(frozen=True)
class Style:
    """What a program stresses; drawn from its seed unless a test sets it.

    Parameters
    ----------
    length : int
        Instructions to draw; token carriers come on top.
    pipelined : bool
        Rounds of load, compute, store on alternating buffers instead of instructions at random.
    extra_tokens : float
        How often an instruction takes a token that nothing demands.
    shuffle : bool
        Merge the queues at random instead of fetching in the order drawn.
    """

    length: int = 24
    pipelined: bool = False
    extra_tokens: float = 0.0
    shuffle: bool = True


def draw_style(rng: random.Random) -> Style:
    return Style(
        length=rng.choice((3, 8, 16, 24, 32, 40)),
        pipelined=rng.random() < 0.5,
        extra_tokens=rng.choice((0.0, 0.0, 0.1, 0.4)),
        shuffle=rng.random() < 0.8,
    )


def generate(config: AcceleratorConfig, seed: int, style: Style | None = None, dram_base: int = DRAM_BASE) -> Program:
    """The legal program of a seed, for a memory of `DRAM_SIZE` bytes at ``dram_base``."""
    for attempt in range(100):
        rng = random.Random(f"{seed}/{attempt}")
        program = _Builder(config, rng, style or draw_style(rng), dram_base).build()
        if program is not None:
            program.name = f"seed {seed}"
            return program
    raise AssertionError(f"seed {seed}: no program fits the queue depths of {config}")


class _Tokens:
    """Knows what already happens before each instruction and adds the tokens that are missing."""

    def __init__(self) -> None:
        self.flags: list[dict[str, bool]] = []
        self.queues: list[Queue] = []
        self.before: list[int] = []
        self.in_queue: dict[Queue, list[int]] = {queue: [] for queue in Queue}
        self.last_pusher: dict[Channel, int] = dict.fromkeys(CHANNELS, -1)

    def append(self, queue: Queue) -> int:
        index = len(self.queues)
        line = self.in_queue[queue]
        self.before.append((self.before[line[-1]] | 1 << line[-1]) if line else 0)
        line.append(index)
        self.queues.append(queue)
        self.flags.append({})
        return index

    def connect(self, pusher: int, popper: int) -> None:
        """A token from one instruction to the newest one."""
        channel = (self.queues[pusher], self.queues[popper])
        assert pusher > self.last_pusher[channel]
        self.last_pusher[channel] = pusher
        self.flags[pusher][push_flag(channel)] = True
        self.flags[popper][pop_flag(channel)] = True
        self.before[popper] |= self.before[pusher] | 1 << pusher

    def unordered(self, candidates: int, index: int) -> int:
        """Those of a mask of instructions that do not happen before one."""
        return candidates & ~self.before[index]


class _Builder:
    def __init__(self, config: AcceleratorConfig, rng: random.Random, style: Style, dram_base: int) -> None:
        self.config = config
        self.dram_base = dram_base
        self.rng = rng
        self.style = style
        self.instructions: list[Instruction] = []
        self.accesses: list[Accesses] = []
        self.tokens = _Tokens()
        self.buffers = self._cut()
        self.program = self._image()
        self.tracker = AccessTracker(self.program)
        self.loaded: list[tuple[int, int]] = []  # ranges of the micro-op buffer with known content

    def _depths(self) -> dict[Memory, int]:
        c = self.config
        return {Memory.INP: c.inp_depth, Memory.WGT: c.wgt_depth, Memory.ACC: c.acc_depth}

    # Memory --------------------------------------------------------------------------------------------------

    def _cut(self) -> dict[Memory, list[tuple[int, int]]]:
        """Ranges (start, length) of each scratchpad that instructions contend for, its ends among them.

        Some ranges have the same start in all, so that a micro-op's source means something to GEMM and ALU alike.
        """
        rng, depths = self.rng, self._depths()
        size = min(min(depths.values()) // 2, rng.choice((1, 2, 4, 16, 48)))
        shared = [rng.randrange(min(depths.values()) - size + 1) for _ in range(rng.randrange(3))]
        ranges = {memory: [(start, size) for start in (0, depth - size, *shared)] for memory, depth in depths.items()}
        for entries in ranges.values():
            rng.shuffle(entries)
        ranges[Memory.OUT] = ranges[Memory.ACC_8BIT] = ranges[Memory.ACC]
        depth = self.config.param_depth
        ranges[Memory.PARAM] = [(0, (depth + 1) // 2), (depth - 1, 1), (0, depth)]
        return ranges

    def _image(self) -> Program:
        rng = self.rng
        noise = np.random.default_rng(rng.getrandbits(64))
        image = np.frombuffer(noise.bytes(DRAM_SIZE), np.uint8).copy()
        quarter = (ARENA[1] - ARENA[0]) // 4
        corners = noise.choice(np.array(CORNERS, np.int64), quarter // 4).astype("<i4")
        start = ARENA[0] + rng.randrange(4) * quarter
        image[start : start + quarter] = corners.view(np.uint8)
        if self.config.epilogue_lanes:
            raw = parameter_bytes(rng, (PARAMETERS[1] - PARAMETERS[0]) // 8)
            image[slice(*PARAMETERS)] = np.frombuffer(raw, np.uint8)
        table = self._uop_table()
        image[UOP_REGION[0] : UOP_REGION[1]] = 0
        image[UOP_REGION[0] : UOP_REGION[0] + len(table)] = np.frombuffer(table, np.uint8)
        limits = {memory: UOP_REGION[0] if memory is Memory.UOP else ARENA[0] for memory in Memory}
        bases = {memory: self.dram_base + 64 * rng.randrange(limit // 64 + 1) for memory, limit in limits.items()}
        if rng.random() < 0.3 and self.dram_base < 1 << 32:
            bases = dict.fromkeys(limits, 0)
        size = instruction_bytes(self.config)
        insn_address = self.dram_base + INSN_REGION[0] + size * rng.randrange(64)
        return Program(self.config, [], image, self.dram_base, bases, insn_address)

    def _uop_table(self) -> bytes:
        """Runs of micro-ops: walks, random ones, and the same few accumulators over and over (distance 1..6)."""
        rng, c = self.rng, self.config
        uops: list[tuple[int, int, int]] = []
        while len(uops) < TABLE_UOPS:
            acc, acc_size = rng.choice(self.buffers[Memory.ACC])
            sources = [Memory.INP] if rng.random() < 0.6 else [Memory.ACC]
            src, src_size = rng.choice(self.buffers[sources[0]])
            wgt, wgt_size = rng.choice(self.buffers[Memory.WGT])
            distance = rng.choice((1, 1, 2, 3, 4, 5, 6, acc_size))
            scatter = rng.random() < 0.3
            for k in range(rng.choice((4, 8, 16, 32))):
                dst = rng.randrange(acc_size) if scatter else k % min(distance, acc_size)
                uops.append((acc + dst, src + rng.randrange(src_size), wgt + rng.randrange(wgt_size)))
        assert c.uop_depth >= 4
        return uops_to_bytes(uops[:TABLE_UOPS], c)

    def _room(self, memory: Memory, region: tuple[int, int]) -> int:
        """How many tiles lie in a region of the image, wherever their memory's base is."""
        return (region[1] - region[0]) // self.tracker.tile_bytes[memory] - 1

    def _dram_tile(self, memory: Memory, tiles: int, region: tuple[int, int]) -> int:
        """A random tile address such that ``tiles`` tiles from there lie in a region of the image."""
        size, base = self.tracker.tile_bytes[memory], self.program.bases[memory] - self.dram_base
        low = -((base - region[0]) // size)
        high = (region[1] - base) // size - tiles
        return self.rng.randint(low, high)

    # Instructions --------------------------------------------------------------------------------------------

    def _block(self, memory: Memory, buffer: int | None, region: tuple[int, int], *, padding: bool) -> dict[str, Any]:
        """Fields of a LOAD or STORE on one buffer, or now and then on the whole scratchpad."""
        rng = self.rng
        depth = self.tracker.depths[memory]
        ranges = self.buffers[memory]
        start, length = ranges[(rng.randrange(len(ranges)) if buffer is None else buffer) % len(ranges)]
        if rng.random() < 0.03:
            start, length = 0, depth
        tiles = length if rng.random() < 0.5 else rng.randint(1, length)
        sram = start + rng.randint(0, length - tiles)
        return {"memory": int(memory), "sram": sram, **self._shape(memory, tiles, region, padding=padding)}

    def _shape(self, memory: Memory, tiles: int, region: tuple[int, int], *, padding: bool) -> Fields:
        rng = self.rng
        width = rng.choice((tiles, tiles, tiles, rng.randint(1, tiles), rng.randint(1, tiles), 1 + tiles // 30))
        rows = tiles // width
        pads = {"x_pad0": 0, "x_pad1": 0, "y_pad0": 0, "y_pad1": 0}
        if padding and rng.random() < 0.5:
            pads |= self._pads("x", width - 1) | self._pads("y", rows)
        x_size = width - pads["x_pad0"] - pads["x_pad1"]
        y_size = rows - pads["y_pad0"] - pads["y_pad1"]
        available = self._room(memory, region)
        x_stride = rng.choice((x_size, x_size, x_size + rng.randint(0, 9), rng.randint(0, x_size)))
        if y_size <= 1:
            x_stride = rng.choice((x_stride, 0, 65535))
        elif (y_size - 1) * x_stride + x_size > available:
            x_stride = rng.randint(0, (available - x_size) // (y_size - 1)) if available >= x_size else 0
        if x_size > available:
            x_size = available
        span = (y_size - 1) * x_stride + x_size if y_size else 0
        dram = self._dram_tile(memory, span, region) if y_size else rng.getrandbits(32)
        return {"dram": dram, "x_size": x_size, "y_size": y_size, "x_stride": x_stride, **pads}

    def _pads(self, axis: str, most: int) -> Fields:
        """Padding before and after, together ``most`` at most; as much as the fields hold now and then."""
        rng = self.rng
        first = min(15, most)
        first = first if rng.random() < 0.2 else rng.randint(0, first)
        ends = [first, rng.randint(0, min(15, most - first))]
        rng.shuffle(ends)
        return {f"{axis}_pad0": ends[0], f"{axis}_pad1": ends[1]}

    def _source(self) -> tuple[int, int]:
        """Where a LOAD reads: mostly the lower half of the arena, which stores mostly spare."""
        return self._half(lower=self.rng.random() < 0.85)

    def _half(self, *, lower: bool) -> tuple[int, int]:
        middle = (ARENA[0] + ARENA[1]) // 2
        if lower:
            return ARENA[0], middle
        return middle, ARENA[1]

    def load(self, memory: Memory, buffer: int | None = None) -> None:
        if memory in (Memory.INP, Memory.ACC, Memory.ACC_8BIT):
            self.set_some(SetRegister.LOAD_PAD if memory is Memory.INP else SetRegister.COMPUTE_PAD)
        if memory is Memory.ACC_8BIT:
            self.set_some(SetRegister.WIDEN)
        self.add(Load(**self._block(memory, buffer, self._source(), padding=True)))

    def store(self, buffer: int | None = None) -> None:
        raw = self.config.raw_store and self.rng.random() < 0.4
        memory = Memory.ACC if raw else Memory.OUT
        region = self._half(lower=self.rng.random() < 0.1)
        mode = self.rng.getrandbits(6) if self.config.epilogue_lanes else 0  # reserved but for ACC_8BIT
        self.add(Store(**self._block(memory, buffer, region, padding=False), mode=mode))

    def load_uops(self) -> None:
        rng, depth = self.rng, self.config.uop_depth
        tiles = min(rng.choice((1, 4, 16, 33, 64, 120)), depth)
        if rng.random() < 0.02:
            tiles = depth
        sram = rng.choice((0, depth - tiles, rng.randint(0, depth - tiles)))
        size = self.tracker.tile_bytes[Memory.UOP]
        region = (UOP_REGION[0], UOP_REGION[0] + TABLE_UOPS * size)
        fields = self._shape(Memory.UOP, tiles, region, padding=rng.random() < 0.3)
        self.add(Load(memory=Memory.UOP, sram=sram, **fields))
        width = fields["x_pad0"] + fields["x_size"] + fields["x_pad1"]
        loaded = width * (fields["y_pad0"] + fields["y_size"] + fields["y_pad1"])
        if loaded:
            self.loaded.append((sram, loaded))

    def _loops(self) -> Fields:
        """A micro-op range of known content and loop counts."""
        rng = self.rng
        if not self.loaded:
            self.load_uops()
        start, length = rng.choice(self.loaded) if self.loaded else (0, 0)
        wanted = rng.choice((1, 2, 3, 8, 24, 48))
        bgn = start + rng.randrange(max(1, length - wanted + 1))
        end = min(start + length, bgn + wanted)
        counts = [rng.choice((1, 1, 1, 2, 3, 5, 9)), rng.choice((1, 1, 2, 3, 4, 7))]
        rng.shuffle(counts)
        if rng.random() < 0.003:
            counts, end = rng.choice(([1, 16383], [16383, 1])), min(end, bgn + 1)
        return {"uop_bgn": bgn, "uop_end": end, "iter_out": counts[0], "iter_in": counts[1]}

    def _steps(self, loops: dict[str, int], column: int, depth: int, bits: int) -> tuple[int, int] | None:
        """Outer and inner step of one index that stay inside the scratchpad; None if the micro-ops already do not."""
        rng = self.rng
        slack = depth - 1 - int(self.tracker.columns[column, loops["uop_bgn"] : loops["uop_end"]].max(initial=0))
        if slack < 0:
            return None
        if rng.random() < 0.8:
            slack = min(slack, rng.choice((4, 24)))
        steps = []
        for trips in (loops["iter_out"], loops["iter_in"]):
            if trips <= 1:
                steps.append(rng.choice((0, 1, (1 << bits) - 1)))
            else:
                steps.append(rng.randint(0, min(slack // (trips - 1), (1 << bits) - 1)))
                slack -= steps[-1] * (trips - 1)
        return steps[0], steps[1]

    def gemm(self) -> None:
        c, rng = self.config, self.rng
        loops = self._loops()
        dst = self._steps(loops, 0, c.acc_depth, c.acc_index_bits)
        src = self._steps(loops, 1, c.inp_depth, c.inp_index_bits)
        wgt = self._steps(loops, 2, c.wgt_depth, c.wgt_index_bits)
        assert dst is not None
        reset = rng.random() < 0.2 or src is None or wgt is None
        src, wgt = src or (0, 0), wgt or (0, 0)
        cls = GemmOverwrite if c.gemm_overwrite and rng.random() < 0.5 else Gemm
        if cls is GemmOverwrite:
            self.set_some(SetRegister.OVERWRITE)
        self.add(
            cls(
                **loops, reset=reset, dst_out=dst[0], dst_in=dst[1], src_out=src[0], src_in=src[1],
                wgt_out=wgt[0], wgt_in=wgt[1],
            )
        )  # fmt: skip

    def alu(self) -> None:
        c, rng = self.config, self.rng
        loops = self._loops()
        dst = self._steps(loops, 0, c.acc_depth, c.acc_index_bits)
        src = self._steps(loops, 1, c.acc_depth, c.src_index_bits)
        assert dst is not None
        use_imm = rng.random() < 0.5 or src is None
        src = src or (0, 0)
        alu_op = rng.choice(sorted(alu_operations(c)))
        corners = SHIFTS if alu_op is AluOp.SHR and rng.random() < 0.5 else IMMEDIATES
        imm = rng.choice(corners) if rng.random() < 0.7 else rng.randint(-32768, 32767)
        self.add(
            Alu(
                **loops, reset=rng.random() < 0.1, dst_out=dst[0], dst_in=dst[1], src_out=src[0], src_in=src[1],
                alu_op=alu_op, use_imm=use_imm, imm=imm,
            )
        )  # fmt: skip

    # Extensions ----------------------------------------------------------------------------------------------

    def set_some(self, *registers: SetRegister) -> None:
        """SET of some of the registers, as far as the accelerator has them."""
        for register in registers:
            if register in settable(self.config) and self.rng.random() < 0.4:
                self.set(register, draw_register(self.rng, register, self.config))

    def set(self, register: SetRegister, value: int) -> None:
        self.add(Set(register=int(register), value=value & 0xFFFFFFFF))

    def set_any(self) -> None:
        self.set_some(*self.rng.sample(sorted(settable(self.config)), 2))

    def load_parameters(self) -> None:
        region = PARAMETERS if self.rng.random() < 0.9 else ARENA
        self.add(Load(**self._block(Memory.PARAM, None, region, padding=self.rng.random() < 0.3)))

    def share_dram(self) -> None:
        """A STORE where a LOAD of its queue still reads, or the other way round: only their order keeps them apart."""
        rng = self.rng
        memories = [Memory.PARAM, Memory.ACC if self.config.raw_store else Memory.OUT]
        rng.shuffle(memories)
        region = self._source()
        for memory in memories:
            kind = Load if memory is Memory.PARAM else Store
            self.add(kind(**self._block(memory, None, region, padding=False)))
            touched = self.accesses[-1].reads.get("dram", 0) | self.accesses[-1].writes.get("dram", 0)
            if touched:
                spare = 4 * max(self.tracker.tile_bytes[m] for m in memories)
                first, end = (touched & -touched).bit_length() - 1, touched.bit_length()
                region = max(first - spare, ARENA[0]), min(end + spare, ARENA[1])
        self.requantise()  # which shows what was loaded

    def load_table(self) -> None:
        rng = self.rng
        rows: Fields = {"y_size": 1} if rng.random() < 0.95 else {rng.choice(("y_pad0", "y_pad1")): 1}  # or zeros
        dram = self._dram_tile(Memory.TABLE, 1, ARENA)
        self.add(Load(memory=int(Memory.TABLE), dram=dram, x_size=1, x_stride=rng.getrandbits(16), **rows))

    def requantise(self, buffer: int | None = None) -> None:
        """A requantising STORE, after SETs of some of the registers that it uses."""
        rng, c = self.rng, self.config
        if rng.random() < 0.1:
            self.load_parameters()  # which may still be under way
        registers = [r for r in sorted(settable(c)) if r >> 4 == STORE and r is not SetRegister.RESIDUAL]
        self.set_some(*registers)
        region = self._half(lower=rng.random() < 0.1)
        insn = Store(**self._block(Memory.ACC_8BIT, buffer, region, padding=False))
        mode = rng.choice((StoreMode(0), StoreMode.PARAM_X, StoreMode.PARAM_Y, StoreMode.PARAM_X | StoreMode.PARAM_Y))
        if self.tracker.parameter_tiles(replace(insn, mode=mode)) > c.param_depth:
            mode = StoreMode(0)
        spare = c.param_depth - self.tracker.parameter_tiles(replace(insn, mode=mode))
        if self.tracker.registers[SetRegister.PARAM] > spare:
            self.set(SetRegister.PARAM, rng.choice((0, spare, rng.randint(0, spare))))
        if c.table and rng.random() < 0.25:
            mode |= StoreMode.TABLE
        if c.residual:
            mode |= StoreMode(rng.getrandbits(3) & ~StoreMode.RESIDUAL)
            if insn.y_size and rng.random() < 0.5:
                mode |= self._residual(replace(insn, mode=mode | StoreMode.RESIDUAL))
        self.add(replace(insn, mode=int(mode)))

    def _residual(self, insn: Store) -> StoreMode:
        """Choose an operand, in place or anywhere; no RESIDUAL where it would be overwritten while it is read."""
        rng = self.rng
        span = (insn.y_size - 1) * insn.x_stride + insn.x_size
        anywhere = self._dram_tile(Memory.ACC_8BIT, span, self._half(lower=rng.random() < 0.6))
        earlier = [e.dram for e in self.instructions if isinstance(e, Store) and e.memory == Memory.ACC_8BIT]
        just_written = earlier[-1] if earlier else anywhere
        beyond = self.program.bases[Memory.ACC_8BIT] - self.dram_base
        if beyond + (just_written + span) * self.tracker.tile_bytes[Memory.ACC_8BIT] > ARENA[1]:
            just_written = anywhere
        place = rng.choice((insn.dram, anywhere, anywhere, just_written))
        self.set(SetRegister.RESIDUAL, place - insn.dram)
        is_possible = not overlaps_itself(insn, self.tracker.of(insn))
        return StoreMode.RESIDUAL if is_possible else StoreMode(0)

    def idle(self) -> None:
        """An instruction that does nothing (no columns, rows, iterations or micro-ops), its other fields anything."""
        rng, c = self.rng, self.config
        kind = rng.randrange(6)
        wild: Fields = {"sram": rng.getrandbits(16), "dram": rng.getrandbits(32), "x_stride": rng.getrandbits(16)}
        if kind == 0:
            pads: Fields = {name: rng.getrandbits(4) for name in ("x_pad0", "x_pad1", "y_pad0", "y_pad1")}
            memory = rng.choice(sorted(loadable(c)))
            self.add(Load(memory=int(memory), y_size=rng.getrandbits(16), **wild, **pads))
        elif kind == 1:
            self.add(Load(memory=int(rng.choice((Memory.WGT, Memory.INP))), x_size=rng.getrandbits(16), **wild))
        elif kind == 2:
            sizes = rng.choice(({"x_size": rng.getrandbits(16)}, {"y_size": rng.getrandbits(16)}))
            memory = rng.choice(sorted(storable(c)))
            mode = rng.getrandbits(6) & store_modes(c) if memory is Memory.ACC_8BIT else 0
            self.add(Store(memory=int(memory), mode=int(mode), **sizes, **wild))
        else:
            counts = rng.choice(((0, 0), (0, 16383), (16383, 0), (3, 5)))
            last = (1 << c.uop_index_bits) - 1
            low = rng.randint(0, last)
            bounds = (low, rng.randint(0, low)) if counts == (3, 5) else (rng.randint(0, last), 2 * last + 1)
            loops: Fields = {"uop_bgn": bounds[0], "uop_end": bounds[1], "iter_out": counts[0], "iter_in": counts[1]}
            steps: Fields = {"dst_out": rng.getrandbits(c.acc_index_bits), "src_in": rng.getrandbits(c.src_index_bits)}
            if kind == 3:
                steps["src_in"] %= 1 << c.inp_index_bits
                self.add(Gemm(**loops, **steps, reset=rng.random() < 0.5, wgt_in=rng.getrandbits(c.wgt_index_bits)))
            else:
                self.add(
                    Alu(
                        **loops,
                        **steps,
                        alu_op=rng.choice(sorted(alu_operations(c))),
                        imm=rng.choice(IMMEDIATES),
                    )
                )

    def fill(self) -> None:
        """Data for every range of inputs and weights and some tiles behind it, so that products are not all zero."""
        for memory in (Memory.INP, Memory.WGT):
            for start, length in self.buffers[memory]:
                region = self._source()
                tiles = min(length + 4, self.tracker.depths[memory] - start, self._room(memory, region))
                dram = self._dram_tile(memory, tiles, region)
                self.add(Load(memory=int(memory), sram=start, dram=dram, x_size=tiles, y_size=1))

    def dump(self) -> None:
        """Store the accumulators that were written since the start, so that what the program did can be seen."""
        written = 0
        for entry in self.accesses:
            written |= entry.writes.get("acc", 0)
        memory = Memory.ACC if self.config.raw_store else Memory.OUT
        region = self._half(lower=False)
        for start, length in _runs(written, gap=8)[:8]:
            tiles = min(length, self._room(memory, region))
            dram = self._dram_tile(memory, tiles, region)
            self.add(Store(memory=int(memory), sram=start, dram=dram, x_size=tiles, y_size=1))

    # Order ---------------------------------------------------------------------------------------------------

    def add(self, insn: Instruction) -> None:
        """Append an instruction with the tokens it needs, and with ones it does not now and then."""
        accesses = self.tracker.of(insn)
        queue = insn.queue
        conflicts = 0
        for index, earlier in enumerate(self.accesses):
            if self.tokens.queues[index] is not queue and accesses.conflicts(earlier):
                conflicts |= 1 << index
        if queue is not COMPUTE:
            conflicts |= self._bridge(queue, conflicts)
        index = self._append(insn, accesses)
        for neighbour in (LOAD, STORE) if queue is COMPUTE else (COMPUTE,):
            mine = [k for k in self.tokens.in_queue[neighbour] if conflicts >> k & 1]
            if mine and self.tokens.unordered(1 << mine[-1], index):
                self.tokens.connect(mine[-1], index)
            elif self.rng.random() < self.style.extra_tokens:
                self._extra(neighbour, index)

    def _append(self, insn: Instruction, accesses: Accesses) -> int:
        self.instructions.append(insn)
        self.accesses.append(accesses)
        return self.tokens.append(insn.queue)

    def _extra(self, neighbour: Queue, index: int) -> None:
        floor = self.tokens.last_pusher[neighbour, self.tokens.queues[index]]
        free = [k for k in self.tokens.in_queue[neighbour] if k > floor]
        if free:
            self.tokens.connect(self.rng.choice((free[0], self.rng.choice(free))), index)

    def _bridge(self, queue: Queue, conflicts: int) -> int:
        """Load and Store share no tokens: where one must wait for the other, a compute instruction carries the order.

        Returns its bit, or 0 where the order holds already or comes with the tokens taken from Compute.
        """
        tokens = self.tokens
        far = [k for k in tokens.in_queue[STORE if queue is LOAD else LOAD] if conflicts >> k & 1]
        known = [k for k in tokens.in_queue[COMPUTE] if conflicts >> k & 1] + tokens.in_queue[queue][-1:]
        if not far or any(tokens.before[k] >> far[-1] & 1 for k in known):
            return 0
        carrier = self._append(Load(memory=int(Memory.UOP)), Accesses())
        if tokens.unordered(1 << far[-1], carrier):
            tokens.connect(far[-1], carrier)
        return 1 << carrier

    def _merge(self) -> list[int]:
        """A fetch order: any that keeps each queue's own order means the same."""
        rng = self.rng
        if not self.style.shuffle:
            return list(range(len(self.instructions)))
        lines = [list(reversed(line)) for line in self.tokens.in_queue.values()]
        weights = [rng.choice((0.01, 1.0, 1.0, 4.0)) for _ in lines]
        order = []
        while any(lines):
            line = rng.choices(lines, [w if line else 0.0 for w, line in zip(weights, lines, strict=True)])[0]
            for _ in range(rng.randint(1, 4)):
                if line:
                    order.append(line.pop())
        return order

    def build(self) -> Program | None:
        """The program, or None if its fetch order does not fit the queues' depths."""
        rng, length = self.rng, self.style.length
        finish_at = rng.randrange(length) if rng.random() < 0.2 else length
        steps = self._pipeline() if self.style.pipelined else self._mixture()
        if rng.random() < 0.7:
            self.fill()
        if self.config.epilogue_lanes and rng.random() < 0.5:
            self.load_parameters()
        if self.config.table and rng.random() < 0.5:
            self.load_table()
        for k in range(length):
            if k == finish_at:
                self.add(Finish())
            next(steps)()
        if rng.random() < 0.8:
            self.dump()
        if finish_at == length:
            self.add(Finish())
        flagged = [replace(insn, **flags) for insn, flags in zip(self.instructions, self.tokens.flags, strict=True)]
        depths = self.config.command_queue_depth, self.config.token_queue_depth
        for order in (self._merge(), range(len(flagged))):
            self.program.instructions = [flagged[k] for k in order]
            if runs_to_end(self.program.instructions, *depths, atomic=True):
                self.program.install()
                return self.program
        return None

    def _pipeline(self) -> Iterator[Callable[[], None]]:
        """Rounds on buffer 0, 1, 0, 1, …: what a compiler's double buffering looks like."""
        rng = self.rng
        yield self.load_uops
        if self.config.epilogue_lanes:
            yield self.load_parameters
        for turn in count():
            yield partial(self.load, Memory.INP, turn)
            if rng.random() < 0.7:
                yield partial(self.load, Memory.WGT, turn)
            if rng.random() < 0.2:
                yield rng.choice((self.load_uops, partial(self.load, Memory.ACC, turn)))
            yield self.gemm
            if rng.random() < 0.6:
                yield self.alu
            yield partial(self.requantise if self.config.epilogue_lanes and rng.random() < 0.7 else self.store, turn)

    def _mixture(self) -> Iterator[Callable[[], None]]:
        """Instructions of all kinds at random."""
        loads = [partial(self.load, memory) for memory in (Memory.INP, Memory.WGT, Memory.ACC)]
        kinds = [*loads, self.load_uops, self.gemm, self.alu, self.store, self.idle]
        weights = [4, 3, 2, 2, 5, 5, 4, 1]
        for kind, weight, is_there in (
            (self.set_any, 2, len(settable(self.config)) > 1),
            (partial(self.load, Memory.ACC_8BIT), 2, self.config.widening_load),
            (self.load_parameters, 2, self.config.epilogue_lanes),
            (self.load_table, 1, self.config.table),
            (self.share_dram, 1, self.config.epilogue_lanes),
            (self.requantise, 6, self.config.epilogue_lanes),
        ):
            if is_there:
                kinds.append(kind)
                weights.append(weight)
        while True:
            yield self.rng.choices(kinds, weights)[0]


def _runs(mask: int, gap: int) -> list[tuple[int, int]]:
    """The ranges (start, length) that cover the bits of a mask, those closer than ``gap`` joined."""
    runs: list[tuple[int, int]] = []
    for index in np.flatnonzero(np.array([bit == "1" for bit in reversed(f"{mask:b}")])).tolist():
        if runs and index - sum(runs[-1]) < gap:
            runs[-1] = (runs[-1][0], index + 1 - runs[-1][0])
        else:
            runs.append((index, 1))
    return runs
