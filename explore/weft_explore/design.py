"""One point of a space: a configuration, and how it is built and programmed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from weft_hardware.config import AcceleratorConfig


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a design chooses beside its configuration.

    Parameters
    ----------
    packed : bool
        Two products a multiplier: half the DSP blocks, the same cycles.
    """

    packed: bool = False


@dataclass(frozen=True)
class Design:
    """An accelerator that may be evaluated."""

    config: AcceleratorConfig
    build: BuildOptions = BuildOptions()

    @property
    def digest(self) -> str:
        """SHA-256 of all that is chosen, as 64 hexadecimal digits."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Configuration and build options, as `from_json` takes them."""
        return {"config": self.config.to_dict(), **asdict(self.build)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Design:
        """The design that `to_json` gave."""
        build = {field.name: data[field.name] for field in fields(BuildOptions)}
        return cls(AcceleratorConfig(**data["config"]), BuildOptions(**build))
