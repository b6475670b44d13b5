"""Intrinsics of the accelerator: a tensor expression, and how its operations become instructions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ..te.intrinsic import Intrinsic

if TYPE_CHECKING:
    from .emitter import Emitter
    from .operations import Operation


EmissionRule: TypeAlias = "Callable[[Operation, Emitter], None]"
"""Appends the instructions of an operation to an emitter."""


@dataclass(frozen=True, eq=False)
class AcceleratorIntrinsic(Intrinsic):
    """What the accelerator does to tiles.

    Parameters
    ----------
    emit : callable
        The emission rule.
    in_place : tuple of int
        The inputs that it can write over: its result best lies where one of them does.
    pads : bool
        It can write padding where a condition fails, as LOAD does.
    """

    emit: EmissionRule = field(kw_only=True)
    in_place: tuple[int, ...] = field(default=(), kw_only=True)
    pads: bool = field(default=False, kw_only=True)
