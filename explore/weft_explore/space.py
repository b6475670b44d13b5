"""The space of designs: which values each field of a configuration may take, read from a TOML file."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice, product
from math import prod
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import ConfigError
from weft_hardware.presets import load_config

from .design import BuildOptions, Design
from .errors import ExploreError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Value: TypeAlias = int | bool
Point: TypeAlias = tuple[int, ...]
"""For each parameter of a space the number of its choice."""

MAX_CHOICES = 1024
"""Choices of one parameter: more would be a step too small to tell anything."""

LOOKED_AT = 4096
"""Combinations that are looked at before a space counts as one in which nothing can be built."""

CONFIG_FIELDS = {field.name: field for field in fields(AcceleratorConfig)}
BUILD_FIELDS = {field.name: field for field in fields(BuildOptions)}
KNOWN = {**CONFIG_FIELDS, **BUILD_FIELDS}

_ALONE = AcceleratorConfig(block_in=4, block_out=64, epilogue_lanes=1)
"""A configuration in which every field can take every value that it can take at all."""

_KEYS = ("low", "high", "step", "log")
_TABLES = ("base", "space", "schedules")


@dataclass(frozen=True)
class Parameter:
    """What one field may be.

    Parameters
    ----------
    fields : tuple of str
        The field, then those that follow it.
    choices : tuple
        Its values, in the order of the file; a single one is fixed.
    """

    fields: tuple[str, ...]
    choices: tuple[Value, ...]

    @property
    def name(self) -> str:
        return self.fields[0]


@dataclass(frozen=True)
class Space:
    """Designs that differ from a base configuration in some fields.

    Parameters
    ----------
    base : AcceleratorConfig
        What the space does not name.
    parameters : tuple of Parameter
        In the order of the file.
    trials : int
        Schedules of each layer that are measured for each design; 0: all layers have the compiler's own.
    """

    base: AcceleratorConfig
    parameters: tuple[Parameter, ...]
    trials: int = 0

    @cached_property
    def size(self) -> int:
        """Combinations of choices, those that cannot be built among them."""
        return prod(len(p.choices) for p in self.parameters)

    def choices(self) -> dict[str, list[Value]]:
        """The values of each field, for reports."""
        return {name: list(p.choices) for p in self.parameters for name in p.fields}

    def design(self, point: Point) -> Design | None:
        """The design of a combination; None if it cannot be built."""
        values: dict[str, Any] = {}
        for parameter, chosen in zip(self.parameters, point, strict=True):
            values |= dict.fromkeys(parameter.fields, parameter.choices[chosen])
        build = BuildOptions(**{name: values.pop(name) for name in BUILD_FIELDS if name in values})
        try:
            return Design(replace(self.base, **values), build)
        except ConfigError:
            return None

    def points(self) -> Iterator[Point]:
        """All combinations, in order."""
        return product(*(range(len(p.choices)) for p in self.parameters))

    def designs(self) -> Iterator[Design]:
        """Every design that can be built, in order."""
        return (design for point in self.points() if (design := self.design(point)) is not None)


def load_space(path: str | Path) -> Space:
    """Read a space from a file.

    Raises
    ------
    ExploreError
        If the file cannot be read or is no space; the message names file, field, value and rule.
    """
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ExploreError(f"space {name!r} cannot be read: {error.strerror or error}; check its path") from None
    except UnicodeDecodeError:
        raise ExploreError(f"space {name!r} is not UTF-8 text; give a TOML file") from None
    try:
        return parse_space(text, Path(path).parent)
    except (ExploreError, ConfigError) as error:
        raise ExploreError(f"space {name!r}: {error}") from None


def parse_space(text: str, folder: Path = Path()) -> Space:
    """Read a space from TOML: ``base``, the table ``space`` of values a field, perhaps ``schedules`` with ``trials``.

    Parameters
    ----------
    folder : Path
        Where a base that is a file is looked for.

    Raises
    ------
    ExploreError
        If the text is no space.
    ConfigError
        If its base is no configuration.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExploreError(f"not TOML: {error}; see docs/exploration.md for an example") from None
    for key in data:
        if key not in _TABLES:
            raise ExploreError(f"{key!r} is not part of a space{_hint(key, _TABLES)}; it has base, space and schedules")
    base = data.get("base", "vta")
    if not isinstance(base, str):
        raise ExploreError(f"base = {base!r} is no name; give a preset's or a file's")
    table = data.get("space")
    if not isinstance(table, dict) or not table:
        raise ExploreError("the table [space] is missing or empty; give a field and its choices in it")
    space = Space(load_config(_beside(folder, base)), _parameters(table), _trials(data.get("schedules", {})))
    looked = list(_some(space))
    if all(space.design(point) is None for point in looked):
        which = f"its {space.size}" if len(looked) == space.size else f"{len(looked)} of its {space.size}"
        raise ExploreError(f"none of {which} combinations can be built: {_reason(space)}")
    return space


