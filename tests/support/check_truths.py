"""What the static check is measured against, and the programs it must let pass."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from support.layer_cases import cases
from support.layers import CONFIG
from support.soundness import report_of
from support.token_mutants import mutant
from weft_hardware.config import AcceleratorConfig
from weft_runtime.check import Kind
from weft_runtime.dram import Dram
from weft_simulator.lockstep.differential import clearing_program
from weft_simulator.lockstep.generator import Style, generate
from weft_simulator.lockstep.oracle import all_accesses, closure, judge, predecessors
from weft_simulator.lockstep.program import Program

from benchmarks.vta_programs import VtaProgram, lenet5, matrix_product

VTA = AcceleratorConfig()
TINY = AcceleratorConfig(
    block_in=4, block_out=4, inp_depth=16, wgt_depth=16, acc_depth=16, uop_depth=32, token_queue_depth=3
)


def vta_program(made: VtaProgram) -> Program:
    """One of VTA's programs in an image."""
    image = np.zeros(1 << 17, np.uint8)
    for offset, raw in made.placed.items():
        image[offset : offset + len(raw)] = np.frombuffer(raw, np.uint8)
    return Program(VTA, made.instructions, image, insn_address=made.insn_offset)


BY_HAND: dict[str, Callable[[], Program]] = {
    **{case.name: lambda case=case: case.build(CONFIG).program for case in cases()},
    **{f"VTA's product of {n}²": lambda n=n: vta_program(matrix_product(VTA, n)) for n in (1, 2)},
    "VTA's LeNet-5": lambda: vta_program(lenet5(VTA)),
    "VTA's LeNet-5 with ReLU": lambda: vta_program(lenet5(VTA, relu=True)),
    "VTA's LeNet-5 with pool": lambda: vta_program(lenet5(VTA, pool=True)),
}
"""Programs that no generator made."""


def check_against_closure(program: Program, mutated: Program) -> str:
    """The verdicts agree, every pair found is a race, and the tokens proposed leave none."""
    report, verdict = report_of(mutated), judge(mutated, all_accesses(program))
    told = f"{mutated.name}: {[report.sentence(f) for f in report.findings[:3]]}, {verdict.races[:3]}\n{mutated}"
    if not (verdict.completes or verdict.hangs):
        return "on the edge"  # the closure knows the queues' capacity but for one instruction
    assert report.passed == verdict.legal, told
    kinds = {finding.kind for finding in report.findings}
    assert (Kind.DEADLOCK in kinds) == verdict.hangs, told
    assert (Kind.TOKENS_LEFT in kinds) == bool(verdict.leftover and not verdict.hangs), told
    if verdict.hangs:
        return "hangs"
    races = [finding.instructions for finding in report.findings if finding.kind is Kind.RACE]
    assert {tuple(sorted(pair)) for pair in races} <= {(race.first, race.second) for race in verdict.races}, told
    direct = predecessors(mutated.instructions)
    for first, second in races:
        direct[second].append(first)
    before = closure(direct)
    assert before is not None, told
    left = [r for r in verdict.races if not (before[r.second] >> r.first | before[r.first] >> r.second) & 1]
    assert not left, f"{told}\nnot ordered by the tokens proposed: {left}"
    return "races" if races else "sound" if report.passed else "tokens left"


def short_programs(seeds: Iterable[int]) -> Iterator[Program]:
    """Programs of at most 12 instructions, and mutants of them."""
    for seed in seeds:
        program = generate(TINY, seed, Style(length=6, pipelined=bool(seed % 2), extra_tokens=0.2))
        if len(program.instructions) > 12:
            continue
        yield program
        rng = random.Random(f"short {seed}")
        for _ in range(4):
            yield mutant(program, rng, rng.choice((1, 1, 2)))


def rtl_results(program: Program, seeds: Iterable[int]) -> set[bytes]:
    """What a program leaves in DRAM on the RTL under each seed's stalls, from cleared scratchpads."""
    from weft_simulator.tsim.device import TsimDevice
    from weft_simulator.tsim.model import MemoryTiming

    clear = clearing_program(program.config, program.dram_base)
    results = set()
    for seed in seeds:
        rng = random.Random(seed)
        timing = MemoryTiming(
            read_latency=rng.choice((0, 5, 60, 200)),
            write_latency=rng.choice((0, 0, 40, 300)),
            stall_seed=seed,
            stall_percent=rng.choice((5, 30, 60, 90)),
            out_of_order=rng.random() < 0.3,
        )
        dram = Dram.zeros(max(clear.image.size, program.image.size), program.dram_base)
        with TsimDevice(program.config, dram=dram, memory=timing, max_cycles=50_000_000) as device:
            dram.data[: clear.image.size] = clear.image
            device.launch(clear.launch())
            dram.data[: program.image.size] = program.image
            device.launch(program.launch())
        results.add(dram.data.tobytes())
    return results
