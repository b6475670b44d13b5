"""The area model beside yosys, of designs that it was not fitted to: estimated and synthesised, and how far it is off.

The syntheses lie beside the model (`weft_explore/area/data`), of whole designs where nothing else is said; block RAMs
are RAMB36, and EBR of 18 kbit in ECP5. ``python -m weft_explore.area.collect`` adds designs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from weft_explore.area import estimate
from weft_explore.area.data import DATA, Sample, samples
from weft_explore.area.fit import rtl_digest
from weft_hardware.presets import PRESETS
from weft_hardware.synth.families import FAMILIES

Figures = dict[str, float | int | str]


def measure() -> Figures:
    """Errors in per cent, family by family, design by design, and their medians."""
    fitted = json.loads((DATA / "weights.json").read_text())
    figures: Figures = {
        "fitted with": ", ".join(fitted["tools"]),
        "fitted to this RTL": "yes" if fitted["rtl"] == rtl_digest() else "no: collect and fit anew",
    }
    for family in FAMILIES:
        figures |= {f"{family}: {name}": value for name, value in _judged(family).items()}
    began, count = time.process_time(), 500
    for depth in range(count):
        estimate(replace(PRESETS["vta"], inp_depth=100 + depth), "xc7")
    figures["estimates a second"] = round(count / (time.process_time() - began))
    return figures


def _judged(family: str) -> Figures:
    judged = [sample for sample in _comparable(family) if sample.held_out]
    figures: Figures = {
        "designs fitted to": "; ".join(s.name for s in samples(DATA, family, partial=True) if not s.held_out),
        "designs held out": len(judged),
    }
    errors: dict[str, list[float]] = {"luts": [], "ffs": []}
    exact = {"dsps": 0, "brams": 0, "lutram": 0}
    for sample in judged:
        found, truth = estimate(sample.config, family, sample.packed), sample.total
        parts = []
        for name, title in (("luts", "LUT"), ("ffs", "FF")):
            guess, real = getattr(found, name), getattr(truth, name)
            errors[name].append(100 * abs(guess / real - 1))
            parts.append(f"{title} {guess:,g} of {real:,g} ({100 * (guess / real - 1):+.1f} %)")
        for name, title in (("dsps", "DSP"), ("brams", "BRAM"), ("lutram", "LUT memory")):
            guess, real = getattr(found, name), getattr(truth, name)
            exact[name] += guess == real
            parts.append(f"{title} {guess:g} of {real:g}")
        figures[sample.name + ("" if sample.whole else " (module by module)")] = ", ".join(parts)
    figures["LUT, median error, % (goal ≤ 5)"] = round(median(errors["luts"]), 2)
    figures["FF, median error, %"] = round(median(errors["ffs"]), 2)
    for name, title in (
        ("dsps", "DSP exact (goal: all)"),
        ("brams", "BRAM exact (goal: all)"),
        ("lutram", "LUT memory exact"),
    ):
        figures[title] = f"{exact[name]} of {len(judged)}"
    return figures


def _comparable(family: str) -> Iterator[Sample]:
    """Syntheses that tell what a whole design takes: where a family dissolves the hierarchy modules alone do not."""
    return (sample for sample in samples(DATA, family) if sample.whole or not FAMILIES[family].flattens)
