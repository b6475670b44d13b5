"""The static check against the truth: nothing sound is refused, nothing harmful passes.

Three truths, none of which shares code with the check: the transitive closure of the happens-before relation
(`weft_simulator.lockstep.oracle`), every order that tokens allow, executed on the reference model, and the RTL under
random stalls. ``--first-seed`` and ``--programs`` choose others.
"""

import random
from collections import Counter

import numpy as np
import pytest
from support.configs import CONFIGS, EXTENDED
from support.every_order import outcomes
from support.layer_cases import cases
from support.layers import CONFIG
from support.soundness import assert_sound, report_of
from support.token_mutants import mutant
from weft_hardware.config import AcceleratorConfig
from weft_runtime.check import Kind
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError
from weft_simulator.functional import FunctionalDevice
from weft_simulator.lockstep.differential import clearing_program
from weft_simulator.lockstep.generator import Style, generate
from weft_simulator.lockstep.oracle import all_accesses, closure, judge, predecessors
from weft_simulator.lockstep.program import Program
from weft_simulator.lockstep.spoiler import faulty_instructions, with_a_fault

from benchmarks.vta_programs import lenet5, matrix_product

EVERY = CONFIGS | EXTENDED
every = pytest.mark.parametrize("name", EVERY)
VTA = AcceleratorConfig()
TINY = AcceleratorConfig(
    block_in=4, block_out=4, inp_depth=16, wgt_depth=16, acc_depth=16, uop_depth=32, token_queue_depth=3
)


def vta_program(made) -> Program:
    image = np.zeros(1 << 17, np.uint8)
    for offset, raw in made.placed.items():
        image[offset : offset + len(raw)] = np.frombuffer(raw, np.uint8)
    return Program(VTA, made.instructions, image, insn_address=made.insn_offset)


BY_HAND = {
    **{case.name: lambda case=case: case.build(CONFIG).program for case in cases()},
    **{f"VTA's product of {n}²": lambda n=n: vta_program(matrix_product(VTA, n)) for n in (1, 2)},
    "VTA's LeNet-5": lambda: vta_program(lenet5(VTA)),
    "VTA's LeNet-5 with ReLU": lambda: vta_program(lenet5(VTA, relu=True)),
    "VTA's LeNet-5 with pool": lambda: vta_program(lenet5(VTA, pool=True)),
}


# No false alarm ------------------------------------------------------------------------------------------------


@every
def test_generated_programs_are_sound(name, first_seed, program_count):
    for seed in range(first_seed, first_seed + program_count(40)):
        assert_sound(generate(EVERY[name], seed))


@pytest.mark.parametrize("name", BY_HAND)
def test_layers_and_vta_programs_are_sound(name):
    assert_sound(BY_HAND[name]())


@pytest.mark.slow
@every
def test_generated_programs_are_sound_thousands(name, first_seed, program_count):
    for seed in range(first_seed + 1000, first_seed + 1000 + program_count(2000)):
        assert_sound(generate(EVERY[name], seed))


# Against the transitive closure --------------------------------------------------------------------------------


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


def mutate_and_compare(config, seeds, mutants_each=4):
    seen = Counter()
    for seed in seeds:
        rng = random.Random(f"mutants {seed}")
        program = generate(config, seed)
        for _ in range(mutants_each):
            mutated = mutant(program, rng, rng.choice((1, 1, 2, 3)))
            seen[check_against_closure(program, mutated)] += 1
    return seen


@every
def test_mutants_against_the_closure(name, first_seed, program_count):
    count = program_count(12)
    seen = mutate_and_compare(EVERY[name], range(first_seed, first_seed + count))
    if count >= 12:
        assert min(seen[kind] for kind in ("races", "hangs", "sound")) >= 2, seen


@pytest.mark.slow
@every
def test_mutants_against_the_closure_thousands(name, first_seed, program_count):
    mutate_and_compare(EVERY[name], range(first_seed + 5000, first_seed + 5000 + program_count(400)), 6)


# Against every order -------------------------------------------------------------------------------------------


