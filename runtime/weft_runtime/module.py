"""The ``.weft`` format: a zip archive with a manifest, constants and host code, each entry with its SHA-256.

| entry | content |
| --- | --- |
| ``manifest.json`` | everything that is no bulk data; see `manifest` |
| ``manifest.sha256`` | SHA-256 of the manifest, in hexadecimal |
| ``constants/NNNNN.bin`` | weights, biases, scales, micro-ops and instruction streams, little-endian |
| ``host/<triple>.ll``, ``.o``, ``.so`` | host functions as LLVM IR, as an object, and linked |

Equal modules give equal files. A module holds code that runs on the host: load only files that you trust; the
checksums tell damage, not malice.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .archive import opened, own_version, pack, write_file
from .host_targets import BARE_TARGETS
from .manifest import from_archive, to_json
from .module_model import ModuleContent

if TYPE_CHECKING:
    from .device import Device
    from .external_functions import External
    from .session import Inputs, Outputs


class Module:
    """A compiled network.

    Parameters
    ----------
    content : ModuleContent
        What the compiler produced, or a file held.
    functions : Mapping, optional
        The external functions that its steps call, by name; see `external_functions`. They are no part of the file.
    """

    def __init__(self, content: ModuleContent, functions: Mapping[str, External] | None = None):
        self.content = content
        self.functions = dict(functions or {})

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, over all layers."""
        return sum(layer.macs for layer in self.content.layers)

    def run(self, device: Device, inputs: Inputs) -> Outputs:
        """Load the module on a device and run it once; see `session.Session.run`, which repeats without loading."""
        from .session import Session

        with Session(self, device) as session:
            return session.run(inputs)

    def export(self, path: str | Path, target: str = "x86_64") -> Path:
        """Write the module as a shared library with a C interface, and its header beside it; see docs/export.md.

        Parameters
        ----------
        path : path
            Of the library, such as ``net.so``.
        target : str
            ``"armv7"``, ``"aarch64"``, ``"x86_64"`` or ``"riscv64"``: Linux, with floats in hardware.

        Returns
        -------
        Path
            The header.

        Raises
        ------
        ModuleError
            If the ``export`` extra is missing, a step calls Python, or a file cannot be written.
        """
        from .export.library import export_library

        return export_library(self.content, path, target)

    def linked(self) -> Module:
        """The same module, whose host code is also carried as shared libraries: loading them needs no llvmlite.

        One for each Linux that it has an object for (``weft.compile(…, host_targets=…)``).

        Raises
        ------
        ModuleError
            If the ``export`` extra is missing.
        """
        from .export.host_library import link_host_code

        return Module(link_host_code(self.content), self.functions)

    def export_bare_metal(self, folder: str | Path, targets: Sequence[str] = BARE_TARGETS) -> list[Path]:
        """Write the module as C99 that needs no system and no library; see docs/export.md.

        Parameters
        ----------
        targets : sequence of str
            Processors that the host's operators are compiled for, by the names of `weft.compile`'s host targets.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        ModuleError
            If a target does not exist, a step calls Python, or a file cannot be written.
        """
        from .export.bare_metal import export_bare_metal

        return export_bare_metal(self.content, folder, targets)

    def save(self, path: str | Path) -> None:
        """Write the module, whole or not at all.

        Raises
        ------
        ModuleError
            If the file cannot be written; an older file at the path is then left as it was.
        """
        write_file(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        manifest, entries = to_json(self.content, own_version())
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
        stream = io.BytesIO()
        pack(text, entries, stream)
        return stream.getvalue()

    @classmethod
    def load(cls, path: str | Path, functions: Mapping[str, External] | None = None) -> Module:
        """Read a module.

        Parameters
        ----------
        functions : Mapping, optional
            The external functions that it calls, by name.

        Raises
        ------
        ModuleError
            If the file is missing, truncated, of another format version, or damaged in any way.
        """
        with opened(path) as archive:
            return cls(from_archive(archive), functions)

    @classmethod
    def from_bytes(cls, content: bytes) -> Module:
        """Read a module from what `to_bytes` gave; raises as `load`."""
        with opened("of these bytes", io.BytesIO(content)) as archive:
            return cls(from_archive(archive))
