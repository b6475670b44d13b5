"""What an accelerator takes of an FPGA, from its configuration alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import mul

from weft_hardware.config import AcceleratorConfig
from weft_hardware.parts import Usage

from .data import DATA, group
from .instances import Instance, instances

Weights = Mapping[str, Mapping[str, Sequence[float]]]
"""By kind of module and by ``"luts"`` or ``"ffs"``: the constant, and a weight for each term."""

Scales = Mapping[str, Mapping[str, float]]
"""By `data.group` and by ``"luts"`` or ``"ffs"``: how much of what modules take apart they take in a whole."""


@lru_cache(maxsize=8192)
def estimate(config: AcceleratorConfig, family: str, packed: bool = False) -> Usage:
    """The area that synthesis would report; about a millisecond, and nothing where it was asked before.

    Block RAMs, DSP blocks and look-up tables used as memory are counted by the rules of yosys; look-up tables and
    flip-flops are fitted to syntheses, see `fit`.

    Parameters
    ----------
    family : str
        One of `weft_hardware.synth.families.FAMILIES`.
    packed : bool
        Two products a multiplier.
    """
    weights, scales = fitted(family)
    luts = lutram = ffs = dsps = brams = 0.0
    for instance in instances(config, family, packed):
        count, one = len(instance.paths), instance.counted
        more_luts, more_ffs = _fitted(instance, weights)
        scale = scales[group(instance.paths[0])]
        luts += count * (one.luts + scale["luts"] * more_luts)
        ffs += count * (one.ffs + scale["ffs"] * more_ffs)
        lutram += count * one.lutram
        dsps += count * one.dsps
        brams += count * one.brams
    return Usage(luts=round(luts), lutram=lutram, ffs=round(ffs), dsps=dsps, brams=brams)


def estimate_one(instance: Instance, weights: Weights) -> Usage:
    """The area of one module without those below it."""
    luts, ffs = _fitted(instance, weights)
    return instance.counted + Usage(luts=luts, ffs=ffs)


def _fitted(instance: Instance, weights: Weights) -> tuple[float, float]:
    """Look-up tables and flip-flops that are not counted."""
    known = weights.get(instance.kind)
    if known is None:
        return 0, 0
    (constant, *luts), (start, *ffs) = known["luts"], known["ffs"]
    return constant + sum(map(mul, luts, instance.terms)), start + sum(map(mul, ffs, instance.terms))


@lru_cache(maxsize=8)
def fitted(family: str) -> tuple[Weights, Scales]:
    """What `fit` wrote of a family."""
    found = json.loads((DATA / "weights.json").read_text())["families"][family]
    return found["weights"], found["scales"]
