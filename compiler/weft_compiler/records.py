"""Records of measured schedules: one line of JSON each, appended by the tuner, read by it and by the compiler.

A line stands for itself, so files may be concatenated, sorted, cut and merged. What is damaged is left out and named;
see docs/tuning.md for the fields.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .errors import CompileError

VERSION = 1
"""Of the fields and what they mean; a line of another one is left out."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One candidate, measured once.

    Parameters
    ----------
    layer : str
        Digest of what is computed, as `CompileOptions.schedules` names it.
    config : str
        Digest of the accelerator's configuration.
    name : str
        The layer in few words, for people; nothing depends on it.
    candidate : Mapping
        The schedule.
    cycles : int or None
        What it took; None if it failed.
    failure : str or None
        Why it failed, one sentence.
    device : str
        What it was measured on: ``timing``, ``tsim`` or a server's address.
    memory : Mapping
        How that device's memory answers, by name; empty where nobody models it.
    seed : int
        Of the search that asked for it.
    time : str
        When, in UTC, ISO 8601.
    weft : str
        The version that measured it.
    """

    layer: str
    config: str
    name: str
    candidate: Mapping[str, Any]
    cycles: int | None
    failure: str | None = None
    device: str
    memory: Mapping[str, Any]
    seed: int
    time: str
    weft: str

    def to_line(self) -> str:
        """The record as a line with its newline; behind the fields stands a checksum of them."""
        content = {"version": VERSION, **asdict(self)}
        return json.dumps({**content, "crc": _checksum(content)}, ensure_ascii=False) + "\n"

    @property
    def where(self) -> tuple[str, str]:
        """What cycles can be compared with: device and memory."""
        return self.device, json.dumps(self.memory, sort_keys=True)


@dataclass(frozen=True)
class Damage:
    """A line that was left out: its file, its number from 1, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}; the line is left out"


@dataclass(frozen=True)
class Records:
    """What files hold.

    Parameters
    ----------
    found : tuple of Record
        In the order of files and lines.
    damage : tuple of Damage
        The lines that are none.
    """

    found: tuple[Record, ...] = ()
    damage: tuple[Damage, ...] = ()

    def best(self, config: str, device: str | None = None) -> dict[str, Record]:
        """The fastest record of each layer on a configuration: the first of `ranked`."""
        return {layer: records[0] for layer, records in self.ranked(config, device).items()}

    def ranked(self, config: str, device: str | None = None) -> dict[str, list[Record]]:
        """The records of each layer on a configuration, the fastest first.

        Cycles of different devices or memories are not compared. Of several, those of the preferred ``device`` count,
        and among its memories, or without a preference, those measured last.

        Parameters
        ----------
        config : str
            Digest of the configuration.
        device : str, optional
            The preferred one; a layer that was measured elsewhere alone is taken from there.
        """
        by_layer: dict[str, list[Record]] = {}
        for record in self.found:
            if record.config == config and record.cycles is not None:
                by_layer.setdefault(record.layer, []).append(record)
        chosen = {}
        for layer, records in by_layer.items():
            preferred = [record for record in records if record.device == device] or records
            where = max(preferred, key=lambda record: record.time).where
            # Of equals the first, so that the order of lines decides and nothing else.
            comparable = [record for record in preferred if record.where == where]
            chosen[layer] = sorted(comparable, key=lambda record: record.cycles or 0)
        return chosen


def read_records(files: Iterable[str | Path]) -> Records:
    """All records of files; lines that are none are named.

    Raises
    ------
    CompileError
        If a file cannot be read at all.
    """
    found: list[Record] = []
    damage: list[Damage] = []
    for file in files:
        for number, line in _lines(Path(file)):
            try:
                found.append(parse_line(line))
            except ValueError as error:
                damage.append(Damage(str(file), number, str(error)))
    return Records(tuple(found), tuple(damage))


def parse_line(line: bytes) -> Record:
    """The record of a line.

    Raises
    ------
    ValueError
        If it is none; the message says what is wrong.
    """
    content = _content(line)
    version = content.pop("version", None)
    if type(version) is not int or version != VERSION:
        raise ValueError(f"version {version!r} of records is unknown, this Weft reads version {VERSION}")
    checksum = content.pop("crc", None)
    known = {field.name for field in fields(Record)}
    if missing := sorted(known - content.keys()):
        raise ValueError(f"field {missing[0]!r} is missing")
    if extra := sorted(content.keys() - known):
        raise ValueError(f"field {extra[0]!r} is unknown")
    for name, (types, rule) in _TYPES.items():
        if not isinstance(content[name], types) or isinstance(content[name], bool):
            raise ValueError(f"field {name!r} is {_short(content[name])}, it must be {rule}")
    cycles, failure = content["cycles"], content["failure"]
    if (cycles is None) == (failure is None):
        raise ValueError("one of the fields 'cycles' and 'failure' must be null, and one must not")
    if cycles is not None and cycles < 1:
        raise ValueError(f"field 'cycles' is {cycles}, it must be at least 1")
    if checksum != _checksum({"version": version, **content}):
        raise ValueError("its checksum differs: the line was changed after it was written")
    return Record(**content)


_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "layer": ((str,), "a string"),
    "config": ((str,), "a string"),
    "name": ((str,), "a string"),
    "candidate": ((dict,), "an object"),
    "cycles": ((int, type(None)), "a whole number or null"),
    "failure": ((str, type(None)), "a string or null"),
    "device": ((str,), "a string"),
    "memory": ((dict,), "an object"),
    "seed": ((int,), "a whole number"),
    "time": ((str,), "a string"),
    "weft": ((str,), "a string"),
}


def _content(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise ValueError("is not JSON of a record (nested too deep)") from None
    except ValueError:  # a number of thousands of digits
        raise ValueError("is not JSON of a record (a number is too long)") from None
    if not isinstance(content, dict):
        raise ValueError(f"is {_short(content)}, not an object")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    """CRC-32 of the fields, whatever their order and spacing."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if stripped := line.strip():
                    yield number, stripped
    except OSError as error:
        raise CompileError(
            f"records {path} cannot be read: {error.strerror or error}; give a file that `weft tune --records` wrote"
        ) from None


def schedules(records: Mapping[str, Record]) -> dict[str, Mapping[str, Any]]:
    """What `CompileOptions.schedules` takes: the candidate of each layer."""
    return {layer: record.candidate for layer, record in records.items()}


def ranked_schedules(ranked: Mapping[str, Sequence[Record]]) -> dict[str, list[Mapping[str, Any]]]:
    """The same of `Records.ranked`: the candidates of each layer, of which the first that fits is taken."""
    return {layer: [record.candidate for record in records] for layer, records in ranked.items()}


def describe_damage(damage: Sequence[Damage], most: int = 10) -> list[str]:
    """A sentence for each line that was left out, the last one for those beyond ``most``."""
    sentences = [str(entry) for entry in damage[:most]]
    if len(damage) > most:
        sentences.append(f"{len(damage) - most} more lines of records are left out")
    return sentences
