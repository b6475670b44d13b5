"""Functions compiled by numba, kept in the user's cache under a name that changes with any of this package's files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

from ..tsim.cache import cache_directory, content_key, source_key

_SOURCES = sorted(Path(__file__).parent.glob("*.py"))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function for others that are compiled; Python cannot call it."""
    njit: Any = numba.njit  # its type knows no wrappers
    return njit(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True, error_model="numpy")


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that Python calls, when it is first called, or take it from the cache; threads run it at once.

    numba looks at a function's own file only, though its machine code holds what it calls and the constants it names:
    so each state of the package has a directory of its own.
    """
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, _directory()
    try:
        return numba.njit(function, cache=True, error_model="numpy", nogil=True)
    finally:
        settings.CACHE_DIR = before


@functools.cache
def _directory() -> str:
    return str(cache_directory() / "timing" / content_key(numba.__version__, source_key(_SOURCES)))
