"""Values of the command line: what needs no conversion gets none.

Typer converts every value by pydantic, texts and defaults too, and importing that takes longer than all else that
`weft compile` does for a network that lies in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


class Verb(TyperCommand):
    """A command whose values are converted by typer only where they have to be."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its parameters, ``--help`` among them."""
        return [_late(parameter) for parameter in super().get_params(ctx)]


class Verbs(TyperGroup):
    """A group of which the same holds."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its parameters, ``--help`` among them."""
        return [_late(parameter) for parameter in super().get_params(ctx)]


def _late(parameter: Any) -> Any:
    """The parameter, which from now on goes to typer's conversion through ours; a second time changes nothing."""
    if isinstance(parameter, TyperArgument | TyperOption) and "get_runtime_param" not in vars(parameter):
        conversion = _Conversion(parameter)
        parameter.get_runtime_param = lambda: conversion  # type: ignore[method-assign]
    return parameter


class _Conversion:
    """In the place of typer's conversion of one parameter, which it builds when it is needed."""

    def __init__(self, parameter: TyperArgument | TyperOption) -> None:
        self._parameter = parameter
        self._typer: Callable[[], Any] = parameter.get_runtime_param
        kind = parameter.type_descriptor.annotation
        unrestricted = parameter.type_descriptor.parameter_info.parser is None
        self._kind = kind if unrestricted and kind in (str, Path) else None

    def coerce(self, value: Any, **arguments: Any) -> Any:
        """A value from the command line or a default, as the command takes it."""
        if value is None or value is self._parameter.default:
            return () if value is None and self._parameter.multiple else value
        if self._kind and isinstance(value, str):
            return self._kind(value)
        return self._typer().coerce(value, **arguments)
