"""Writes a verilated model such that the C++ compiler makes vector code of what a design does many times over.

The compiler joins statements of one kind into vector instructions where their operands lie side by side in memory, and
it sees that only where they are whole elements of a usual type: a byte that is shifted out of a wide value's 32 bits
is none, and a sign that is subtracted makes none.
"""

from __future__ import annotations

import re
from itertools import groupby

_SELECTED_BYTE = re.compile(
    r"\(0x000000ffU\s*&\s*VL_SEL_IWII\(\d+,\s*(?P<value>[\w.]+),\s*(?P<bit>0x[0-9a-f]+|\d+)U,\s*8\)\)"
)
_MEMBER = re.compile(r"\s+(?P<type>(?:CData|SData|IData|QData)/\*[\d:]+\*/) (?P<name>\w+);\n")

_EXTENDED = re.compile(r"VL_EXTENDS_(?P<result>[IQ])I\(\d+,\s*(?P<bits>8|16|32),\s*")

HELPERS = """#ifndef WEFT_HELPERS
#define WEFT_HELPERS
template <class Signed, class Result>
static inline Result weft_extend(IData value) {
    return static_cast<Result>(static_cast<Signed>(value));
}
static inline IData weft_byte(const EData* words, unsigned index) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return reinterpret_cast<const uint8_t*>(words)[index];
#else
    return (words[index / 4] >> (8 * (index % 4))) & 0xff;
#endif
}
#endif"""
"""C++: what `vectorisable` calls; files that include each other may all have it."""


def vectorisable(text: str) -> str:
    """A statement with whole bytes selected as such, and signs extended from the types that have them."""

    def byte(match: re.Match[str]) -> str:
        bit = int(match["bit"], 0)
        return match[0] if bit % 8 else f"weft_byte({match['value']}.data(), {bit // 8})"

    return _EXTENDED.sub(r"weft_extend<int\g<bits>_t, \g<result>Data>(", _SELECTED_BYTE.sub(byte, text))


def _natural(line: str) -> list[tuple[int, str]]:
    """``product_2`` before ``product_10``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", line)]


def in_order(declarations: str) -> str:
    """A model's header with neighbours of equal type in the order of their numbers instead of their letters."""

    def kind(line: str) -> str:
        match = _MEMBER.fullmatch(line)
        return match["type"] if match else ""

    lines: list[str] = []
    for of_type, run in groupby(declarations.splitlines(keepends=True), kind):
        members = list(run)
        lines += sorted(members, key=_natural) if of_type else members
    return "".join(lines)
