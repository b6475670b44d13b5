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
from typing import Any

from weft_hardware.parts import Usage
from weft_hardware.sources import rtl_sources
from weft_hardware.synth.families import FAMILIES
from weft_hardware.synth.tools import tool_version

from .data import DATA, Sample, samples
from .instances import Instance, instances
from .model import Weights, estimate_one


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


def scales(measured: Iterable[Sample], family: str, like: Weights) -> dict[str, float]:
    """How much more a family takes than another one's weights say, where only whole designs were synthesised."""
    taken, expected = Usage(), Usage()
    for sample in measured:
        for instance in instances(sample.config, family, sample.packed):
            weighed = estimate_one(instance, like)
            expected += (weighed + instance.counted * -1) * len(instance.paths)
            taken += instance.counted * -len(instance.paths)
        taken += sample.total
    return {"luts": round(taken.luts / expected.luts, 3), "ffs": round(taken.ffs / expected.ffs, 3)}


def fit_all(directory: Path) -> dict[str, Any]:
    """What ``weights.json`` holds: weights by module for xc7, and by how much other families differ."""
    known = {family: [s for s in samples(directory, family, family == "xc7") if not s.held_out] for family in FAMILIES}
    weights = fit(known["xc7"], "xc7")
    other = {
        family: scales(found, family, weights) if found else {"luts": 1.0, "ffs": 1.0}
        for family, found in known.items()
        if family != "xc7"
    }
    return {"rtl": rtl_digest(), "tools": list(tools()), "xc7": weights, "scales": other}


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
    print(f"{len(found['xc7'])} kinds of modules; of other families: {found['scales']}")


if __name__ == "__main__":
    main()
