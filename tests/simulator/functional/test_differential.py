"""Random legal programs: both kernel variants, in several legal orders, against the reference model."""

import numpy as np
import pytest
from support.configs import CONFIGS, EXTENDED
from weft_runtime.dram import Dram
from weft_simulator.functional import FunctionalDevice, scratchpads
from weft_simulator.lockstep.differential import Session
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate

FENCE = 64
"""Bytes before and behind every memory of the device that no kernel may change; LLVM once did (decision 14)."""


class Fences:
    """Zeroed memories between guard bytes."""

    def __init__(self):
        self.raw = []

    def zeros(self, shape, kind):
        nbytes = int(np.prod(shape)) * np.dtype(kind).itemsize
        memory = np.full(nbytes + 2 * FENCE + 64, 0xA5, np.uint8)
        start = -memory.ctypes.data % 64
        self.raw.append(memory[start : start + nbytes + 2 * FENCE])
        inside = self.raw[-1][FENCE:-FENCE]
        inside[:] = 0
        return inside.view(kind).reshape(shape)

    def check(self):
        assert self.raw
        for raw in self.raw:
            assert (raw[:FENCE] == 0xA5).all()
            assert (raw[-FENCE:] == 0xA5).all()


@pytest.mark.parametrize("portable", [True, False], ids=["portable", "fastest"])
@pytest.mark.parametrize("name", CONFIGS | EXTENDED)
def test_random_programs(name, portable, monkeypatch):
    fences = Fences()
    monkeypatch.setattr(scratchpads, "_zeros", fences.zeros)
    config = (CONFIGS | EXTENDED)[name]
    session = Session(config)
    for label, seed in (("in rounds", None), ("in a random order", 1)):
        dram = Dram(fences.zeros((DRAM_SIZE,), np.uint8), DRAM_BASE)
        session.attach(label, FunctionalDevice(config, dram=dram, order_seed=seed, portable=portable), dram)
    print(f"seeds 0..11 at {name}")
    for seed in range(12):
        session.run(generate(config, seed), seed)
        fences.check()


@pytest.mark.parametrize("place", [FENCE - 1, -FENCE])
def test_fences_notice_one_byte(place):
    fences = Fences()
    fences.zeros((3, 5), np.int8)
    fences.check()
    fences.raw[0][place] = 0
    with pytest.raises(AssertionError):
        fences.check()
