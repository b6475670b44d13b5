"""The generator covers the instruction set: each feature turns up in a few hundred programs, and what runs is seen."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from support.configs import CONFIGS, EXTENDED
from weft_hardware.isa import (
    BASE_ALU_OPS,
    Alu,
    AluOp,
    Finish,
    Gemm,
    GemmOverwrite,
    Memory,
    MemoryInstruction,
    Set,
    SetRegister,
    Store,
    StoreMode,
    alu_operations,
    loadable,
    settable,
    store_modes,
)
from weft_simulator.lockstep.accesses import AccessTracker
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.oracle import linear_order, predecessors
from weft_simulator.lockstep.reference import Machine, ReferenceFaultError


def memory_features(insn, depth):
    name = f"{type(insn).__name__} {Memory(insn.memory).name}"
    pads = (insn.x_pad0, insn.x_pad1, insn.y_pad0, insn.y_pad1)
    rows = insn.y_pad0 + insn.y_size + insn.y_pad1
    tiles = (insn.x_pad0 + insn.x_size + insn.x_pad1) * rows
    yield name
    yield from (f"{name} {what}" for what, holds in {
        "without columns": insn.x_size == 0,
        "rows of padding only": insn.x_size > 0 and insn.y_size == 0 and rows > 0,
        "no rows": insn.x_size > 0 and rows == 0,
        "padding": any(pads) and insn.x_size * insn.y_size > 0,
        "a pitch over the row": insn.y_size > 1 and insn.x_stride > insn.x_size,
        "overlapping rows": insn.y_size > 1 and insn.x_stride < insn.x_size,
        "up to the last tile": tiles > 0 and insn.sram + tiles == depth,
        "the whole scratchpad": tiles == depth,
    }.items() if holds)  # fmt: skip


def loop_features(insn, uops):
    name = type(insn).__name__ if isinstance(insn, Gemm) else f"{AluOp(insn.alu_op).name} {insn.use_imm}"
    if not (insn.iter_out and insn.iter_in):
        yield f"{type(insn).__name__} zero iterations"
    elif insn.uop_bgn >= insn.uop_end:
        yield f"{type(insn).__name__} no micro-ops"
    else:
        yield name
        if isinstance(insn, Gemm):
            yield f"Gemm reset {insn.reset}"
        dst = uops[0, insn.uop_bgn : insn.uop_end]
        last = {}
        for k, d in enumerate(dst.tolist()):
            if d in last and k - last[d] <= 6:
                yield f"{type(insn).__name__} hazard at distance {k - last[d]}"
            last[d] = k
        if insn.iter_out > 1 and insn.iter_in > 1:
            yield f"{type(insn).__name__} both loops"
        if insn.uop_bgn >= 2048:
            yield "micro-ops beyond 2048"


def features(program):
    tracker = AccessTracker(program)
    for insn in program.instructions:
        tracker.of(insn)
        if isinstance(insn, MemoryInstruction):
            yield from memory_features(insn, tracker.depths[Memory(insn.memory)])
        elif isinstance(insn, (Gemm, Alu)):
            yield from loop_features(insn, tracker.columns)
    if not isinstance(program.instructions[-1], Finish):
        yield "instructions behind FINISH"


def expected_features():
    loads = [f"Load {m}" for m in ("UOP", "WGT", "INP", "ACC")]
    stores = ["Store OUT", "Store ACC"]
    wanted = {*loads, *stores, "instructions behind FINISH", "micro-ops beyond 2048"}
    for what in ("without columns", "rows of padding only", "padding", "a pitch over the row", "overlapping rows"):
        wanted |= {f"{load} {what}" for load in loads}
    wanted |= {f"{name} up to the last tile" for name in loads + stores}
    wanted |= {f"{name} the whole scratchpad" for name in ("Load INP", "Load ACC")}
    wanted |= {f"{store} {what}" for store in stores for what in ("a pitch over the row", "overlapping rows")}
    wanted |= {"Store OUT without columns", "Store OUT no rows", "Load INP no rows"}
    wanted |= {f"{op.name} {imm}" for op in BASE_ALU_OPS for imm in (False, True)}
    for name in ("Gemm", "Alu"):
        wanted |= {f"{name} zero iterations", f"{name} no micro-ops", f"{name} both loops"}
        wanted |= {f"{name} hazard at distance {d}" for d in range(1, 7)}
    return wanted | {"Gemm reset True", "Gemm reset False"}


def test_every_feature_turns_up():
    seen = Counter(feature for seed in range(400) for feature in set(features(generate(CONFIGS["vta"], seed))))
    assert expected_features() - seen.keys() == set()


def extension_features(program):
    """What instructions do beyond VTA's, given the registers of their queue at that point."""
    tracker = AccessTracker(program)
    for insn in program.instructions:
        registers = dict(tracker.registers)
        accesses = tracker.of(insn)
        if isinstance(insn, Set):
            yield f"SET {SetRegister(insn.register).name}"
        elif isinstance(insn, MemoryInstruction) and accesses.writes:
            name = f"{type(insn).__name__} {Memory(insn.memory).name}"
            yield name
            pad = SetRegister.LOAD_PAD if insn.memory == Memory.INP else SetRegister.COMPUTE_PAD
            if (insn.x_pad0 or insn.x_pad1 or insn.y_pad0 or insn.y_pad1) and registers[pad]:
                yield f"{name} padded with a chosen value"
            if insn.memory == Memory.ACC_8BIT and not isinstance(insn, Store):
                yield f"{name} unsigned {bool(registers[SetRegister.WIDEN])}"
            elif insn.memory == Memory.ACC_8BIT:
                yield from requantising_features(insn, accesses, registers)
        elif isinstance(insn, GemmOverwrite) and accesses.writes:
            yield f"GemmOverwrite {registers[SetRegister.OVERWRITE]} reset {insn.reset}"
        elif isinstance(insn, Alu) and accesses.writes:
            yield f"{AluOp(insn.alu_op).name} {insn.use_imm}"


