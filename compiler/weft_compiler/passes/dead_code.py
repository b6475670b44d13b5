"""What nobody reads is not computed."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.transforms.dead_code_elimination import DeadCodeElimination


@dataclass(frozen=True)
class DeadCode(DeadCodeElimination):
    """Operations whose results nobody reads are gone; calls stay, which may do more than give results."""