def _trials(table: Any) -> int:
    """``trials`` of the table of schedules."""
    if not isinstance(table, dict) or set(table) - {"trials"}:
        raise ExploreError(f"schedules = {_shown(table)} is not understood; write [schedules] and trials = 16 below it")
    trials = table.get("trials", 0)
    if type(trials) is not int or trials < 0:
        raise ExploreError(f"schedules.trials = {_shown(trials)} is no whole number from 0 up; give one")
    return trials


def _beside(folder: Path, base: str) -> str | Path:
    path = folder / base
    try:
        return path if path.is_file() else base
    except (OSError, ValueError):  # no file can have this name
        raise ExploreError(f"base = {base[:40]!r}… is no name; give a preset's or a file's") from None


def _some(space: Space) -> Iterator[Point]:
    """All combinations of a small space; of a large one the first, and as many random ones."""
    yield from islice(space.points(), LOOKED_AT)
    if space.size > LOOKED_AT:
        rng = Random(0)
        for _ in range(LOOKED_AT):
            yield tuple(rng.randrange(len(p.choices)) for p in space.parameters)


def _reason(space: Space) -> str:
    """Why the first combination cannot be built."""
    values = {name: p.choices[0] for p in space.parameters for name in p.fields if name in CONFIG_FIELDS}
    try:
        replace(space.base, **values)
    except ConfigError as error:
        return str(error)
    raise AssertionError("it can be built")


def _parameters(table: Mapping[str, Any]) -> tuple[Parameter, ...]:
    followers: dict[str, list[str]] = {}
    chosen: dict[str, tuple[Value, ...]] = {}
    for name, given in table.items():
        if name not in KNOWN:
            raise ExploreError(f"{name!r} is no field of a design{_hint(name, KNOWN)}; it has {', '.join(KNOWN)}")
        if isinstance(given, dict) and "same" in given:
            leader = _leader(name, given, table)
            followers.setdefault(leader, []).append(name)
        else:
            chosen[name] = _choices(name, given)
    for leader, names in followers.items():
        for name in names:
            _check(name, chosen[leader])
    return tuple(Parameter((name, *followers.get(name, ())), values) for name, values in chosen.items())


def _leader(name: str, given: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    leader = given["same"]
    other = table.get(leader) if isinstance(leader, str) else None
    if len(given) > 1 or other is None or (isinstance(other, dict) and "same" in other):
        raise ExploreError(
            f"{name} = {_shown(given)} must name one field that has choices in this space; "
            'write for example block_out = { same = "block_in" }'
        )
    return leader


def _choices(name: str, given: Any) -> tuple[Value, ...]:
    if isinstance(given, dict):
        values = _range(name, given)
    elif isinstance(given, list):
        values = tuple(given)
    else:
        values = (given,)
    if not values:
        raise ExploreError(f"{name} = [] leaves nothing to choose; give a value, or leave the field out")
    if len(values) > MAX_CHOICES:
        raise ExploreError(f"{name} has {len(values)} choices, more than {MAX_CHOICES}; take a larger step")
    _check(name, values)
    if twice := [value for k, value in enumerate(values) if value in values[:k]]:
        raise ExploreError(f"{name} has {_shown(twice[0])} twice; leave one out")
    return values


def _check(name: str, values: Sequence[Any]) -> None:
    """Every value can be built in some configuration."""
    for value in values:
        if name in BUILD_FIELDS:
            default = BUILD_FIELDS[name].default
            if type(value) is not type(default):
                raise ExploreError(f"{name} = {_shown(value)} is not true or false; change its type")
        else:
            replace(_ALONE, **{name: value})


def _range(name: str, given: Mapping[str, Any]) -> tuple[int, ...]:
    """``low``, then by adding ``step`` (1), or with ``log`` by multiplying with it (2), up to ``high``."""
    shown = f"{name} = {_shown(given)}"
    for key in given:
        if key not in _KEYS:
            raise ExploreError(f"{shown}: {key!r} is not part of a range{_hint(key, _KEYS)}; it has {', '.join(_KEYS)}")
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise ExploreError(f"{shown}: log must be true or false; correct it")
    numbers = {"low": given.get("low"), "high": given.get("high"), "step": given.get("step", 2 if log else 1)}
    for key, value in numbers.items():
        if type(value) is not int:
            raise ExploreError(f"{shown}: {key} must be a whole number; give one")
    low, high, step = numbers["low"], numbers["high"], numbers["step"]
    if low > high:
        raise ExploreError(f"{shown}: low exceeds high; exchange them")
    if step < (2 if log else 1) or (log and low < 1):
        rule = "low at least 1 and step at least 2" if log else "step at least 1"
        raise ExploreError(f"{shown}: the range never ends; make {rule}")
    values = [low]
    while (value := values[-1] * step if log else values[-1] + step) <= high and len(values) <= MAX_CHOICES:
        values.append(value)
    return tuple(values)


def _shown(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_shown(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _hint(word: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