def requantising_features(insn, accesses, registers):
    yield from (f"mode {bit.name}" for bit in StoreMode if insn.mode & bit)
    if insn.mode & StoreMode.PARAM_X and insn.x_size > 1 and insn.mode & StoreMode.PARAM_Y and insn.y_size > 1:
        yield "parameters advance both ways"
    if insn.mode & StoreMode.RESIDUAL:
        in_place = registers[SetRegister.RESIDUAL] == 0
        yield "residual in place" if in_place else "residual elsewhere"
        yield f"residual swap {bool(insn.mode & StoreMode.SWAP)} unsigned {bool(insn.mode & StoreMode.UNSIGNED)}"
    if registers[SetRegister.CLAMP_LO] > registers[SetRegister.CLAMP_HI]:
        yield "crossed bounds"


def expected_extensions(config):
    wanted = {f"SET {register.name}" for register in settable(config)}
    wanted |= {f"Load {memory.name}" for memory in loadable(config)} | {"Store ACC_8BIT"}
    wanted |= {f"Load {m} padded with a chosen value" for m in ("INP", "ACC", "ACC_8BIT")}
    wanted |= {f"Load ACC_8BIT unsigned {u}" for u in (False, True)}
    wanted |= {f"GemmOverwrite {mask} reset False" for mask in range(8)} | {"GemmOverwrite 0 reset True"}
    wanted |= {f"{op.name} {imm}" for op in alu_operations(config) for imm in (False, True)}
    wanted |= {f"mode {bit.name}" for bit in StoreMode if bit & store_modes(config)} | {"parameters advance both ways"}
    if config.residual:
        wanted |= {"residual in place", "residual elsewhere"}
        wanted |= {f"residual swap {s} unsigned {u}" for s in (False, True) for u in (False, True)}
    return wanted | {"crossed bounds"}


@pytest.mark.parametrize("name", EXTENDED)
def test_every_extension_turns_up(name):
    config = EXTENDED[name]
    seen = Counter(feature for seed in range(160) for feature in set(extension_features(generate(config, seed))))
    assert expected_extensions(config) - seen.keys() == set()


def test_the_base_generator_uses_no_extension():
    programs = [generate(CONFIGS["vta"], seed) for seed in range(50)]
    assert not any(isinstance(insn, (Set, GemmOverwrite)) for program in programs for insn in program.instructions)


class Skipping(Machine):
    """A machine that leaves one instruction out."""

    def __init__(self, config, skipped):
        super().__init__(config)
        self.skipped = skipped

    def execute(self, insn):
        if insn is not self.skipped:
            super().execute(insn)


@pytest.mark.parametrize("name", ["batch2", "narrow"])
def test_what_instructions_do_is_seen(name):
    """Leave one instruction out, and DRAM differs for a good part of them: nearly all stores, many of the others."""
    config = CONFIGS[name]
    runs, seen = Counter(), Counter()
    for seed in range(12):
        program = generate(config, seed)
        order = linear_order(predecessors(program.instructions))
        expected = Machine(config).run(program, order)
        for insn in program.instructions:
            kind = type(insn)
            if kind not in (Gemm, Alu, Store) or (kind is Gemm and insn.reset):
                continue
            runs[kind] += 1
            seen[kind] += not np.array_equal(Skipping(config, insn).run(program, order), expected)
    assert seen[Store] / runs[Store] > 0.85
    assert seen[Alu] / runs[Alu] > 0.25
    assert seen[Gemm] / runs[Gemm] > 0.25


LEAST_SEEN = {
    "Store ACC_8BIT": 0.9,
    "Load ACC_8BIT": 0.3,
    "GemmOverwrite": 0.25,
    "Set": 0.15,
    "Load PARAM": 0.15,
    "Load TABLE": 0.15,
}


def test_what_extensions_do_is_seen():
    """The same for what extensions add; a register may be set again before it is used."""
    runs, seen = Counter(), Counter()
    for config, seed in product((EXTENDED["full"], EXTENDED["narrow_tiles"]), range(32)):
        program = generate(config, seed)
        order = linear_order(predecessors(program.instructions))
        expected = Machine(config).run(program, order)
        for insn in program.instructions:
            if isinstance(insn, MemoryInstruction) and insn.memory in (Memory.PARAM, Memory.TABLE, Memory.ACC_8BIT):
                if not insn.x_size or insn.y_pad0 + insn.y_size + insn.y_pad1 == 0:
                    continue  # made to do nothing
                kind = f"{type(insn).__name__} {Memory(insn.memory).name}"
            elif isinstance(insn, (Set, GemmOverwrite)):
                kind = type(insn).__name__
            else:
                continue
            runs[kind] += 1
            try:
                seen[kind] += not np.array_equal(Skipping(config, insn).run(program, order), expected)
            except ReferenceFaultError:
                seen[kind] += 1
    shares = {kind: seen[kind] / runs[kind] for kind in runs}
    assert shares.keys() == LEAST_SEEN.keys()
    assert all(shares[kind] > least for kind, least in LEAST_SEEN.items()), shares
