"""Measuring with records: what is known is not measured again, what is measured is written down at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from weft_compiler.records import Record, Records, read_records
from weft_hardware.errors import WeftError

from .problem import C, Measured, Problem


class JournalError(WeftError):
    """Records that cannot be written."""


class Journal:
    """Records of one device, one configuration and one search; use it as a context manager.

    A record is one ``write`` to a file opened for appending: whoever is killed leaves whole lines and at most one that
    is cut off, which the next reader names, and two tunings may share a file.

    Parameters
    ----------
    path : Path
        What is appended to; made if it does not exist.
    others : sequence of Path
        Further records to know, which stay as they are.
    config : str
        Digest of the configuration.
    device, memory
        As in `weft_compiler.records.Record`.
    seed : int
    at_once : int
        Candidates that are measured before their records are written: 1 where each takes long.

    Attributes
    ----------
    device : str
    records : Records
        What the files held when it was opened.
    measured, known : int
        Candidates asked of the device, and answered from records.

    Raises
    ------
    CompileError
        If a file cannot be read.
    JournalError
        If the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        others: Sequence[Path] = (),
        *,
        config: str,
        device: str,
        memory: Mapping[str, Any],
        seed: int = 0,
        at_once: int = 16,
    ) -> None:
        self._path, self._at_once = path, at_once
        self.device = device
        self._fields = {"config": config, "device": device, "memory": dict(memory), "seed": seed, "weft": _version()}
        # A device such as /dev/null takes records and has none.
        known = [path] if path.is_file() or path.is_dir() else []
        self.records: Records = read_records([*known, *others])
        self.measured = self.known = 0
        here = (device, json.dumps(self._fields["memory"], sort_keys=True))
        self._known: dict[tuple[str, str], Measured] = {}
        for record in self.records.found:
            if record.config == config and record.where == here:
                outcome = record.failure if record.cycles is None else record.cycles
                assert outcome is not None
                self._known[record.layer, _text(record.candidate)] = outcome
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            size = os.fstat(self._file).st_size
            # Behind a line that was cut off a new one begins.
            self._begin = "" if size == 0 or os.pread(self._file, 1, size - 1) == b"\n" else "\n"
        except OSError as error:
            raise self._failure(error) from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def measure(self, problem: Problem[C], candidates: Sequence[C]) -> list[Measured]:
        """Cycles or a failure of each candidate, from the records or from the device.

        Raises
        ------
        JournalError
            If a record cannot be written; those before it are.
        """
        keys = [(problem.layer, _text(candidate.to_json())) for candidate in candidates]
        new = [(key, candidate) for key, candidate in zip(keys, candidates, strict=True) if key not in self._known]
        self.known += len(candidates) - len(new)
        for start in range(0, len(new), self._at_once):
            chunk = new[start : start + self._at_once]
            outcomes = problem.measure([candidate for _, candidate in chunk])
            for (key, candidate), outcome in zip(chunk, outcomes, strict=True):
                self._append(problem, candidate, outcome)
                self._known[key] = outcome
                self.measured += 1
        return [self._known[key] for key in keys]

    def _append(self, problem: Problem[C], candidate: C, outcome: Measured) -> None:
        record = Record(
            layer=problem.layer,
            name=problem.name,
            candidate=candidate.to_json(),
            cycles=None if isinstance(outcome, str) else int(outcome),
            failure=outcome if isinstance(outcome, str) else None,
            time=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            **self._fields,
        )
        line = (self._begin + record.to_line()).encode()
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise self._failure(error) from None
        if written != len(line):
            # What is there of it is a damaged line: the disk is full, or the file has reached its limit.
            self._begin = "\n"
            raise JournalError(f"records {self._path}: only {written} of {len(line)} bytes could be written; make room")
        self._begin = ""

    def _failure(self, error: OSError) -> JournalError:
        return JournalError(
            f"records {self._path} cannot be written: {error.strerror or error}; "
            "give a path that can, or make room: what is written is kept"
        )


def _text(candidate: Mapping[str, Any]) -> str:
    return json.dumps(candidate, sort_keys=True)


def _version() -> str:
    try:
        return version("weft")
    except PackageNotFoundError:
        return "unknown"
