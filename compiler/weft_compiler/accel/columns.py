"""Columns: what varies from step to step of a program, one entry a step."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Column: TypeAlias = NDArray[np.int64]


def inverse(sequence: Column) -> Column:
    """The position of each entry of a permutation."""
    place = np.empty_like(sequence)
    place[sequence] = np.arange(len(sequence))
    return place
