"""The static check against the truth: nothing sound is refused, nothing harmful passes.

Three truths, none of which shares code with the check: the transitive closure of the happens-before relation
(`weft_simulator.lockstep.oracle`), every order that tokens allow, executed on the reference model, and the RTL under
random stalls. ``--first-seed`` and ``--programs`` choose others.
"""

import random
from collections import Counter

import numpy as np
import pytest
from support.check_truths import BY_HAND, check_against_closure, rtl_results, short_programs
from support.configs import CONFIGS, EXTENDED
from support.every_order import outcomes
from support.soundness import assert_sound, report_of
from support.token_mutants import mutant
from weft.models import digits_heldout, digits_onnx
from weft_hardware.isa import Memory, instruction_bytes
from weft_runtime.check import Kind, check_program
from weft_runtime.device import Launch
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError
from weft_simulator.functional import FunctionalDevice
from weft_simulator.lockstep.generator import Style, generate
from weft_simulator.lockstep.spoiler import faulty_instructions, with_a_fault

EVERY = CONFIGS | EXTENDED
every = pytest.mark.parametrize("name", EVERY)


# No false alarm ------------------------------------------------------------------------------------------------


@every
def test_generated_programs_are_sound(name, first_seed, program_count):
    for seed in range(first_seed, first_seed + program_count(20)):
        assert_sound(generate(EVERY[name], seed))


@pytest.mark.parametrize("name", BY_HAND)
def test_layers_and_vta_programs_are_sound(name):
    assert_sound(BY_HAND[name]())


@pytest.mark.slow
@every
def test_generated_programs_are_sound_hundreds(name, first_seed, program_count):
    for seed in range(first_seed + 1000, first_seed + 1000 + program_count(400)):
        assert_sound(generate(EVERY[name], seed))


# Against the transitive closure --------------------------------------------------------------------------------


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
    mutate_and_compare(EVERY[name], range(first_seed + 5000, first_seed + 5000 + program_count(200)), 6)


# Against every order -------------------------------------------------------------------------------------------


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
    run_every_order(range(first_seed + 1000, first_seed + 1000 + program_count(600)))


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


def said_by_the_device(config, memory, launch) -> str | None:
    """Why the functional simulator refuses a launch, None if it runs to its end."""
    try:
        FunctionalDevice(config, dram=Dram(memory.copy())).launch(launch)
    except DeviceError as error:
        return str(error)
    return None


@every
def test_random_bits_are_told_as_the_device_tells_them(name, first_seed, program_count):
    """Nothing breaks the check; what the device refuses is among its sentences, but for micro-ops it cannot know."""
    config, told = EVERY[name], Counter()
    size = instruction_bytes(config)
    for seed in range(first_seed, first_seed + program_count(40)):
        rng = np.random.default_rng(seed)
        memory = rng.integers(0, 256, 1 << 16, np.uint8)
        words = memory[: 12 * size].view("<u8")
        for _ in range(seed % 4):
            words &= rng.integers(0, 1 << 63, words.size, np.uint64)  # smaller and smaller fields
        launch = Launch(0, 12, {m: 64 * int(rng.integers(1024)) for m in Memory})
        report = check_program(launch, Dram(memory), config)
        sentences = [report.sentence(finding) for finding in report.findings]
        refusal = said_by_the_device(config, memory, launch)
        is_unknown = any(finding.kind is Kind.UNKNOWN_MICRO_OPS for finding in report.findings)
        assert refusal in (None, *sentences) or is_unknown, (seed, refusal, sentences)
        told[refusal in sentences] += 1
    assert told[True] >= told[False], told


# Against the RTL -----------------------------------------------------------------------------------------------


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


@pytest.mark.slow
@pytest.mark.rtl
def test_digits_are_the_same_under_any_stalls():
    for package in ("onnx", "xdsl"):
        pytest.importorskip(package, reason=f"needs {package}")
    from support.compiling import compile_model
    from weft_simulator.tsim.device import TsimDevice
    from weft_simulator.tsim.model import MemoryTiming

    module, image = compile_model(digits_onnx(), CONFIGS["vta"]), digits_heldout()[0][:1]
    results = set()
    for seed in range(20):
        latencies = {"read_latency": 7 * seed, "write_latency": 5 * seed}
        timing = MemoryTiming(**latencies, stall_seed=seed, stall_percent=4 * seed + 10)
        with TsimDevice(CONFIGS["vta"], memory=timing) as device:
            results.add(module.run(device, image).tobytes())
    assert len(results) == 1


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
