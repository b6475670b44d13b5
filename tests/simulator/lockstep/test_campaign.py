"""Campaigns find what differs, make it small, and find nothing where nothing differs."""

from pathlib import Path

import pytest
from support.configs import CONFIGS
from weft_hardware.encoding import decode
from weft_hardware.isa import Finish, Store
from weft_simulator.functional.device import FunctionalDevice
from weft_simulator.lockstep.campaign import Bench, open_functional, open_tsim, run
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.record import Record

CONFIG = CONFIGS["int4"]
REGRESSIONS = sorted((Path(__file__).parents[2] / "regressions").glob("*.npz"))


class ForgetsWideStores(FunctionalDevice):
    """A device that writes the last tile of a row wrong."""

    def launch(self, launch):
        report = super().launch(launch)
        for insn in decode(self.program(launch), self.config):
            if isinstance(insn, Store) and insn.x_size > 1 and insn.y_size:
                self.dram.data[-1] ^= 1
        return report


class Slips(FunctionalDevice):
    """A device that is wrong once, whatever the program."""

    count = 0

    def launch(self, launch):
        report = super().launch(launch)
        self.count += 1
        if self.count == 5:
            self.dram.data[-1] ^= 1
        return report


def open_wrong(config, dram, timing):
    return "wrong", ForgetsWideStores(config, dram=dram)


def open_slipping(config, dram, timing):
    return "slips", Slips(config, dram=dram)


def test_a_wrong_device_is_found_and_the_program_made_small():
    findings = [f for f in run(CONFIG, range(6), openers=(open_functional, open_wrong)) if f is not None]
    assert findings
    for finding in findings:
        assert finding.alone
        assert finding.sentence.startswith("wrong differs: 1 bytes, first at ")
        store, finish = finding.program.instructions
        assert isinstance(store, Store)
        assert isinstance(finish, Finish)
        assert (store.x_size, store.y_size) == (2, 1)


def test_what_fails_only_behind_others_is_kept_whole():
    bench = Bench(CONFIG, {}, (open_slipping,))  # which runs the clearing program: the first launch
    findings = [bench.check(generate(CONFIG, seed), seed) for seed in range(5)]
    (finding,) = [f for f in findings if f is not None]
    assert not finding.alone
    assert finding.before == ["seed 0", "seed 1", "seed 2"]
    assert finding.program.instructions == generate(CONFIG, 3).instructions


@pytest.mark.parametrize("faults", [False, True])
def test_the_functional_simulator_agrees_with_the_reference(faults):
    assert not any(run(CONFIG, range(12), stalls=True, faults=faults, openers=(open_functional,)))


@pytest.mark.rtl
@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize("faults", [False, True])
def test_the_rtl_agrees(stalls, faults, first_seed):
    assert not any(run(CONFIG, range(first_seed, first_seed + 12), stalls=stalls, faults=faults))


@pytest.mark.rtl
@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_once_failed(path):
    record = Record.load(path)
    bench = Bench(record.program.config, record.timing, (open_functional, open_tsim))
    assert bench.difference_alone(record.program) is None
