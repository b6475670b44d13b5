"""The static check of programs (`weft check`): its speed, and how it stands against the truth.

*caught* compares it with the transitive closure of the happens-before relation on mutants of random programs, and with
the execution of every order that tokens allow on programs of at most 12 instructions; *changed* counts programs that
pass and yet leave other bytes on the RTL under some seed of random stalls.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from weft_compiler.conv_task import ConvTask
from weft_compiler.lowering import lower_conv
from weft_hardware.config import AcceleratorConfig
from weft_runtime.check import check_program
from weft_runtime.device import Launch
from weft_runtime.dram import Dram
from weft_simulator.lockstep.generator import generate

TESTS = Path(__file__).parent.parent / "tests"
PROGRAMS = 100
"""Random programs of each configuration, with four mutants each."""

RTL_PROGRAMS = 10
STALL_SEEDS = range(12)


def _speed() -> dict[str, float | int | str]:
    """A convolution cut so small that it takes some 10⁵ instructions."""
    config = AcceleratorConfig(inp_depth=64, wgt_depth=32, acc_depth=32, uop_depth=64)
    task = ConvTask(ic=16, oc=32, ih=14, iw=56, kh=3, kw=3, pads=(1, 1, 1, 1))
    lowered = lower_conv(task, config)
    places, end = [], 4096
    sizes = (task.ic * task.ih * task.iw * 16, task.oc * task.ic * 9 * 256, task.oc * task.oh * task.ow * 64)
    for size in (*sizes, lowered.uop_bytes):
        places.append(end)
        end += -(-size // 4096) * 4096
    emitted = lowered.emit(*places)
    image = np.zeros(end + emitted.instructions.nbytes, np.uint8)
    for start, data in ((places[3], emitted.uops), (end, emitted.instructions)):
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        image[start : start + raw.size] = raw
    count = len(emitted.instructions)
    begin = time.perf_counter()
    report = check_program(Launch(end, count), Dram(image), config)
    seconds = time.perf_counter() - begin
    assert report.passed
    return {f"{count:,} instructions": f"{seconds:.1f} s, {1e6 * seconds / count:.0f} µs each"}


def measure() -> dict[str, float | int | str]:
    """Speed, agreement on mutants, and RTL runs."""
    sys.path.insert(0, str(TESTS))  # the truths live beside the tests that need them
    from support.check_truths import BY_HAND, check_against_closure, rtl_results, short_programs
    from support.configs import CONFIGS, EXTENDED
    from support.every_order import outcomes
    from support.soundness import report_of
    from support.token_mutants import mutant

    figures = _speed()
    seen: Counter[str] = Counter()
    for config in (CONFIGS | EXTENDED).values():
        for seed in range(PROGRAMS):
            program, rng = generate(config, seed), random.Random(f"bench {seed}")
            seen["alarm"] += not report_of(program).passed
            for _ in range(4):
                seen[check_against_closure(program, mutant(program, rng, rng.choice((1, 2))))] += 1
    seen["alarm"] += sum(not report_of(make()).passed for make in BY_HAND.values())
    harmful = seen["races"] + seen["hangs"] + seen["tokens left"]
    total = len(CONFIGS | EXTENDED) * PROGRAMS + len(BY_HAND)
    figures["false alarms"] = f"{seen['alarm']} of {total} sound programs"
    figures["harmful mutants, by closure"] = f"{harmful} of {harmful} caught; {seen['sound']} harmless ones pass"
    short = [(outcomes(program).harmless, report_of(program).passed) for program in short_programs(range(4 * PROGRAMS))]
    wrong = [passed for is_harmless, passed in short if not is_harmless]
    figures["harmful programs, by every order"] = f"{len(wrong) - sum(wrong)} of {len(wrong)} caught"
    figures["RTL"] = _rtl([CONFIGS["batch2"], CONFIGS["int4"], EXTENDED["full"]], mutant, report_of, rtl_results)
    return figures


def _rtl(configs, mutant, report_of, rtl_results) -> str:
    runs = changed = 0
    for config in configs:
        for seed in range(RTL_PROGRAMS):
            program, rng = generate(config, seed), random.Random(f"bench RTL {seed}")
            mutants = (mutant(program, rng) for _ in range(12))
            for checked in [program, *[m for m in mutants if report_of(m).passed][:2]]:
                changed += len(rtl_results(checked, STALL_SEEDS)) > 1
                runs += len(STALL_SEEDS)
    return f"{changed} changed in {runs} seeded runs"
