"""Tables that grow, and keys that are looked up in them, for compiled code."""

from __future__ import annotations

import numpy as np

from .compiled import compiled, leaf


@compiled
def grown(table, count):
    """The table with room for one more row."""
    if count < len(table):
        return table
    larger = np.empty((2 * len(table), table.shape[1]), np.int64)
    larger[: len(table)] = table
    larger[len(table) :] = 0
    return larger


@leaf
def slot(table, key):
    """Where a key lies in a table of keys and values, or belongs; keys of 0 are free places."""
    mask = len(table) - 1
    at = (key ^ key >> 17) & mask
    while table[at, 0] != 0 and table[at, 0] != key:
        at = at + 1 & mask
    return at


@compiled
def with_key(table, count, key, value):
    """The table with one more key, of which it has ``count`` before; twice as long where it gets full."""
    if 2 * (count + 1) > len(table):
        larger = np.zeros((2 * len(table), 2), np.int64)
        for k in range(len(table)):
            if table[k, 0]:
                larger[slot(larger, table[k, 0])] = table[k]
        table = larger
    at = slot(table, key)
    table[at, 0], table[at, 1] = key, value
    return table


@leaf
def find(table, count, key):
    """The first of ``count`` rows that begins with a key, -1 if none does."""
    for row in range(count):
        same = True
        for k in range(len(key)):
            if table[row, k] != key[k]:
                same = False
                break
        if same:
            return row
    return -1
