"""The plain memory bus between SDRAM controller, AXI bridge and host link: 64-bit words, answers in order."""

from __future__ import annotations

from amaranth.lib.wiring import In, Out, Signature

WORD_BITS = 64
ADDRESS_BITS = 22
"""32 MB of words."""

MAX_READS = 16
"""Reads of one client that may await their answer; it must have room for them."""


def words() -> Signature:
    """As whoever asks sees it: a request while ``valid``, taken with ``ready``; a read's data once, with ``answer``."""
    return Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "write": Out(1),
            "address": Out(ADDRESS_BITS),
            "data": Out(WORD_BITS),
            "strobe": Out(WORD_BITS // 8),
            "answer": In(1),
            "answer_data": In(WORD_BITS),
        }
    )
