"""Functions compiled by numba for `emit`, kept in the user's cache under a name that changes with their files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config
from weft_simulator.timing import state
from weft_simulator.tsim.cache import cache_directory, content_key, source_key

_HERE = Path(__file__).parent
_NAMES = ("compiled", "emit", "fetching", "micro_code", "pieces", "products", "tables", "timed_records")
_SOURCES = [*(_HERE / f"{name}.py" for name in _NAMES), Path(state.__file__)]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function for others that are compiled; Python cannot call it."""
    njit: Any = numba.njit  # its type knows no wrappers
    return njit(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", boundscheck=False)


def leaf(function: Callable[..., Any]) -> Any:
    """Compile a function for others that makes no arrays: the references of those that it looks at are not counted."""
    njit: Any = numba.njit
    return njit(
        function, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", boundscheck=False, _nrt=False
    )


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, when it is first called, or take it from the cache.

    Its machine code holds what it calls, of which numba knows nothing: each state of the files has a directory.
    """
    settings: Any = numba_config
    before, settings.CACHE_DIR = settings.CACHE_DIR, _directory()
    try:
        return numba.njit(function, cache=True, error_model="numpy", boundscheck=False, nogil=True)
    finally:
        settings.CACHE_DIR = before


@functools.cache
def _directory() -> str:
    return str(cache_directory() / "tune" / content_key(numba.__version__, source_key(_SOURCES)))
