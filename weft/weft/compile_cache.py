"""Compiled modules in the user's cache, named by all that shapes them.

A command that wants nothing but the file has it from `Place.file` as fast as Python starts: this file, and what it
imports, stay clear of numpy.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft_hardware.config import AcceleratorConfig
from weft_runtime.archive import opened, own_version, write_file
from weft_runtime.errors import DeviceError, ModuleError

if TYPE_CHECKING:
    from weft_runtime.module import Module

SOURCES = ("weft_compiler", "weft_hardware", "weft_runtime")
TOOLS = ("llvmlite", "numpy", "onnx", "xdsl")

MAX_BYTES = 1 << 30
"""What all modules together may take; those that were not asked for the longest make room."""


@dataclass(frozen=True)
class Kept:
    """A module's file, which may come from the cache: checked for damage, but not decoded.

    Parameters
    ----------
    content : bytes
        What `Module.save` wrote.
    layers : list of Mapping
        The fields of its `module_model.Layer`.
    """

    content: bytes
    layers: list[Mapping[str, Any]]

    def save(self, path: Path) -> None:
        """Write the file, as `Module.save`."""
        write_file(path, self.content)

    def module(self) -> Module:
        """What is in it."""
        from weft_runtime.module import Module

        return Module.from_bytes(self.content)


class Place:
    """Where one module is kept, or would be.

    Parameters
    ----------
    model : bytes
        The ONNX file's content.
    options : str
        What else shapes it: `CompileOptions.key`.
    link : bool
        Whether its host code is linked.
    """

    def __init__(self, model: bytes, config: AcceleratorConfig, options: str, link: bool = False) -> None:
        from weft_simulator.tsim.cache import cache_directory, content_key

        parts = (*(part for name in SOURCES for part in _source(name)), *map(metadata.version, TOOLS), own_version())
        try:
            directory = cache_directory() / "modules"
        except DeviceError:
            self._path = None
        else:
            key = content_key(*parts, config.digest, f"{options}, link {link}", model)
            self._path = directory / f"{key}.weft"

    def file(self) -> Kept | None:
        """The module's file; None if there is none, or a damaged one."""
        from weft_simulator.tsim.cache import touched

        if self._path is None:
            return None
        try:
            content = self._path.read_bytes()
            with opened(self._path, io.BytesIO(content)) as archive:
                manifest = archive.manifest()
                for _ in archive.entries(manifest):  # which checks them
                    pass
        except (OSError, ModuleError):
            return None
        touched(self._path)
        return Kept(content, [fields.raw for fields in manifest.objects("layers")])

    def keep(self, content: bytes) -> None:
        """Leave a module's file here; where nothing can be written, nothing is."""
        from weft_simulator.tsim.cache import keep_within

        if self._path is None:
            return
        try:
            self._path.parent.mkdir(exist_ok=True)
            write_file(self._path, content)
        except (OSError, ModuleError):
            return
        keep_within(self._path.parent, "*.weft", MAX_BYTES)


def kept_file(place: Place | None, make: Callable[[], Module]) -> Kept:
    """The file that is kept somewhere, or, if there is none, of what ``make`` compiles, which then is."""
    kept = place.file() if place else None
    if kept is None:
        module = make()
        kept = Kept(module.to_bytes(), [vars(layer) for layer in module.content.layers])
        if place:
            place.keep(kept.content)
    return kept


def _source(package: str) -> Iterable[str | bytes]:
    """Names and contents of a package's files."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    for root in spec.submodule_search_locations or ():
        for path in sorted(Path(root).rglob("*.py")):
            yield from (str(path.relative_to(root)), path.read_bytes())
