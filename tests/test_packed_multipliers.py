"""The build with packed multipliers against the reference model, and against the plain build's cycles."""

import numpy as np
import pytest
from support.configs import CONFIGS
from support.devices import shared_device
from weft_simulator.lockstep.differential import Session, clearing_program
from weft_simulator.lockstep.generator import generate

pytestmark = pytest.mark.rtl

PACKABLE = [name for name, config in CONFIGS.items() if config.inp_bits + 2 * config.wgt_bits <= 24]
SMALL = CONFIGS["batch2"]
"""Of which other tests use the plain build too."""


def run(config, seeds, **timing):
    session = Session(config)
    session.attach("packed", *shared_device("tsim", config, packed_multipliers=True, **timing))
    session.run(clearing_program(config))
    for seed in seeds:
        session.run(generate(config, seed), order_seed=seed)


def test_some_configurations_are_packable():
    assert {"vta", "batch2", "int4"} <= set(PACKABLE)
    assert "int16" not in PACKABLE


def test_random_programs(first_seed, program_count):
    run(SMALL, range(first_seed, first_seed + program_count(40)), read_latency=3, stall_seed=7)


def test_as_many_cycles_as_the_plain_build(first_seed):
    builds = [shared_device("tsim", SMALL, packed_multipliers=packed) for packed in (False, True)]
    programs = [clearing_program(SMALL), *(generate(SMALL, seed) for seed in range(first_seed, first_seed + 10))]
    for program in programs:
        reports = []
        for device, dram in builds:
            dram.data[:] = program.image
            reports.append(device.launch(program.launch()))
        assert reports[0].cycles == reports[1].cycles, program
        assert np.array_equal(builds[0][1].data, builds[1][1].data), program


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKABLE)
def test_random_programs_thousands(name, first_seed, program_count):
    first = first_seed + 300_000
    run(CONFIGS[name], range(first, first + program_count(500)), read_latency=50)
