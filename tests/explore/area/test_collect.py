"""Designs synthesised module by module."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from weft_explore.area import estimate
from weft_explore.area.collect import collect
from weft_explore.area.data import DATA, samples
from weft_explore.area.designs import fitted, held_out, packable
from weft_hardware.presets import PRESETS
from weft_hardware.synth.families import FAMILIES


def test_designs_have_names_of_their_own_and_are_the_same_each_time() -> None:
    designs = [*fitted(), *held_out(6)]
    assert len({design.name for design in designs}) == len(designs)
    assert [design.config for design in held_out(3)] == [design.config for design in held_out(6)][:4]
    assert all(packable(design.config) for design in designs if design.packed)


def test_nothing_is_synthesised_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("amaranth", reason="needs amaranth, of the rtl extra")
    for name in ("designs.jsonl", "xc7.jsonl"):
        (tmp_path / name).write_text((DATA / name).read_text())
    monkeypatch.setattr("weft_explore.area.collect.run_tool", None)
    (small,) = (design for design in fitted() if design.name == "small")
    collect([small], FAMILIES["xc7"], tmp_path, time.time() + 600)
    assert (tmp_path / "xc7.jsonl").read_text() == (DATA / "xc7.jsonl").read_text()


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "designs.jsonl").write_text((DATA / "designs.jsonl").read_text())
    lines = (DATA / "xc7.jsonl").read_text().splitlines()
    (tmp_path / "xc7.jsonl").write_text("\n".join([*lines[1:], lines[0][:20]]))
    assert "small" not in [sample.name for sample in samples(tmp_path) if not sample.whole]


@pytest.mark.slow
@pytest.mark.synth
def test_a_design_with_a_wider_bus_synthesised_anew(tmp_path: Path) -> None:
    """Its modules that no preset shares, alone; the model knows nothing of it."""
    (design,) = (design for design in held_out(0) if design.config.axi_data_bits == 128)
    small = json.loads((DATA / "designs.jsonl").read_text().splitlines()[0])
    assert small["config"] == PRESETS["tiny4"].to_dict()
    shared = set(small["parts"].values())
    lines = (DATA / "xc7.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "xc7.jsonl").write_text("".join(line for line in lines if json.loads(line)["part"] in shared))
    collect([design], FAMILIES["xc7"], tmp_path, time.time() + 3600)
    (sample,) = samples(tmp_path)
    found, truth = estimate(sample.config, "xc7", sample.packed), sample.total
    print(f"{sample.name}: estimated {found}, synthesised {truth}")
    assert (found.dsps, found.brams, found.lutram) == (truth.dsps, truth.brams, truth.lutram)
    assert found.luts == pytest.approx(truth.luts, rel=0.05)
    assert found.ffs == pytest.approx(truth.ffs, rel=0.05)
