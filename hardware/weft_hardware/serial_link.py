"""The protocol of a serial host link, declared once: the RTL, its driver and the docs derive from it.

A request is a header of command, sequence number, count of 64-bit words and byte address (little-endian, 32 bits), then
that many words for a command that writes, then a CRC. The answer is one byte, the words of a command that reads, and a
CRC. A write whose sequence number is that of the write before is answered and not done again: so whoever lost an answer
may ask again. Silence in the middle of a request ends it.
"""

from __future__ import annotations

from enum import IntEnum


class Command(IntEnum):
    """First byte of a request."""

    RESET = 0x52
    """Reset everything but the link, and forget the last sequence number."""
    READ_REGISTER = 0x67
    """A 32-bit register, in the lower half of one word."""
    WRITE_REGISTER = 0x77
    READ_MEMORY = 0x47
    """Count words from an address that is a multiple of 8."""
    WRITE_MEMORY = 0x57
    SET_DELAY = 0x44
    """Cycles, in the lower half of one word, from a READ of the SDRAM to its data."""


WRITES = (Command.WRITE_REGISTER, Command.WRITE_MEMORY, Command.SET_DELAY)
"""Commands with words behind their header."""

READS = (Command.READ_REGISTER, Command.READ_MEMORY)
"""Commands with words in their answer."""

HEADER_BYTES = 7
WORD_BYTES = 8
MAX_WORDS = 64
CRC_BYTES = 2

DONE, REFUSED = 0xA5, 0x5A
"""First byte of an answer; refused is what has a wrong CRC, an unknown command or too many words."""

CRC_POLYNOMIAL, CRC_INITIAL = 0x1021, 0xFFFF
"""CRC-16/CCITT-FALSE, most significant bit first; sent lower byte first."""

BAUD = 2_000_000

DELAYS = range(3, 6)
"""Cycles from a READ to its first data in a register: what clock phase and pads make of the CAS latency."""

DEFAULT_DELAY = 4

SILENCE_SECONDS = 0.05
"""How long a request may pause between two bytes."""


def crc16(data: bytes, crc: int = CRC_INITIAL) -> int:
    """The CRC of bytes.

    >>> hex(crc16(b"123456789"))
    '0x29b1'
    """
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (CRC_POLYNOMIAL if crc & 0x8000 else 0)) & 0xFFFF
    return crc
