"""Per-step plans to columns: steps that differ in nothing share one plan, whose rows each of them gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .columns import Column, inverse

Row = dict[str, int]
"""What one instruction of a plan consists of; all rows have the same names."""


def distinct_rows(columns: Sequence[Column], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct rows of a table of ``count`` rows, given column by column.

    Returns
    -------
    rows : array
        The distinct rows, one column each, in the order in which they come first.
    which : array
        For every row of the table, which distinct one it is.
    """
    code = np.zeros(count, np.int64)
    size = 1
    for column in columns:
        low, high = int(column.min()), int(column.max())
        if low == high:
            continue
        if size * (high - low + 1) >= 1 << 62:
            distinct, code = np.unique(code, return_inverse=True)
            size = len(distinct)
        size *= high - low + 1
        code = code * (high - low + 1) + (column - low)
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    sequence = np.argsort(first)
    first, which = first[sequence], inverse(sequence)[which]
    return np.stack([np.broadcast_to(column, count)[first] for column in columns], axis=1), which


@dataclass(frozen=True)
class Expanded:
    """The rows of all steps.

    Parameters
    ----------
    step, order : Column
        The step each row belongs to, and its position among that step's.
    columns : dict
        The rows' values.
    """

    step: Column
    order: Column
    columns: dict[str, Column]

    def only(self, chosen: NDArray[np.bool_]) -> Expanded:
        return Expanded(
            self.step[chosen], self.order[chosen], {name: values[chosen] for name, values in self.columns.items()}
        )


def expand(
    columns: Sequence[Column], count: int, plan: Callable[[list[int]], list[Row]], names: Sequence[str]
) -> Expanded:
    """Plan each distinct row of ``columns`` once, and give every step the rows of its plan.

    Parameters
    ----------
    count : int
        Steps.
    names : sequence of str
        The names of a row.
    """
    if not count:
        none = np.zeros(0, np.int64)
        return Expanded(none, none, dict.fromkeys(names, none))
    unique, which = distinct_rows(columns, count)
    plans = [plan(row) for row in unique.tolist()]
    counts = np.array([len(rows) for rows in plans])
    flat = {name: np.array([row[name] for rows in plans for row in rows], np.int64) for name in names}
    first = np.cumsum(counts) - counts
    per_step = counts[which]
    order = np.arange(per_step.sum()) - np.repeat(np.cumsum(per_step) - per_step, per_step)
    index = np.repeat(first[which], per_step) + order
    return Expanded(np.repeat(np.arange(count), per_step), order, {n: values[index] for n, values in flat.items()})
