"""Many random programs on the functional simulator, the RTL and the reference model; what differs is made small.

A program leaves the scratchpads as the next one finds them, so a failure may need those before it. It is run again on
cleared scratchpads first; only if it fails there it is shrunk, otherwise it is kept as it is, with its predecessors.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError
from weft_runtime.device import Device
from weft_runtime.dram import Dram

from .coverage import Coverage
from .differential import Session, clearing_program
from .generator import DRAM_BASE, DRAM_SIZE, generate
from .program import Program
from .shrink import shrink
from .spoiler import faulty_instructions, with_a_fault, without_a_pop, without_a_push

Timing = dict[str, Any]
"""Arguments of `weft_simulator.tsim.model.MemoryTiming`."""

STEADY: tuple[Timing, ...] = ({"read_latency": 0}, {"read_latency": 50}, {"read_latency": 200})
STALLED: tuple[Timing, ...] = (
    {"read_latency": 3, "stall_seed": 7},
    {"read_latency": 50, "write_latency": 60, "stall_seed": 1, "stall_percent": 10},
    {"read_latency": 5, "write_latency": 5, "stall_seed": 2, "stall_percent": 85},
    {"read_latency": 20, "stall_seed": 3, "out_of_order": True},
)

MAX_CYCLES = 20_000_000
"""After so many cycles a program counts as hung without the RTL having noticed."""

OpenDevice = Callable[[AcceleratorConfig, Dram, Timing], tuple[str, Device]]


class ClearingError(WeftError):
    """The simulators disagree so early that no program can be compared."""


@dataclass(frozen=True)
class Finding:
    """A program on which the simulators disagree.

    Attributes
    ----------
    program : Program
        Shrunk, if it fails on cleared scratchpads.
    sentence : str
        Who differs, where.
    alone : bool
        Whether it fails on cleared scratchpads; otherwise the programs ``before`` it are needed.
    """

    program: Program
    timing: Timing
    sentence: str
    alone: bool = True
    before: list[str] = field(default_factory=list)


def open_tsim(config: AcceleratorConfig, dram: Dram, timing: Timing) -> tuple[str, Device]:
    """The RTL, built where it is not cached."""
    from ..tsim.device import TsimDevice
    from ..tsim.model import MemoryTiming

    return f"tsim ({timing})", TsimDevice(config, dram=dram, memory=MemoryTiming(**timing), max_cycles=MAX_CYCLES)


def open_functional(config: AcceleratorConfig, dram: Dram, timing: Timing) -> tuple[str, Device]:
    """The functional simulator, in one of the orders that tokens allow."""
    from ..functional.device import FunctionalDevice

    seed = timing.get("stall_seed")
    return f"functional (order seed {seed})", FunctionalDevice(config, dram=dram, order_seed=seed)


class Bench:
    """The simulators of one configuration and memory timing, side by side."""

    def __init__(self, config: AcceleratorConfig, timing: Timing, openers: tuple[OpenDevice, ...]) -> None:
        self.config = config
        self.timing = timing
        self._devices = [(*opener(config, dram, timing), dram) for opener in openers for dram in [_dram()]]
        self._session = self._fresh()

    def _fresh(self) -> Session:
        """Everybody's scratchpads zero."""
        session = Session(self.config)
        for entry in self._devices:
            session.attach(*entry)
        sentence = session.difference(clearing_program(self.config))
        if sentence is not None:
            raise ClearingError(f"{sentence}, after a program that only clears the scratchpads; mend that first")
        session.history.clear()
        return session

    def check(self, program: Program, order_seed: int) -> Finding | None:
        """Run a legal program; what differs, shrunk."""
        sentence = self._session.difference(program, order_seed)
        if sentence is None:
            return None
        before = self._session.history[:-1]
        alone = self.difference_alone(program)
        if alone is None:
            self._session = self._fresh()
            return Finding(program, self.timing, sentence, False, before)
        small = shrink(program, lambda candidate: self.difference_alone(candidate) is not None)
        sentence = self.difference_alone(small) or alone
        self._session = self._fresh()
        return Finding(small, self.timing, sentence)

    def difference_alone(self, program: Program) -> str | None:
        """What differs when a program runs on cleared scratchpads."""
        return self._fresh().difference(program)

    def check_refusal(self, program: Program) -> Finding | None:
        """Run a program that cannot complete: all devices must refuse it, in the same words."""
        said: dict[str, str] = {}
        for name, device, dram in self._devices:
            dram.data[:] = program.image
            try:
                device.launch(program.launch())
                said[name] = "ran to its end"
            except WeftError as error:
                said[name] = f"{type(error).__name__}: {comparable(str(error), self.config)}"
        self._session = self._fresh()
        if len(set(said.values())) == 1 and "ran to its end" not in said.values():
            return None
        return Finding(program, self.timing, "; ".join(f"{name}: {text}" for name, text in said.items()))


def _dram() -> Dram:
    return Dram.zeros(DRAM_SIZE, DRAM_BASE)


def comparable(message: str, config: AcceleratorConfig) -> str:
    """A message whose DRAM address is cut to what the fault register holds: 32 bits, of a whole bus beat."""
    mask = 0xFFFFFFFF & -config.axi_bytes
    return re.sub(r"at (0x[0-9a-f]+) is outside", lambda m: f"at {int(m[1], 16) & mask:#x} is outside", message)


def spoilt(program: Program, seed: int) -> Program | None:
    """The program with one thing wrong: a token too few or too many, or an instruction that faults."""
    rng = random.Random(seed)
    kind = rng.choice(("push", "pop", "fault", "fault"))
    if kind == "push":
        return without_a_push(program, rng)
    if kind == "pop":
        return without_a_pop(program, rng)
    return with_a_fault(program, rng, rng.choice(faulty_instructions(program.config))[1])


def run(
    config: AcceleratorConfig,
    seeds: range,
    *,
    stalls: bool = False,
    faults: bool = False,
    openers: tuple[OpenDevice, ...] = (open_functional, open_tsim),
    coverage: Coverage | None = None,
) -> Iterator[Finding | None]:
    """Run the program of every seed, timings in turn; yields once a program, with what went wrong or None.

    Parameters
    ----------
    stalls : bool
        The memory stalls at random, answers late, or out of order; otherwise it is steady at latencies 0, 50, 200.
    faults : bool
        Programs with one thing wrong, which everybody must refuse alike, instead of legal ones.
    coverage : Coverage, optional
        Counts what the legal programs show.
    """
    benches = [Bench(config, timing, openers) for timing in (STALLED if stalls else STEADY)]
    for seed in seeds:
        bench = benches[seed % len(benches)]
        program = generate(config, seed)
        if coverage is not None and not faults:
            coverage.add(program)
        if not faults:
            yield bench.check(program, seed)
            continue
        wrong = spoilt(program, seed)
        yield None if wrong is None else bench.check_refusal(wrong)
