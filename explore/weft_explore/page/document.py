"""One HTML file that needs nothing else: text escaped, data embedded, plotly inside, no request possible."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable
from typing import Any

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Content security policy of a page: a browser that keeps it lets nothing be loaded from anywhere."""


def escaped(text: str) -> str:
    """For HTML, attributes included."""
    return html.escape(text, quote=True)


def plotly_script() -> str:
    """The plotting library, as the content of a script element.

    Raises
    ------
    ModuleNotFoundError
        Without the ``report`` extra.
    """
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def document(title: str, body: str, styles: str = "", scripts: Iterable[str] = ()) -> str:
    """A whole page.

    Parameters
    ----------
    title : str
        Plain text.
    body : str
        HTML; whoever makes it escapes what is not his own.
    scripts : iterable of str
        JavaScript of one's own, run in this order before the body is there.
    """
    elements = "\n".join(f"<script>{script}</script>" for script in scripts)
    style = f"<style>{styles}</style>\n" if styles else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n{style}{elements}</head>\n<body>{body}</body></html>\n"
    )


def embedded_json(value: Any) -> str:
    """JSON that may stand in a script element: no ``<``; numbers that JSON has not become their names."""
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
