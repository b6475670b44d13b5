"""Linked host code as callables, by the system's own loader: no LLVM."""

from __future__ import annotations

import _ctypes
import ctypes
import os
import tempfile
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from .errors import ModuleError


class HostLibrary:
    """A shared library that lies in memory, loaded as long as this object lives.

    Each object has a library of its own, with variables of its own.

    Parameters
    ----------
    content : bytes
        The file.

    Raises
    ------
    ModuleError
        If the system cannot load it.
    """

    def __init__(self, content: bytes) -> None:
        with ExitStack() as stack:
            try:
                path = _named(content, stack)
                self._library = ctypes.CDLL(path, os.RTLD_NOW | os.RTLD_LOCAL)
            except OSError as error:
                raise ModuleError(
                    f"module's host code cannot be loaded ({_without_path(error)}); compile the model again without "
                    "linking it (weft compile --no-link), which needs llvmlite here"
                ) from None
            # The name is this file's as long as the library is loaded: the loader knows libraries by their names.
            unload = weakref.finalize(self, _unload, self._library._handle, stack.pop_all().close)
            unload.atexit = False

    def address(self, name: str) -> int:
        """Where a function or a variable lies; 0 if there is none of that name."""
        try:
            return ctypes.cast(getattr(self._library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            return 0


def _named(content: bytes, stack: ExitStack) -> str:
    """The library as a file with a name, which nobody else can write."""
    try:
        handle = os.memfd_create("weft-host-code")
    except (AttributeError, OSError):  # a C library or a kernel without it
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-host-code-"))
        path = Path(folder) / "host.so"
        path.write_bytes(content)
        return str(path)
    file = stack.enter_context(os.fdopen(handle, "wb"))
    file.write(content)
    file.flush()
    return f"/proc/self/fd/{handle}"


def _unload(handle: int, close: Callable[[], None]) -> None:
    _ctypes.dlclose(handle)
    close()


def _without_path(error: OSError) -> str:
    """What the loader says, without the name that we made up."""
    return str(error).rpartition(": ")[2] or "no reason given"
