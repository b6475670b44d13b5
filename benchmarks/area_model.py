"""The area model beside yosys, of designs that it was not fitted to: estimated and synthesised, and how far it is off.

The syntheses lie beside the model (`weft_explore/area/data`), of whole designs where nothing else is said. xc7, in
LUT, FF, DSP48 and RAMB36. ``python -m weft_explore.area.collect`` adds designs.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from statistics import median

from weft_explore.area import estimate
from weft_explore.area.data import DATA, samples
from weft_explore.area.fit import rtl_digest
from weft_hardware.presets import PRESETS

FAMILY = "xc7"


def measure() -> dict[str, float | int | str]:
    """Errors in per cent, design by design and their medians."""
    fitted = json.loads((DATA / "weights.json").read_text())
    known = list(samples(DATA, FAMILY))
    judged = [sample for sample in known if sample.held_out]
    figures: dict[str, float | int | str] = {
        "fitted with": ", ".join(fitted["tools"]),
        "fitted to this RTL": "yes" if fitted["rtl"] == rtl_digest() else "no: collect and fit anew",
        "designs fitted to": "; ".join(s.name for s in samples(DATA, FAMILY, partial=True) if not s.held_out),
        "designs held out": len(judged),
    }
    errors: dict[str, list[float]] = {"luts": [], "ffs": []}
    exact = {"dsps": 0, "brams": 0, "lutram": 0}
    for sample in judged:
        found, truth = estimate(sample.config, FAMILY, sample.packed), sample.total
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
    figures["DSP exact (goal: all)"] = f"{exact['dsps']} of {len(judged)}"
    figures["BRAM exact (goal: all)"] = f"{exact['brams']} of {len(judged)}"
    figures["LUT memory exact"] = f"{exact['lutram']} of {len(judged)}"
    began, count = time.process_time(), 500
    for depth in range(count):
        estimate(replace(PRESETS["vta"], inp_depth=100 + depth), FAMILY)
    figures["estimates a second"] = round(count / (time.process_time() - began))
    return figures
