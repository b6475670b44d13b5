"""``report.html`` of an exploration: its data, our styles and scripts, and plotly in one file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from weft_runtime.files import write_atomically

from .contents import condensed, read_exploration
from .document import document, embedded_json, plotly_script

SCRIPTS = (
    "values.js",
    "data.js",
    "filters.js",
    "plots.js",
    "parallel.js",
    "details.js",
    "table.js",
    "search.js",
    "main.js",
)
"""In the order in which they need each other; they become one module."""


def write_page(directory: Path) -> Path:
    """Write ``report.html`` beside ``exploration.json``, whole or not at all.

    Raises
    ------
    PageError
        If the directory holds no exploration.
    ModuleNotFoundError
        Without the ``report`` extra.
    OSError
        If the page cannot be written.
    """
    content = render(read_exploration(directory)).encode()
    path = directory / "report.html"
    write_atomically(path, lambda out: out.write(content))
    return path


def render(exploration: Mapping[str, Any]) -> str:
    """The page of what ``exploration.json`` holds; see `write_page`."""
    names = ", ".join(str(workload["name"]) for workload in exploration.get("workloads", ()))
    data = f'<script type="application/json" id="exploration">{embedded_json(condensed(exploration))}</script>'
    program = "\n".join(map(_asset, SCRIPTS))
    body = f'{_asset("page.html")}\n{data}\n<script type="module">\n{program}</script>\n'
    return document(f"Exploration: {names}", body, _asset("page.css"), [plotly_script()])


@cache
def _asset(name: str) -> str:
    return files("weft_explore.page").joinpath("assets", name).read_text(encoding="utf-8")
