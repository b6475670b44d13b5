"""What a worker does: the figures of one design that take time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError
from weft_hardware.garbage import no_collection
from weft_hardware.synth.tools import Bounds, RunawayError

from .design import Design
from .workload import Workload

if TYPE_CHECKING:
    from weft_compiler.network import Network
    from weft_compiler.tasks import Task
    from weft_runtime.module_model import Layer, ModuleContent

    from .cycles import LayerCycles, Measured
    from .schedules import TunedLayer


BOUNDS = Bounds(seconds=3600, memory_mib=8192)
"""What each run of a tool may take."""

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
    bounds : Bounds, optional
        Of the tools, where it failed because one took more: with others it may not.
    untuned : dict
        By workload, cycles with the compiler's own schedules; empty where no others were searched.
    layers : tuple of TunedLayer
        The schedules with which it takes ``cycles``, by layer; empty where those are the compiler's own.
    trace : str, optional
        Where a bug of ours was raised; it is not kept with the others.
    """

    cycles: Mapping[str, int]
    accesses: Mapping[str, Mapping[str, int]]
    fmax: float | None = None
    reason: str | None = None
    bounds: Bounds | None = None
    untuned: Mapping[str, int] = field(default_factory=dict[str, int])
    layers: tuple[TunedLayer, ...] = ()
    trace: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "cycles": dict(self.cycles),
            "accesses": {name: dict(counts) for name, counts in self.accesses.items()},
            "fmax": self.fmax,
            "reason": self.reason,
            "bounds": None if self.bounds is None else asdict(self.bounds),
            "untuned": dict(self.untuned),
            "layers": [layer.to_json() for layer in self.layers],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        layers, bounds = data["layers"], data["bounds"]
        if layers:
            from .schedules import TunedLayer

            layers = [TunedLayer(**layer) for layer in layers]
        return cls(
            data["cycles"],
            data["accesses"],
            data["fmax"],
            data["reason"],
            None if bounds is None else Bounds(**bounds),
            data["untuned"],
            tuple(layers),
        )

    @classmethod
    def failed(cls, reason: str, trace: str | None = None) -> Outcome:
        return cls({}, {}, None, reason, trace=trace)

    @property
    def schedules(self) -> dict[str, Mapping[str, Any]]:
        """Of its layers, as `weft_compiler.CompileOptions` takes them."""
        return {layer.layer: layer.candidate for layer in self.layers}


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
    bounds : Bounds
        What each tool may take for that.
    trials : int
        Schedules of each layer that are measured for each design, the compiler's own included; with 0 or 1 all layers
        have that.
    seed : int
        Of the search of schedules.
    """

    workloads: tuple[Workload, ...]
    base: AcceleratorConfig
    routes: bool = False
    bounds: Bounds = BOUNDS
    trials: int = 0
    seed: int = 0

    def evaluate(self, design: Design) -> Outcome:
        """Compile and time every workload, with the best schedules that a search of each layer finds.

        What the compiler, the simulator or a tool cannot do is said in the outcome; only our own bugs are raised.
        """
        made = self._timed(design)
        if made.reason is not None or not self.routes:
            return made
        try:
            return replace(made, fmax=_routed(design, self.bounds))
        except RunawayError as error:
            return replace(Outcome.failed(f"routing: {error}"), bounds=self.bounds)
        except WeftError as error:
            return Outcome.failed(f"routing: {error}")

    @no_collection()
    def _timed(self, design: Design) -> Outcome:
        own: dict[str, Measured] = {}
        tuned: dict[str, Measured] = {}
        layers: dict[str, TunedLayer] = {}
        for workload in self.workloads:
            try:
                known = network(workload.data)
                content = known.programs(design.config)
                if left := _left_to_host(workload.data, self.base, content.layers):
                    return Outcome.failed(f"{workload.name}: {left}")
                own[workload.name] = tuned[workload.name] = _measured(content)
                if self.trials > 1:
                    found = {layer.layer: layer for layer in self._layers(known, design.config)}
                    layers |= found
                    if found:
                        schedules = {key: layer.candidate for key, layer in found.items()}
                        tuned[workload.name] = _measured(known.programs(design.config, schedules))
            except (WeftError, MemoryError) as error:
                return Outcome.failed(f"{workload.name}: {error or 'there is not enough memory'}")
            if not own[workload.name].cycles:
                return Outcome.failed(f"{workload.name}: the accelerator computes none of it")
        # Layers overlap, so what is best for each alone may not be so for the network: then the compiler's own stay.
        better = self._sum(tuned) < self._sum(own)
        chosen = tuned if better else own
        return Outcome(
            {name: measured.cycles for name, measured in chosen.items()},
            {name: measured.accesses.to_json() for name, measured in chosen.items()},
            untuned={name: measured.cycles for name, measured in own.items()} if self.trials > 1 else {},
            layers=tuple(layers.values()) if better else (),
        )

    def _layers(self, known: Network, config: AcceleratorConfig) -> list[TunedLayer]:
        """Those for which a better schedule than the compiler's own was found."""
        from .schedules import tuned_layers

        found = tuned_layers(known.tasks(config), config, self.trials, self.seed)
        return [layer for layer in found.values() if layer.cycles < layer.untuned]

    def _sum(self, measured: Mapping[str, Measured]) -> int:
        return sum(w.weight * measured[w.name].cycles for w in self.workloads)

    @no_collection()
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


def _measured(content: ModuleContent) -> Measured:
    from .cycles import measure

    return measure(content)


def _routed(design: Design, bounds: Bounds) -> float | None:
    """MHz on an ECP5; None where the part cannot hold the design."""
    from weft_simulator.tsim.cache import cache_directory

    from .area import routed_mhz

    return routed_mhz(design.config, design.build.packed, cache_directory() / "synth", bounds)


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


def layers_of(design: Design, workload: Workload, outcome: Outcome) -> list[LayerCycles]:
    """What each layer of a network takes on a design that was evaluated."""
    from .cycles import layers

    return layers(network(workload.data).programs(design.config, outcome.schedules))
