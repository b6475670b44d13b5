"""Random legal programs: both kernel variants, in several legal orders, against the reference model."""

import pytest
from support.configs import CONFIGS, EXTENDED
from weft_runtime.dram import Dram
from weft_simulator.functional import FunctionalDevice
from weft_simulator.lockstep.differential import Session
from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate


@pytest.mark.parametrize("portable", [True, False], ids=["portable", "fastest"])
@pytest.mark.parametrize("name", CONFIGS | EXTENDED)
def test_random_programs(name, portable):
    config = (CONFIGS | EXTENDED)[name]
    session = Session(config)
    for label, seed in (("in rounds", None), ("in a random order", 1)):
        dram = Dram.zeros(DRAM_SIZE, DRAM_BASE)
        session.attach(label, FunctionalDevice(config, dram=dram, order_seed=seed, portable=portable), dram)
    print(f"seeds 0..11 at {name}")
    for seed in range(12):
        session.run(generate(config, seed), seed)
