"""What a worker does: the figures of one design that take time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError

from .design import Design
from .workload import Workload

if TYPE_CHECKING:
    from weft_compiler.network import Network
    from weft_compiler.tasks import Task
    from weft_runtime.module_model import Layer

    from .cycles import LayerCycles


ROUTING = {"max_seconds": 1800.0, "max_bytes": 8 << 30}
"""What one design may take to be routed: half an hour, 8 GiB."""

UNKNOWN = "fmax is unknown: the LFE5U-85F cannot hold the design"


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


@dataclass(frozen=True)
class Evaluator:
    """What every design of an exploration is evaluated by; a worker gets it once.

    Parameters
    ----------
    workloads : tuple of Workload
    base : AcceleratorConfig
        What it accelerates of a network, a design has to accelerate, too: what the host computes costs no cycles here.
    routes : bool
        Whether to place and route each design on an ECP5, which takes minutes.
    """

    workloads: tuple[Workload, ...]
    base: AcceleratorConfig
    routes: bool = False

    def evaluate(self, design: Design) -> Outcome:
        """Compile and time every workload.

        What the compiler, the simulator or a tool cannot do is said in the outcome; only our own bugs are raised.
        """
        from .cycles import measure

        cycles: dict[str, int] = {}
        accesses: dict[str, dict[str, int]] = {}
        for workload in self.workloads:
            try:
                content = network(workload.data).programs(design.config)
                if left := _left_to_host(workload.data, self.base, content.layers):
                    return Outcome.failed(f"{workload.name}: {left}")
                measured = measure(content)
            except (WeftError, MemoryError) as error:
                return Outcome.failed(f"{workload.name}: {error or 'there is not enough memory'}")
            if not measured.cycles:
                return Outcome.failed(f"{workload.name}: the accelerator computes none of it")
            cycles[workload.name] = measured.cycles
            accesses[workload.name] = measured.accesses.to_json()
        if not self.routes:
            return Outcome(cycles, accesses)
        try:
            mhz = _routed(design)
        except WeftError as error:
            return Outcome.failed(f"routing: {error}")
        return Outcome(cycles, accesses, mhz)

    def estimate(self, design: Design) -> Outcome:
        """The same by the compiler's analytic model, which makes no programs; cheap and inexact."""
        from .analytic import estimate

        cycles: dict[str, int] = {}
        accesses: dict[str, dict[str, int]] = {}
        for workload in self.workloads:
            try:
                known = network(workload.data)
                count, made = estimate(known, _tasks(workload.data), design.config)
            except (WeftError, MemoryError) as error:
                return Outcome.failed(f"{workload.name}: {error or 'there is not enough memory'}")
            cycles[workload.name] = round(count)
            accesses[workload.name] = made.to_json()
        # Of the clock nothing is known before: all have the same, until results correct it.
        return Outcome(cycles, accesses, 1.0 if self.routes else None)


def _routed(design: Design) -> float | None:
    """MHz on an ECP5; None where the part cannot hold the design."""
    from weft_simulator.tsim.cache import cache_directory

    from .area import routed_mhz

    return routed_mhz(design.config, design.build.packed, cache_directory() / "synth", **ROUTING)


@lru_cache(maxsize=8)
def network(data: bytes) -> Network:
    """A process reads a network once."""
    from weft_compiler.network import Network

    return Network(data)


@lru_cache(maxsize=8)
def _tasks(data: bytes) -> dict[AcceleratorConfig, Counter[Task]]:
    """What `analytic.estimate` remembers of a network."""
    return {}


@lru_cache(maxsize=8)
def _accelerated(data: bytes, config: AcceleratorConfig) -> frozenset[str]:
    """The layers that an accelerator computes."""
    layers = network(data).programs(config).layers
    return frozenset(layer.name for layer in layers if layer.placement == "accelerator")


def _left_to_host(data: bytes, base: AcceleratorConfig, layers: Sequence[Layer]) -> str | None:
    """What the host computes though the base accelerates it."""
    usual = _accelerated(data, base)
    for layer in layers:
        if layer.placement != "accelerator" and layer.name in usual:
            return f"the host computes {layer.name}, which the base accelerates: {layer.reason}"
    return None


@lru_cache(maxsize=8)
def useful_macs(data: bytes, base: AcceleratorConfig) -> int:
    """Multiply-accumulates of a network, wherever they run."""
    return sum(layer.macs for layer in network(data).programs(base).layers)


def layers_of(design: Design, workload: Workload) -> list[LayerCycles]:
    """What each layer of a network takes on a design that was evaluated."""
    from .cycles import layers

    return layers(network(workload.data).programs(design.config))
