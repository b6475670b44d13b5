"""The area model beside syntheses that it was not fitted to."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest
from weft_explore.area import estimate
from weft_explore.area.data import DATA, Sample, samples
from weft_explore.area.instances import instances
from weft_hardware.presets import PRESETS
from weft_hardware.synth.families import FAMILIES

HELD_OUT = {name: [sample for sample in samples(DATA, name) if sample.held_out] for name in FAMILIES}
JUDGED = [
    pytest.param(name, sample, id=f"{name}, {sample.name}")
    for name, family in FAMILIES.items()
    for sample in HELD_OUT[name]
    if sample.whole or not family.flattens
]


@pytest.mark.parametrize(("family", "sample"), JUDGED)
def test_blocks_of_held_out_designs_are_counted_exactly(family: str, sample: Sample) -> None:
    found, truth = estimate(sample.config, family, sample.packed), sample.total
    assert (found.dsps, found.brams) == (truth.dsps, truth.brams)
    if not sample.dissolved:
        assert found.lutram == truth.lutram


@pytest.mark.parametrize("family", FAMILIES)
def test_half_of_the_held_out_designs_are_within_five_per_cent(family: str) -> None:
    judged = [param.values[1] for param in JUDGED if param.values[0] == family]
    for what in ("luts", "ffs"):
        errors = [
            abs(getattr(estimate(sample.config, family, sample.packed), what) / getattr(sample.total, what) - 1)
            for sample in judged
        ]
        assert median(errors) <= 0.05, what


@pytest.mark.parametrize("sample", HELD_OUT["xc7"], ids=lambda sample: sample.name)
def test_every_module_of_a_design_is_modelled(sample: Sample) -> None:
    modelled = [path for instance in instances(sample.config, "xc7", sample.packed) for path in instance.paths]
    assert sorted(modelled) == sorted(sample.parts)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_an_area_in_every_family(preset: str, family: str) -> None:
    usage = estimate(PRESETS[preset], family)
    assert min(usage.values()) >= 0
    assert usage.luts > usage.lutram > 0


def test_more_logic_takes_more_tables() -> None:
    small = estimate(PRESETS["tiny4"], "xc7")
    for changed in ({"block_out": 8}, {"axi_data_bits": 128}, {"alu_extensions": True}, {"epilogue_lanes": 1}):
        larger = estimate(replace(PRESETS["tiny4"], **changed), "xc7")
        assert larger.luts > small.luts, changed


def test_packing_halves_the_array() -> None:
    plain, packed = (estimate(PRESETS["vta"], "xc7", packed) for packed in (False, True))
    assert plain.dsps - packed.dsps == PRESETS["vta"].macs // 2
    assert packed.luts > plain.luts
