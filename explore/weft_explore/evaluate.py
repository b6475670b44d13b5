"""What a worker does: the figures of one design that take time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from weft_hardware.errors import WeftError

from .design import Design
from .workload import Workload

if TYPE_CHECKING:
    from .cycles import LayerCycles


@dataclass(frozen=True)
class Outcome:
    """What is known of a design once it was evaluated.

    Parameters
    ----------
    cycles : dict
        By workload.
    accesses : dict
        By workload, as `energy.Accesses.to_json`.
    fmax : float, optional
        MHz, where routing was asked for and worked.
    reason : str, optional
        Why it failed.
    """

    cycles: Mapping[str, int]
    accesses: Mapping[str, Mapping[str, int]]
    fmax: float | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "cycles": dict(self.cycles),
            "accesses": {name: dict(counts) for name, counts in self.accesses.items()},
            "fmax": self.fmax,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        return cls(data["cycles"], data["accesses"], data["fmax"], data["reason"])

    @classmethod
    def failed(cls, reason: str) -> Outcome:
        return cls({}, {}, None, reason)


def evaluate(design: Design, workloads: Sequence[Workload]) -> Outcome:
    """Compile and time every workload for a design.

    What the compiler, the simulator or a tool cannot do is said in the outcome; only our own bugs are raised.
    """
    from .cycles import measure

    cycles: dict[str, int] = {}
    accesses: dict[str, dict[str, int]] = {}
    for workload in workloads:
        try:
            measured = measure(network(workload.data).programs(design.config))
        except (WeftError, MemoryError) as error:
            return Outcome.failed(f"{workload.name}: {error or 'there is not enough memory'}")
        if not measured.cycles:
            return Outcome.failed(f"{workload.name}: the accelerator computes none of it; see weft compile --report")
        cycles[workload.name] = measured.cycles
        accesses[workload.name] = measured.accesses.to_json()
    return Outcome(cycles, accesses)


@lru_cache(maxsize=8)
def network(data: bytes):
    """A process reads a network once."""
    from weft_compiler.network import Network

    return Network(data)


@lru_cache(maxsize=8)
def useful_macs(data: bytes) -> int:
    """Multiply-accumulates of a network, wherever they run."""
    from weft_hardware.presets import VTA

    return sum(layer.macs for layer in network(data).programs(VTA).layers)


def layers_of(design: Design, workload: Workload) -> list[LayerCycles]:
    """What each layer of a network takes on a design that was evaluated."""
    from .cycles import layers

    return layers(network(workload.data).programs(design.config))
