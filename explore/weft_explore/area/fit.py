"""``python -m weft_explore.area.fit``: weigh the terms of every kind of module by what was synthesised.

Least squares without negative weights: what a term stands for can only add area. The squares are relative to a module's
size and to how much of a design it is, so a large module counts for more, and none for everything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from weft_hardware.parts import Usage
from weft_hardware.sources import rtl_sources
from weft_hardware.synth.families import FAMILIES
from weft_hardware.synth.tools import tool_version

from .data import DATA, DATAPATH, Sample, group, samples
from .instances import Instance, instances
from .model import Scales, Weights, estimate_one


def fit(measured: Iterable[Sample], family: str) -> Weights:
    """Weights for every kind of module of which there is a measurement.

    Parameters
    ----------
    measured : iterable of Sample
        None of a held-out design.
    """
    import numpy as np

    points: dict[str, dict[tuple[Any, ...], tuple[Instance, Usage]]] = defaultdict(dict)
    for sample in measured:
        for instance in instances(sample.config, family, sample.packed):
            for path in instance.paths:
                if path in sample.parts:
                    found = sample.parts[path]
                    rest = (found.luts - instance.counted.luts, found.ffs - instance.counted.ffs)
                    points[instance.kind][(instance.terms, rest)] = (instance, found)
    weights: dict[str, dict[str, list[float]]] = {}
    for kind, known in sorted(points.items()):
        terms = np.array([(float(one.constant), *one.terms) for one, _ in known.values()], dtype=float)
        weights[kind] = {}
        for what in ("luts", "ffs"):
            target = np.array([getattr(u, what) - getattr(i.counted, what) for i, u in known.values()], dtype=float)
            weights[kind][what] = [round(float(weight), 4) for weight in _solve(terms, target)]
    return weights


RIDGE = 1e-3
"""Keeps what no measurement tells apart from growing against each other."""


def _solve(terms: Any, target: Any) -> Any:
    import numpy as np
    from scipy.optimize import nnls

    scale = np.maximum(np.abs(terms).max(axis=0), 1e-9)
    rows = 1 / np.sqrt(np.maximum(target, 20))
    scaled = terms / scale * rows[:, None]
    penalty = RIDGE * np.sqrt(np.abs(rows).sum()) * np.eye(terms.shape[1])
    penalty[0, 0] = 0
    solution, _ = nnls(np.vstack([scaled, penalty]), np.concatenate([target * rows, np.zeros(terms.shape[1])]))
    return solution / scale


def scales(measured: Iterable[Sample], family: str, weights: Weights) -> Scales:
    """How much of what modules take apart they take in a whole, where a family dissolves the hierarchy.

    The medians of the designs that were synthesised whole; 1 without any.
    """
    ratios: dict[str, dict[str, list[float]]] = {place: {"luts": [], "ffs": []} for place in ("", DATAPATH)}
    for sample in measured:
        counted, fitted = dict.fromkeys(ratios, Usage()), dict.fromkeys(ratios, Usage())
        for instance in instances(sample.config, family, sample.packed):
            place = group(instance.paths[0])
            fitted[place] += (estimate_one(instance, weights) + instance.counted * -1) * len(instance.paths)
            counted[place] += instance.counted * len(instance.paths)
        for place, found in ratios.items():
            for what, known in found.items():
                taken = getattr(sample.parts[place], what) - getattr(counted[place], what)
                known.append(taken / getattr(fitted[place], what))
    return {
        place: {what: round(median(known), 4) if known else 1.0 for what, known in found.items()}
        for place, found in ratios.items()
    }


def fit_all(directory: Path) -> dict[str, Any]:
    """What ``weights.json`` holds: by family the weights by module, and how much of it is left of a whole."""
    families = {}
    for name in FAMILIES:
        known = [sample for sample in samples(directory, name, partial=True) if not sample.held_out]
        weights = fit((sample for sample in known if not sample.dissolved), name)
        dissolved = (sample for sample in known if sample.dissolved)
        families[name] = {"scales": scales(dissolved, name, weights), "weights": weights}
    return {"rtl": rtl_digest(), "tools": list(tools()), "families": families}


def rtl_digest() -> str:
    """Names the RTL at hand: the weights hold for one."""
    return hashlib.sha256("".join(path.read_text() for path in rtl_sources()).encode()).hexdigest()[:16]


def tools() -> tuple[str, ...]:
    """What synthesises."""
    return (f"amaranth {version('amaranth')}", tool_version("yosys"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=DATA)
    directory = parser.parse_args().directory
    found = fit_all(directory)
    (directory / "weights.json").write_text(json.dumps(found, indent=1) + "\n")
    for family, fitted in found["families"].items():
        print(f"{family}: {len(fitted['weights'])} kinds of modules; of a whole {fitted['scales']}")


if __name__ == "__main__":
    main()
