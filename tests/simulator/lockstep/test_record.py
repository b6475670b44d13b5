"""Recorded programs: everything comes back; what is no record is refused."""

import numpy as np
import pytest
from support.configs import CONFIGS
from weft_simulator.lockstep.generator import generate
from weft_simulator.lockstep.record import Record, RecordError


@pytest.mark.parametrize("name", ["vta", "deep"])
def test_there_and_back(name, tmp_path):
    program = generate(CONFIGS[name], 3)
    record = Record(program, {"read_latency": 50}, "tsim differs")
    record.save(tmp_path / "p.npz")
    loaded = Record.load(tmp_path / "p.npz")
    assert (loaded.timing, loaded.finding) == (record.timing, record.finding)
    assert loaded.program.config == program.config
    assert loaded.program.instructions == program.instructions
    assert np.array_equal(loaded.program.image, program.image)
    assert (loaded.program.bases, loaded.program.dram_base) == (program.bases, program.dram_base)
    assert loaded.program.launch() == program.launch()


def test_a_missing_file(tmp_path):
    with pytest.raises(RecordError) as caught:
        Record.load(tmp_path / "none.npz")
    assert str(caught.value) == f"recorded program '{tmp_path}/none.npz' cannot be read: No such file or directory"


@pytest.mark.parametrize("damage", ["text", "cut", "another archive"])
def test_a_file_that_is_no_record(damage, tmp_path):
    path = tmp_path / "p.npz"
    if damage == "text":
        path.write_text("hello")
    elif damage == "cut":
        Record(generate(CONFIGS["int4"], 1)).save(path)
        path.write_bytes(path.read_bytes()[:1000])
    else:
        np.savez(path, x=np.zeros(3))
    with pytest.raises(RecordError) as caught:
        Record.load(path)
    message = str(caught.value)
    assert message.startswith(f"'{path}' is no recorded program of format 1 (")
    assert message.endswith("); give a file that `weft fuzz` wrote")
