"""What the page embeds of an exploration: columns instead of repeated names, and what it would be slow to work out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weft_hardware.errors import WeftError

from .progress import hypervolumes

VERSION = 1


class PageError(WeftError):
    """A directory that holds no exploration which a page could show."""


def read_exploration(directory: Path) -> dict[str, Any]:
    """``exploration.json`` of a result directory.

    Raises
    ------
    PageError
        If it is not there, is damaged, or is of another version.
    """
    path = directory / "exploration.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise PageError(
            f"file {str(path)!r} cannot be read: {reason}; give a directory that `weft explore` wrote"
        ) from None
    except (ValueError, RecursionError) as error:
        raise PageError(f"file {str(path)!r} is damaged ({error}); run `weft explore` on the directory again") from None
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise PageError(
            f"file {str(path)!r} is of version {version!r}, this is Weft for version {VERSION}; "
            "use the Weft that wrote it"
        )
    return content


def condensed(exploration: Mapping[str, Any]) -> dict[str, Any]:
    """The exploration with fields that all designs share told once, and the hypervolume after each evaluation.

    Designs of the page carry the remaining fields, as a list in the order of ``fields``.

    Raises
    ------
    PageError
        If a part that the page needs is missing.
    """
    try:
        return _condensed(exploration)
    except (KeyError, TypeError, AttributeError) as error:
        raise PageError(f"the exploration is damaged ({error!r}); run `weft explore` on its directory again") from None


def _condensed(exploration: Mapping[str, Any]) -> dict[str, Any]:
    designs = exploration["designs"]
    rows = [{**design["config"], "packed": bool(design["packed"])} for design in designs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    fixed = {name: rows[0].get(name) for name in names if all(row.get(name) == rows[0].get(name) for row in rows)}
    fields = [name for name in names if name not in fixed]
    told = {name: value for name, value in exploration.items() if name != "designs"}
    return {
        **told,
        "fixed": fixed,
        "fields": fields,
        "designs": [
            {**design, "config": [row.get(name) for name in fields]} for design, row in zip(designs, rows, strict=True)
        ],
        "hypervolumes": _growth(exploration),
    }


def _growth(exploration: Mapping[str, Any]) -> list[float] | None:
    """None where there is no reference point to measure from."""
    reference = exploration.get("reference_point")
    objectives = exploration["objectives"]
    if not reference or len(reference) != len(objectives) or not all(map(_is_number, reference)):
        return None
    signs = [-1 if objective["goal"] == "max" else 1 for objective in objectives]
    names = [objective["name"] for objective in objectives]
    points = [_point(design, names, signs) for design in exploration["designs"]]
    return hypervolumes(points, [sign * limit for sign, limit in zip(signs, reference, strict=True)])


def _point(design: Mapping[str, Any], names: Sequence[str], signs: Sequence[int]) -> list[float] | None:
    values = [design["values"].get(name) for name in names]
    if design["state"] != "done" or not all(map(_is_number, values)):
        return None
    return [sign * float(value) for sign, value in zip(signs, values, strict=True)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
