"""How a network is compiled: all that may be chosen beside the accelerator."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

Schedules: TypeAlias = Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]
"""A schedule for a layer, or several, by its digest."""


@dataclass(frozen=True)
class Scheduled:
    """What became of the schedules given for a layer.

    Parameters
    ----------
    layer : str
        Digest.
    name : str
        Of its node.
    refused : tuple of str
        Why the first ones cannot be used.
    chosen : int or None
        The number of the one that is; None for the compiler's own choice.
    """

    layer: str
    name: str
    refused: tuple[str, ...]
    chosen: int | None


HOST_TARGETS = ("x86_64",)
"""CPUs that a module carries an object for, if nothing is said."""


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """What shapes a module beside its source and the accelerator, and how its compilation is watched.

    Parameters
    ----------
    batch : int
        Images of one run, where the model leaves its first dimension open.
    progress : callable, optional
        Called after each stage with its name, the stages done, and all of them.
    dump : path, optional
        A folder that every level of the compilation is written to; see `dump_ir.Dump`.
    host_targets : str or sequence of str
        CPUs that the module carries an object for, by name or triple, see `host.targets.TARGETS`; others compile its IR
        when they load it.
    overlap : bool
        Whether layers of the accelerator that follow each other are one program, so that the next one loads while this
        one drains; otherwise each is a launch of its own.
    extensions : bool
        Whether programs may use more than the base instruction set; without, they also keep clear of what other
        hardware of it gets wrong, see `accel.plain`.
    schedules : Mapping
        Schedules that take the place of the compiler's own choice, as `tiling.Tiling.to_json` says them, by
        the digest of the layer, `tasks.layer_key`. Layers that the network has not are no error. A list of schedules
        has the best first: the first that can be used is, or else the compiler's own choice.
    scheduled : callable, optional
        Called for each layer that has a choice of schedules.
    """

    batch: int = 1
    progress: Callable[[str, int, int], None] | None = None
    dump: str | Path | None = None
    host_targets: str | Sequence[str] = HOST_TARGETS
    overlap: bool = True
    extensions: bool = True
    schedules: Schedules = field(default_factory=dict[str, Any])
    scheduled: Callable[[Scheduled], None] | None = None

    @property
    def key(self) -> str:
        """One text for all options with which the same module comes out."""
        names = (self.host_targets,) if isinstance(self.host_targets, str) else tuple(self.host_targets)
        shaping = (self.batch, names, self.overlap, self.extensions, self.schedules)
        return json.dumps(shaping, sort_keys=True)
