"""Compiled modules in the user's cache, named by all that shapes them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_runtime.errors import DeviceError, ModuleError
from weft_runtime.module import Module

SOURCES = ("weft_compiler", "weft_hardware", "weft_runtime")
TOOLS = ("llvmlite", "numpy", "onnx", "xdsl")

MAX_BYTES = 1 << 30
"""What all modules together may take; those that were not asked for the longest make room."""


def cached(model: bytes, config: AcceleratorConfig, options: str, make: Callable[[], Module]) -> Module:
    """The module of a model, from the cache or made.

    A damaged file is made anew. Where nothing can be written, it is made every time.

    Parameters
    ----------
    model : bytes
        The ONNX file's content.
    options : str
        What else shapes it: `CompileOptions.key`, and whether it is linked.
    make : Callable
        Compiles it.
    """
    from weft_simulator.tsim.cache import cache_directory, content_key, touched

    parts = (*(part for name in SOURCES for part in _source(name)), *map(metadata.version, TOOLS))
    try:
        directory = cache_directory() / "modules"
    except DeviceError:
        return make()
    path = directory / f"{content_key(*parts, config.digest, options, model)}.weft"
    try:
        module = Module.load(path)
    except ModuleError:
        module = make()
        _keep(module, path)
    else:
        touched(path)
    return module


def _source(package: str) -> Iterable[str | bytes]:
    """Names and contents of a package's files."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    for root in spec.submodule_search_locations or ():
        for path in sorted(Path(root).rglob("*.py")):
            yield from (str(path.relative_to(root)), path.read_bytes())


def _keep(module: Module, path: Path) -> None:
    from weft_simulator.tsim.cache import keep_within

    path.parent.mkdir(exist_ok=True)
    try:
        module.save(path)
    except ModuleError:
        return
    keep_within(path.parent, "*.weft", MAX_BYTES)
