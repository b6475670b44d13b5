"""A module as C99 for processors without an operating system or a C library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from weft_hardware.c_header import render as registers_header

from ..errors import ModuleError
from ..files import write_atomically
from ..host_targets import BARE_TARGETS, HOST_TARGETS
from ..module_model import ModuleContent
from .library import c_file, header
from .objects import object_for
from .tables import constants_of, network_source

SOURCES = (
    *("weft_engine.c", "weft_runner.c", "weft_tables.c", "weft_static.c", "weft_mmio.c", "weft_bare.c", "weft_math.c"),
)
HEADERS = ("weft_device.h", "weft.h", "weft_network.h", "weft_engine.h", "weft_runner.h", "weft_mmio.h")
_ALLOCATION = re.compile(r"@aligned_alloc\(ptr inttoptr \(i64 \d+ to ptr\), ptr inttoptr \(i64 (\d+) to ptr\)\)")
_COLUMNS = 24


def export_bare_metal(content: ModuleContent, folder: Path | str, targets: Sequence[str] = BARE_TARGETS) -> list[Path]:
    """Write a folder of C files, and the host's operators as one object for each target; see docs/export.md.

    Parameters
    ----------
    folder : Path
        Made if it is not there; files of the same names are replaced.
    targets : sequence of str
        Names of `HOST_TARGETS`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ModuleError
        If a target does not exist, the module calls Python, or a file cannot be written.
    """
    for target in targets:
        if target not in HOST_TARGETS:
            raise ModuleError(f"target {target!r} does not exist; choose among {', '.join(HOST_TARGETS)}")
    written: dict[str, bytes] = {name: c_file(name).encode() for name in (*SOURCES, *HEADERS)}
    written["weft_registers.h"] = registers_header().encode()
    written["network.c"] = network_source(content).encode()
    written["network.h"] = header(content).encode()
    written["constants.c"] = _array(constants_of(content)).encode()
    written["weft_memory.h"] = _memory(content).encode()
    for target in targets:
        code = object_for(content, HOST_TARGETS[target])
        if code is not None:
            written[f"host-{target}.o"] = code
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, data in written.items():
            write_atomically(place / name, lambda file, data=data: file.write(data))
    except OSError as error:
        raise ModuleError(f"folder {place} cannot be written: {error.strerror}; choose another path") from None
    return [place / name for name in written]


def scratch_bytes(content: ModuleContent) -> int:
    """Bytes that one host function may have allocated at a time, at most.

    Raises
    ------
    ModuleError
        If the code does not say how many.
    """
    if not content.host_code:
        return 0
    text = content.host_code[0].ir.decode("ascii", "replace")
    most = 0
    for function in re.split(r"^define ", text, flags=re.MULTILINE)[1:]:
        sizes = [int(size) for size in _ALLOCATION.findall(function)]
        if len(sizes) != function.count("@aligned_alloc("):
            raise ModuleError("module's host code allocates memory of unknown size; compile the model again")
        most = max(most, sum(-(-size // 64) * 64 for size in sizes))
    return most


def _memory(content: ModuleContent) -> str:
    return "\n".join(
        [
            "/* Written by `weft export`: the network's static memory, in bytes. */",
            "#ifndef WEFT_MEMORY_H",
            "#define WEFT_MEMORY_H",
            "",
            f"#define WEFT_DEVICE_BYTES {max(1, content.region_bytes['device'])}u",
            f"#define WEFT_HOST_BYTES {max(1, content.region_bytes['host'])}u",
            f"#define WEFT_SCRATCH_BYTES {max(64, scratch_bytes(content))}u",
            "",
            "#endif",
            "",
        ]
    )


def _array(data: bytes) -> str:
    """Bytes as a C array."""
    rows = [", ".join(map(str, data[k : k + _COLUMNS])) for k in range(0, len(data), _COLUMNS)]
    body = ",\n    ".join(rows or ["0"])
    declared = "const uint8_t weft_constants[]"
    return f"#include <stdint.h>\n\nextern {declared};\n{declared} = {{\n    {body}}};\n"
