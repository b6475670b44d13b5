"""Hardware intrinsics, declared: what one does to single tiles, as a tensor expression, and where the tiles lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .expr import Const
from .tensor import Tensor

if TYPE_CHECKING:
    from ..host.templates.template import Template


@dataclass(frozen=True, eq=False)
class Intrinsic:
    """An operation on tiles that hardware does at once.

    Parameters
    ----------
    name : str
        For messages and listings.
    output : Tensor
        One tile as a `compute` of the inputs. If it reduces, the hardware merges the result into the tile.
    inputs : tuple of Tensor
        Placeholders of one tile each, in the order in which an `Invoke` lists them.
    scopes : tuple of str
        Where output and inputs lie, in that order.
    init : Const, optional
        What ``fill`` writes; for a reduction its identity.
    template : Template, optional
        How a host does it; its parameters are the output's tile, then the inputs'. Without one a host runs loops.
    """

    name: str
    output: Tensor
    inputs: tuple[Tensor, ...]
    scopes: tuple[str, ...]
    init: Const | None = None
    template: Template | None = None
