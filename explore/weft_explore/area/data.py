"""What was synthesised: the area of every module of some designs, and of some whole designs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.parts import Usage

DATA = Path(__file__).parent / "data"

DATAPATH = "compute.datapath"
"""Multipliers, ALU and scratchpads: where the hierarchy is dissolved they keep more of their area than the rest."""


def group(path: str) -> str:
    """Of a module in the datapath `DATAPATH`, of any other ``""``."""
    return DATAPATH if path == DATAPATH or path.startswith(f"{DATAPATH}.") else ""


@dataclass(frozen=True)
class Sample:
    """One synthesised design.

    Parameters
    ----------
    parts : Mapping
        The area of each module without those below it, by its path; where the synthesis dissolves the hierarchy only
        that of the `DATAPATH`, and at ``""`` that of all else.
    whole : bool
        Synthesised as one; else each of its modules alone.
    held_out : bool
        The model was not fitted to it.
    """

    name: str
    config: AcceleratorConfig
    packed: bool
    parts: Mapping[str, Usage]
    whole: bool
    held_out: bool

    @property
    def dissolved(self) -> bool:
        """Whether nothing is known of single modules."""
        return set(self.parts) == {"", DATAPATH}

    @property
    def total(self) -> Usage:
        return sum(self.parts.values(), Usage())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; one that was cut off when its writer was killed is left out."""
    found: list[dict[str, Any]] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def samples(directory: Path = DATA, family: str = "xc7", partial: bool = False) -> Iterator[Sample]:
    """The designs all of whose modules are known in a family; with ``partial`` the others, too, as far as they are."""
    parts = {line.pop("part"): Usage(**line) for line in read_lines(directory / f"{family}.jsonl")}
    for line in read_lines(directory / "designs.jsonl"):
        own = {path: parts[digest] for path, digest in line["parts"].items() if digest in parts}
        if partial or len(own) == len(line["parts"]):
            config = AcceleratorConfig(**line["config"])
            yield Sample(line["name"], config, line["packed"], own, False, line["held_out"])
    for line in read_lines(directory / "whole.jsonl"):
        if line["family"] == family:
            own = {path: Usage(*usage) for path, usage in line["parts"].items()}
            config = AcceleratorConfig(**line["config"])
            yield Sample(line["name"], config, line["packed"], own, True, line["held_out"])
