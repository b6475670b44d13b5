"""Mutants of ``.weft`` files: damaged bytes; manifests, entries and archives that lie, their checksums right."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from weft_runtime.archive import MANIFEST, MANIFEST_SUM

Entries = dict[str, bytes]

VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 3, 31, 63, 64, 65, 128, 255, 256, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32),
    *((1 << 63) - 64, 1 << 63, 1 << 64, -(1 << 63), 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "../../x", "/etc/passwd", "a\0b", "\ud800", "é" * 300, "n" * 70_000, "host", "device", "float32"),
    *([], [1], [[]], {}, {"x": 1}, [0] * 2_000, [-64, 64], {"region": "device", "offset": 0, "nbytes": 64}),
)
"""What replaces something in a manifest."""

NAMES = ("../x", "/x", "constants/../manifest.json", "constants/00000.bin", "host/x.o", "C:\\x", "a" * 300, "é.bin", "")


def entries_of(data: bytes) -> Entries:
    """Every entry of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(entries: Entries, compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with the manifest's checksum made right."""
    entries = {**entries, MANIFEST_SUM: hashlib.sha256(entries[MANIFEST]).hexdigest().encode()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name or "empty", data)
    return stream.getvalue()


# Bytes -------------------------------------------------------------------------------------------------------


def flip(data: bytes, rng: random.Random) -> bytes:
    """Some bits turned over."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """An end, a beginning or a middle missing."""
    first, second = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:first], data[first:], data[:first] + data[second:]))


def splice(data: bytes, rng: random.Random) -> bytes:
    """A piece of the file, or of nothing, over or between other pieces."""
    begin = rng.randrange(len(data))
    piece = rng.choice((data[begin : begin + rng.randrange(1, 400)], rng.randbytes(rng.randrange(1, 64)), bytes(46)))
    at = rng.randrange(len(data))
    return data[:at] + piece + data[at + rng.choice((0, len(piece))) :]


def overwrite_header(data: bytes, rng: random.Random) -> bytes:
    """A field of one of zip's own headers replaced."""
    damaged = bytearray(data)
    places = [k for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6") for k in _occurrences(data, mark)]
    at = rng.choice(places) + rng.randrange(4, 46)
    value = rng.choice((0, 1, 8, 12, 14, 93, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, rng.getrandbits(32)))
    patch = value.to_bytes(4, "little")[: rng.choice((1, 2, 4))]
    damaged[at : at + len(patch)] = patch
    return bytes(damaged[: len(data)])


def _occurrences(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


# Manifests ---------------------------------------------------------------------------------------------------


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) below a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def _change(manifest: Any, rng: random.Random) -> None:
    places = list(_places(manifest))
    if not places:
        return
    container, key = rng.choice(places)
    other, other_key = rng.choice(places)
    match rng.randrange(7):
        case 0 | 1:
            container[key] = copy.deepcopy(rng.choice(VALUES))
        case 2:
            del container[key]
        case 3 if isinstance(container, list):
            container.extend([container[key]] * rng.choice((1, 2, 50)))
        case 4:
            # Copies, so that no value comes to hold itself.
            values = json.dumps(container[key]), json.dumps(other[other_key])
            container[key], other[other_key] = map(json.loads, reversed(values))
        case 5 if type(container[key]) is int:
            container[key] += rng.choice((-64, -1, 1, 64, 1 << 31))
        case _:
            container[rng.choice(["x", "", key]) if isinstance(container, dict) else key] = copy.deepcopy(
                rng.choice(VALUES)
            )


def change_manifest(data: bytes, rng: random.Random) -> bytes:
    """Values of the manifest replaced, removed, repeated or exchanged."""
    entries = entries_of(data)
    manifest = json.loads(entries[MANIFEST])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _change(manifest, rng)
    return archive_of({**entries, MANIFEST: json.dumps(manifest).encode()})


def change_manifest_text(data: bytes, rng: random.Random) -> bytes:
    """Bytes of the manifest's text damaged."""
    entries = entries_of(data)
    damage = rng.choice((flip, truncate, splice))
    text = rng.choice((damage(entries[MANIFEST], rng), b"[" * 100_000, b'{"a":' * 50_000, b"", b"9" * 5_000, b"\xff"))
    return archive_of({**entries, MANIFEST: text if rng.random() < 0.1 else damage(entries[MANIFEST], rng)})


def change_entry(data: bytes, rng: random.Random) -> bytes:
    """An entry's content damaged, and most often declared as it is now."""
    entries = entries_of(data)
    manifest = json.loads(entries[MANIFEST])
    name = rng.choice([name for name in entries if name not in (MANIFEST, MANIFEST_SUM)])
    damaged = rng.choice((flip, truncate, splice))(entries[name] or b"\0", rng)
    damaged = rng.choice((damaged, damaged, bytes(1 << 16)))
    if rng.random() < 0.8:
        manifest["entries"][name] = {"nbytes": len(damaged), "sha256": hashlib.sha256(damaged).hexdigest()}
    return archive_of(
        {**entries, name: damaged, MANIFEST: json.dumps(manifest).encode()},
        rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)),
    )


def change_archive(data: bytes, rng: random.Random) -> bytes:
    """Entries renamed, repeated or added, and most often declared as they are now."""
    entries = entries_of(data)
    manifest = json.loads(entries[MANIFEST])
    name, new = rng.choice(list(entries)), rng.choice(NAMES)
    content = entries[name] if rng.random() < 0.7 else rng.randbytes(40)
    if rng.random() < 0.5 and name != MANIFEST:
        entries.pop(name)
    entries[new] = content
    if rng.random() < 0.8:
        manifest["entries"].pop(name, None)
        manifest["entries"][new] = {"nbytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for holder in [*manifest["constants"], *manifest["host_code"]]:
            holder.update({key: new for key, value in holder.items() if value == name})
        entries[MANIFEST] = json.dumps(manifest).encode()
    stream = io.BytesIO(archive_of(entries, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))))
    if rng.random() < 0.2:
        with zipfile.ZipFile(stream, "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr(rng.choice(list(entries)) or "empty", rng.randbytes(9))
    return stream.getvalue()


RAW: tuple[Callable[[bytes, random.Random], bytes], ...] = (flip, truncate, splice, overwrite_header)
"""Mutations after which a file is refused or holds what it held."""

REPAIRED = (change_manifest, change_manifest, change_manifest, change_manifest_text, change_entry, change_archive)
"""Mutations whose checksums are right, so that a file may hold something else, consistent in itself."""
