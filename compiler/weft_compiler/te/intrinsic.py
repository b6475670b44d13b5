"""Hardware intrinsics, declared: what one does to single tiles, as a tensor expression, and where the tiles lie."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .expr import Const
from .tensor import Tensor

if TYPE_CHECKING:
    from ..host.templates.template import Template


@dataclass(frozen=True)
class Declaration:
    """The function that declares an intrinsic, and its arguments but the configuration."""

    function: str
    arguments: Mapping[str, Any]


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
    declaration : Declaration, optional
        How IR text names it; see `declared`.
    """

    name: str
    output: Tensor
    inputs: tuple[Tensor, ...]
    scopes: tuple[str, ...]
    init: Const | None = None
    template: Template | None = None
    declaration: Declaration | None = field(default=None, kw_only=True)


CONFIG = "config"
"""The first parameter of functions that declare intrinsics of the accelerator."""

P = ParamSpec("P")
Made = TypeVar("Made", bound=Intrinsic)


def declared(make: Callable[P, Made]) -> Callable[P, Made]:
    """What a function makes remembers the function's name and arguments, so that text can name it."""
    signature = inspect.signature(make)

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Made:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = {name: value for name, value in bound.arguments.items() if name != CONFIG}
        return replace(make(*args, **kwargs), declaration=Declaration(make.__name__, arguments))

    return made
