"""A layer that is none: choices of known cost, for tests of searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_explore.tune.problem import Measured

LEVELS = 8
BEST = (5, 2, 6, 1)


@dataclass(frozen=True)
class Choice:
    """A level of each dimension."""

    levels: tuple[int, ...]

    def to_json(self) -> Mapping[str, Any]:
        return {"levels": list(self.levels)}


@dataclass
class ToyProblem:
    """4096 choices; `BEST` takes ``base`` cycles, the default more than twice that.

    The cost couples neighbouring dimensions, so that no dimension can be chosen alone, and the estimate knows nothing
    of that. Choices that overflow fail, as tiles do that fit no scratchpad.
    """

    name: str = "toy"
    base: int = 10_000
    weight: int = 1
    config: str = "c0ffee"
    flat: bool = False
    asked: int = 0

    default = Choice((0, 0, 0, 0))
    size = LEVELS ** len(BEST)

    @property
    def layer(self) -> str:
        return f"layer-{self.name}"

    @property
    def key(self) -> str:
        return f"{self.layer}@{self.config}"

    def enumerate(self) -> Iterator[Choice]:
        yield from map(Choice, product(range(LEVELS), repeat=len(BEST)))

    def sample(self, rng: np.random.Generator) -> Choice:
        return Choice(tuple(int(level) for level in rng.integers(0, LEVELS, len(BEST))))

    def mutate(self, candidate: Choice, rng: np.random.Generator) -> Choice:
        levels = list(candidate.levels)
        k = int(rng.integers(len(levels)))
        levels[k] = int((levels[k] + rng.integers(1, LEVELS)) % LEVELS)
        return Choice(tuple(levels))

    def cross(self, a: Choice, b: Choice, rng: np.random.Generator) -> Choice:
        return Choice(tuple(x if rng.random() < 0.5 else y for x, y in zip(a.levels, b.levels, strict=True)))

    def features(self, candidates: Sequence[Choice]) -> NDArray[np.float64]:
        return np.array([candidate.levels for candidate in candidates], np.float64)

    def estimate(self, candidates: Sequence[Choice]) -> NDArray[np.float64]:
        distance = np.abs(self.features(candidates) - BEST).sum(axis=1)
        return self.base * (1 + 0.05 * distance)

    def measure(self, candidates: Sequence[Choice]) -> list[Measured]:
        self.asked += len(candidates)
        return [self.cost(candidate) for candidate in candidates]

    def cost(self, candidate: Choice) -> Measured:
        if sum(candidate.levels) > 19:
            return f"{candidate.levels} overflows a scratchpad"
        if self.flat:
            return self.base
        off = np.subtract(candidate.levels, BEST)
        coupled = np.abs(off[:-1] + off[1:]).sum() + np.abs(off[0] - off[-1])
        return int(self.base * (1 + 0.02 * coupled + 0.03 * (off**2).sum() ** 0.5 + 0.1 * np.count_nonzero(off)))

    def from_json(self, data: Mapping[str, Any]) -> Choice:
        return Choice(tuple(data["levels"]))
