"""Explorations made up for tests of what shows them: the form of ``exploration.json``, numbers from simple formulas."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import ConfigError
from weft_hardware.presets import VTA

SPACE: dict[str, list[Any]] = {
    "batch": [1, 2, 4],
    "block_in": [8, 16, 32],
    "block_out": [8, 16, 32],
    "inp_depth": [256, 512, 1024, 2048, 4096],
    "wgt_depth": [128, 256, 512, 1024],
    "acc_depth": list(range(256, 4096, 64)),
    "axi_data_bits": [64, 128],
    "epilogue_lanes": [0, 2, 4, 8],
    "residual": [False, True],
    "packed": [False, True],
}
LAYERS = [(f"conv{index}", 10_000_000 + 3_000_000 * index, 150_000 + 40_000 * index) for index in range(1, 18)]


def exploration(count: int, seed: int) -> dict[str, Any]:
    """``count`` designs: most done, some over their constraint, some failed, some of the front confirmed or not."""
    rng = random.Random(seed)
    designs = [_design(index, rng) for index in range(count)]
    _mark_front(designs)
    return {
        "version": 1,
        "weft": "0.1.0",
        "space": SPACE,
        "workloads": [{"name": "resnet18", "sha256": "ab" * 32, "macs": sum(macs for _, macs, _ in LAYERS)}],
        "objectives": [
            {"name": "cycles", "unit": "cycles", "goal": "min"},
            {"name": "luts", "unit": "LUT", "goal": "min"},
            {"name": "fmax", "unit": "MHz", "goal": "max"},
        ],
        "constraints": ["fits pynq-z2", "brams <= 140"],
        "sampler": "nsga2",
        "seed": seed,
        "budget": count,
        "reference_point": [40_000_000, 200_000, 0],
        "designs": designs,
    }


def _design(index: int, rng: random.Random) -> dict[str, Any]:
    config, packed = _configuration(rng)
    # Small blocks are busy, large ones wait for the memory.
    layers = [
        {
            "name": name,
            "macs": macs,
            "bytes": moved + 4096 * 2048 // config.inp_depth,
            "cycles": int(max(macs / config.macs, moved / config.axi_bytes) * rng.uniform(1.05, 1.6)),
        }
        for name, macs, moved in LAYERS
    ]
    values: dict[str, Any] = {
        "cycles": sum(layer["cycles"] for layer in layers),
        "luts": int(6000 + 45 * config.macs**0.9 * (1.6 if packed else 1) + 500 * config.epilogue_lanes),
        "fmax": round(rng.uniform(55, 120), 2) if config.macs <= 1024 else "unknown",
        "brams": config.wgt_depth * config.macs // 16384 + config.acc_depth // 128,
        "dsps": config.macs // (2 if packed else 1),
    }
    fate = rng.random()
    state, reason = "done", None
    if values["brams"] > 140:
        state, reason = "infeasible", f"brams = {values['brams']} exceeds 140"
    elif fate < 0.03:
        state, reason, values = "failed", "synthesis ran for more than 120 s; raise --synth-seconds", {}
    elif fate < 0.04:
        state, reason, values = "failed", "no memory", {"cycles": float("nan"), "luts": None, "fmax": None}
    return {
        "id": index,
        "digest": config.digest,
        "config": config.to_dict(),
        "packed": packed,
        "values": values,
        "state": state,
        "reason": reason,
        "front": False,
        "file": None,
        "layers": layers,
        "confirmed": None,
    }


def _configuration(rng: random.Random) -> tuple[AcceleratorConfig, bool]:
    while True:
        chosen = {name: rng.choice(choices) for name, choices in SPACE.items()}
        packed = chosen.pop("packed")
        try:
            return replace(VTA, table=False, **chosen), packed
        except ConfigError:
            continue


def _mark_front(designs: list[dict[str, Any]]) -> None:
    """Front by definition; its first four are confirmed, all but one of them."""

    def costs(design: dict[str, Any]) -> list[float]:
        values = design["values"]
        return [values["cycles"], values["luts"], -values["fmax"] if isinstance(values["fmax"], float) else 0.0]

    done = [design for design in designs if design["state"] == "done"]
    all_costs = [costs(design) for design in done]
    for design, mine in zip(done, all_costs, strict=True):
        covered = any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in all_costs)
        design["front"] = not covered
    front = [design for design in designs if design["front"]]
    for number, design in enumerate(front):
        design["file"] = f"front/{number:04}.toml"
        if number < 4:
            values = {"cycles": design["values"]["cycles"], "luts": round(design["values"]["luts"] * 1.04)}
            cycles = values["cycles"]
            ran = [{"name": "resnet18", "predicted": cycles, "confirmed": cycles}]
            design["confirmed"] = {"values": values, "workloads": ran, "reason": None}
        if number == 2:
            design["confirmed"] = {"values": {}, "reason": "the simulator took more than 600 s"}
    for design in designs:
        if not design["front"]:
            del design["layers"]
