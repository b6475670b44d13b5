"""Results by content: what was evaluated once, by whichever exploration, is taken from the file."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from weft_simulator.tsim.cache import content_key

from .design import Design
from .evaluate import Evaluator, Outcome
from .files import append_line, whole_lines

SOURCES = ("weft_hardware", "weft_compiler", "weft_simulator.timing", "weft_runtime")
"""Packages whose sources decide what a design takes."""

OWN = ("cycles", "energy", "evaluate")
TOOLS = ("numpy", "onnx", "xdsl")


class Results:
    """Outcomes by their keys, each a line of JSON in a file that only grows.

    Parameters
    ----------
    path : Path
        The file; it need not be there. A last line that a killed process left is dropped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Outcome] = {}
        for line in whole_lines(path):
            try:
                data = json.loads(line)
                self._known[data["key"]] = Outcome.from_json(data["outcome"])
            except (ValueError, KeyError, TypeError):
                continue  # damaged: it is evaluated again

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Outcome | None:
        return self._known.get(key)

    def add(self, key: str, design: Design, outcome: Outcome) -> None:
        """Keep an outcome; it is on disk when this returns.

        Raises
        ------
        ExploreError
            If the file cannot be written.
        """
        line = json.dumps({"key": key, "design": design.to_json(), "outcome": outcome.to_json()})
        append_line(self._path, line)
        self._known[key] = outcome


def key_of(design: Design, evaluator: Evaluator) -> str:
    """What an outcome depends on: design, networks, base, how schedules are searched, and the sources of it all."""
    networks = (part for w in evaluator.workloads for part in (w.name, w.sha256, str(w.weight)))
    routed = ("routed", str(design.build.packed)) if evaluator.routes else ()
    searched = ("tuned", str(evaluator.trials), str(evaluator.seed), search_key()) if evaluator.trials > 1 else ()
    return content_key(tools_key(), design.config.digest, evaluator.base.digest, *routed, *searched, *networks)


@cache
def tools_key() -> str:
    """Names the sources and tools at hand."""
    parts = [part for package in SOURCES for part in _source(package)]
    parts += [part for name in OWN for part in _files([Path(__file__).with_name(f"{name}.py")])]
    return content_key(*parts, *map(metadata.version, TOOLS))


@cache
def search_key() -> str:
    """Names the sources of the search of schedules."""
    own = Path(__file__).with_name("schedules.py")
    return content_key(*_files([own, *sorted(own.with_name("tune").glob("*.py"))]))


def _source(package: str) -> Iterator[str | bytes]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    for root in spec.submodule_search_locations or ():
        yield from _files(sorted(Path(root).rglob("*.py")))


def _files(paths: Iterable[Path]) -> Iterator[str | bytes]:
    for path in paths:
        yield path.name
        yield path.read_bytes()