def short_programs(seeds):
    """Programs of at most 12 instructions, and mutants of them."""
    for seed in seeds:
        program = generate(TINY, seed, Style(length=6, pipelined=bool(seed % 2), extra_tokens=0.2))
        if len(program.instructions) > 12:
            continue
        yield program
        rng = random.Random(f"short {seed}")
        for _ in range(4):
            yield mutant(program, rng, rng.choice((1, 1, 2)))


def run_every_order(seeds):
    seen = Counter()
    for program in short_programs(seeds):
        found, report = outcomes(program), report_of(program)
        seen["harmless" if found.harmless else "harmful"] += 1
        seen["passed"] += report.passed
        seen["different results"] += len(found.memories) > 1
        if not found.harmless:
            assert not report.passed, f"{found}\n{program}"
    return seen


def test_nothing_harmful_passes_in_any_order(first_seed, program_count):
    count = program_count(30)
    seen = run_every_order(range(first_seed, first_seed + count))
    if count >= 30:
        assert seen["harmful"] > 20, seen
        assert seen["different results"] > 5, seen
        assert seen["passed"] > 15, seen


@pytest.mark.slow
def test_nothing_harmful_passes_in_any_order_thousands(first_seed, program_count):
    run_every_order(range(first_seed + 1000, first_seed + 1000 + program_count(1500)))


# Faults --------------------------------------------------------------------------------------------------------


@every
def test_faults_are_found_in_the_words_of_the_device(name):
    """One instruction that faults, wherever it stands; the functional simulator is the witness."""
    config, rng = EVERY[name], random.Random(name)
    program = generate(config, 3, Style(length=16))
    for cause, instruction in faulty_instructions(config):
        spoilt = with_a_fault(program, rng, instruction)
        if spoilt is None:
            continue
        device = FunctionalDevice(config, dram=Dram(spoilt.image.copy(), spoilt.dram_base))
        with pytest.raises(DeviceError) as caught:
            device.launch(spoilt.launch())
        report = report_of(spoilt)
        faults = [finding for finding in report.findings if finding.kind is Kind.FAULT]
        sentences = [report.sentence(finding) for finding in faults]
        assert str(caught.value) in sentences, (cause, instruction, sentences)


# Against the RTL -----------------------------------------------------------------------------------------------


def rtl_results(program: Program, seeds) -> set[bytes]:
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


def run_on_rtl(config, seeds, stall_seeds) -> int:
    """Programs and mutants that pass never change their result; returns how often the RTL ran."""
    runs = 0
    for seed in seeds:
        program = generate(config, seed)
        rng = random.Random(f"rtl {seed}")
        passing = [program, *[m for m in (mutant(program, rng) for _ in range(6)) if report_of(m).passed][:2]]
        for checked in passing:
            assert report_of(checked).passed
            assert len(rtl_results(checked, stall_seeds)) == 1, checked
            runs += len(stall_seeds)
    return runs


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["batch2", "full"])
def test_what_passes_is_the_same_under_any_stalls(name, first_seed, program_count):
    run_on_rtl(EVERY[name], range(first_seed, first_seed + program_count(5)), range(6))


@pytest.mark.slow
@pytest.mark.rtl
@every
def test_what_passes_is_the_same_under_any_stalls_thousands(name, first_seed, program_count):
    count = program_count(20)
    runs = run_on_rtl(EVERY[name], range(first_seed + 300, first_seed + 300 + count), range(12))
    assert runs >= 12 * count


@pytest.mark.slow
@pytest.mark.rtl
@pytest.mark.parametrize("name", BY_HAND)
def test_layers_and_vta_programs_are_the_same_under_any_stalls(name):
    assert len(rtl_results(BY_HAND[name](), range(4))) == 1


@pytest.mark.rtl
def test_a_race_shows_on_the_rtl():
    """The negative control: some mutants that the check refuses do change their result with the stalls."""
    config = EVERY["batch2"]
    changing = 0
    for seed in range(30):
        program = generate(config, seed, Style(length=24, pipelined=True))
        mutated = mutant(program, random.Random(f"control {seed}"), 2)
        report = report_of(mutated)
        if {finding.kind for finding in report.findings} == {Kind.RACE}:
            changing += len(rtl_results(mutated, range(6))) > 1
    assert changing >= 2
