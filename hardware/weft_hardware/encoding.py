"""Instructions and micro-ops as bytes and back, one at a time or as whole numpy columns.

Encoded instructions are ``uint64`` arrays of shape ``(n, instruction_bits / 64)``, little-endian words, lowest first:
their ``tobytes()`` is what lies in DRAM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .config import AcceleratorConfig
from .errors import IsaError
from .isa import (
    INSTRUCTIONS,
    OPCODE_BITS,
    FieldPosition,
    Instruction,
    MicroOp,
    Opcode,
    instruction_bits,
    layout,
    uop_bits,
    value_limits,
)

Words = NDArray[np.uint64]


def _check_range(owner: str, position: FieldPosition, values: NDArray[np.int64]) -> None:
    low, high = value_limits(position.width, position.bits.signed)
    bad = np.flatnonzero((values < low) | (values > high))
    if bad.size:
        value = values[bad[0]]
        row = f" (row {bad[0]})" if values.size > 1 else ""
        raise IsaError(
            f"{owner}.{position.name} = {value}{row} does not fit {position.width} bits ({low}..{high}); "
            "choose a smaller value or split the instruction"
        )


def _insert(words: Words, position: FieldPosition, values: NDArray[np.int64]) -> None:
    word, shift = divmod(position.offset, 64)
    mask = np.uint64((1 << position.width) - 1)
    raw = values.astype(np.uint64) & mask
    words[:, word] |= raw << np.uint64(shift)
    if shift + position.width > 64:
        words[:, word + 1] |= raw >> np.uint64(64 - shift)


def _extract(words: Words, position: FieldPosition) -> NDArray[np.int64]:
    word, shift = divmod(position.offset, 64)
    raw = words[:, word] >> np.uint64(shift)
    if shift + position.width > 64:
        raw = raw | (words[:, word + 1] << np.uint64(64 - shift))
    values = (raw & np.uint64((1 << position.width) - 1)).astype(np.int64)
    if position.bits.signed:
        values = np.where(values >> (position.width - 1) != 0, values - (1 << position.width), values)
    return values


def _pack(cls: type, n_words: int, config: AcceleratorConfig, columns: Mapping[str, ArrayLike]) -> Words:
    positions = layout(cls, config)
    unknown = columns.keys() - positions.keys()
    if unknown:
        raise IsaError(f"{cls.__name__} has no field {min(unknown)!r}; its fields are {', '.join(positions)}")
    arrays = {name: np.atleast_1d(np.asarray(values)).astype(np.int64) for name, values in columns.items()}
    rows = np.broadcast_shapes(*(a.shape for a in arrays.values()))[0] if arrays else 1
    words = np.zeros((rows, n_words), np.uint64)
    for name, values in arrays.items():
        _check_range(cls.__name__, positions[name], values)
        _insert(words, positions[name], np.broadcast_to(values, rows))
    return words


def pack(cls: type[Instruction], config: AcceleratorConfig, **columns: ArrayLike) -> Words:
    """Encode many instructions of one class; each column is an array of length n or a scalar, absent ones are 0.

    Raises
    ------
    IsaError
        If a value does not fit its field or a column is no field.
    """
    words = _pack(cls, instruction_bits(config) // 64, config, columns)
    words[:, 0] |= np.uint64(cls.OPCODE)
    return words


def unpack(cls: type, words: Words, config: AcceleratorConfig) -> dict[str, NDArray[np.int64]]:
    """Decode the fields of rows known to be of one class (or of `MicroOp`) into int64 columns."""
    return {name: _extract(words, position) for name, position in layout(cls, config).items()}


def encode(instructions: Iterable[Instruction], config: AcceleratorConfig) -> Words:
    """Encode a program.

    Raises
    ------
    IsaError
        If a field's value does not fit.
    """
    rows = [pack(type(i), config, **{name: getattr(i, name) for name in layout(type(i), config)}) for i in instructions]
    return np.concatenate(rows) if rows else np.zeros((0, instruction_bits(config) // 64), np.uint64)


def as_words(data: bytes | bytearray | memoryview | NDArray[Any], config: AcceleratorConfig) -> Words:
    """View raw bytes as encoded instructions.

    Raises
    ------
    IsaError
        If the length is no whole number of instructions.
    """
    raw = (
        np.frombuffer(data, np.uint8) if not isinstance(data, np.ndarray) else np.ascontiguousarray(data).view(np.uint8)
    )
    size = instruction_bits(config) // 8
    if raw.size % size:
        raise IsaError(
            f"instruction stream of {raw.size} bytes is no whole number of {size}-byte instructions; "
            "check where it ends"
        )
    return raw.view("<u8").astype(np.uint64).reshape(-1, size // 8)


def opcodes(words: Words) -> NDArray[np.int64]:
    """The opcode of each row, legal or not."""
    return (words[:, 0] & np.uint64((1 << OPCODE_BITS) - 1)).astype(np.int64)


def decode(words: Words, config: AcceleratorConfig) -> list[Instruction]:
    """Decode a program.

    Raises
    ------
    IsaError
        If an opcode is none of ours; the message names the instruction's index.
    """
    classes = {cls.OPCODE: cls for cls in INSTRUCTIONS}
    codes = opcodes(words)
    program: list[Instruction | None] = [None] * len(words)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        if int(code) not in tuple(Opcode):
            legal = ", ".join(f"{o.name} ({o.value})" for o in Opcode)
            raise IsaError(f"instruction {rows[0]}: opcode {code} is not one of {legal}; check the stream's address")
        cls = classes[Opcode(int(code))]
        columns = unpack(cls, words[rows], config)
        flags = {name for name, position in layout(cls, config).items() if position.width == 1}
        for k, row in enumerate(rows):
            values: dict[str, Any] = {n: bool(c[k]) if n in flags else int(c[k]) for n, c in columns.items()}
            program[row] = cls(**values)
    return [instruction for instruction in program if instruction is not None]


def pack_uops(config: AcceleratorConfig, dst: ArrayLike, src: ArrayLike = 0, wgt: ArrayLike = 0) -> NDArray[Any]:
    """Encode micro-ops as little-endian ``uint32`` (or ``uint64`` where indices need it), shape ``(n,)``.

    Raises
    ------
    IsaError
        If an index does not fit its field.
    """
    words = _pack(MicroOp, 1, config, {"dst": dst, "src": src, "wgt": wgt})
    return words[:, 0].astype(f"<u{uop_bits(config) // 8}")


def encode_uops(uops: Sequence[MicroOp], config: AcceleratorConfig) -> NDArray[Any]:
    """Encode a list of micro-ops; see `pack_uops`."""
    return pack_uops(config, [u.dst for u in uops], [u.src for u in uops], [u.wgt for u in uops])


def unpack_uops(encoded: NDArray[Any], config: AcceleratorConfig) -> dict[str, NDArray[np.int64]]:
    """The columns ``dst``, ``src`` and ``wgt`` of encoded micro-ops."""
    return unpack(MicroOp, encoded.astype(np.uint64).reshape(-1, 1), config)
