"""Fields of ``manifest.json``, each of a type: the file may come from anywhere."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from .errors import ModuleError

MAX_TEXT = 1 << 20
"""Characters of one name or reason."""


class Fields:
    """Typed access to a JSON object.

    Raises
    ------
    ModuleError
        If a field is missing or of another type; the message names its path.
    """

    def __init__(self, value: Any, path: str = "manifest"):
        if not isinstance(value, dict):
            raise damaged(path, value, "is not an object")
        self._value = value
        self.path = path

    @property
    def raw(self) -> dict[str, Any]:
        """The object itself."""
        return self._value

    def get(self, name: str, kind: type | tuple[type, ...]) -> Any:
        if name not in self._value:
            raise damaged(f"{self.path}.{name}", "nothing", "is missing")
        value = self._value[name]
        # bool is an int to Python, never to the format.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise damaged(f"{self.path}.{name}", value, "has the wrong type")
        return value

    def integer(self, name: str, low: int = 0, high: int = 1 << 63) -> int:
        value = self.get(name, int)
        if not low <= value <= high:
            raise damaged(f"{self.path}.{name}", value, f"is outside {low}..{high}")
        return value

    def text(self, name: str, limit: int = MAX_TEXT) -> str:
        value = self.get(name, str)
        if len(value) > limit:
            raise damaged(f"{self.path}.{name}", f"{len(value)} characters", f"exceeds {limit}")
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise damaged(f"{self.path}.{name}", value, "is no text: it has half a character")
        return value

    def choice(self, name: str, choices: Collection[str]) -> str:
        value = self.get(name, str)
        if value not in choices:
            raise damaged(f"{self.path}.{name}", value, f"is none of {', '.join(choices)}")
        return value

    def objects(self, name: str) -> list[Fields]:
        return [Fields(item, f"{self.path}.{name}[{k}]") for k, item in enumerate(self.get(name, list))]

    def object(self, name: str) -> Fields:
        return Fields(self.get(name, dict), f"{self.path}.{name}")


def damaged(subject: str, value: object, rule: str) -> ModuleError:
    """The error about one wrong value."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return ModuleError(f"module file is damaged: {subject} = {shown} {rule}; compile the model again")


def parse(text: str | bytes) -> Any:
    """A manifest's JSON.

    Raises
    ------
    ModuleError
        If an object names something twice, or a number is none.
    ValueError, RecursionError
        If it is no JSON.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose names are all different, so that every reader reads the same."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise damaged("manifest", [name for name, _ in pairs], "names something twice")
    return value


def _no_number(text: str) -> Any:
    """What JSON does not have: NaN and infinities."""
    raise damaged("manifest", text, "is no number of JSON")
