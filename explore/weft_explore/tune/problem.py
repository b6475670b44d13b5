"""What a search of schedules sees of a layer: choices that can be made at random, changed, crossed and measured.

A search knows nothing of tiles and loops. It takes numbers from `Problem.features` and cycles from `Problem.measure`,
and hands what it found on as JSON, which `weft_compiler.compile_model` takes by the layer's name.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Json: TypeAlias = Mapping[str, Any]
"""Numbers, strings, lists and mappings by name."""

Measured: TypeAlias = int | str
"""Cycles, or one sentence that says why there are none."""


class Candidate(Hashable, Protocol):
    """One schedule of a layer: a frozen value, equal to every other that says the same."""

    def to_json(self) -> Json:
        """All that it says, for records and for the compiler: `Problem.from_json` makes the same of it again."""
        ...


C = TypeVar("C", bound=Candidate)


class Problem(Protocol[C]):
    """One layer on one accelerator, and the schedules that it can have.

    All methods are free of side effects but for what `measure` remembers. Two problems of equal ``key`` have the same
    candidates, and these the same cycles on the same device.

    Attributes
    ----------
    name : str
        The layer in few words, for people.
    layer : str
        Digest of what is computed, whatever computes it: what `CompileOptions.schedules` names a layer by.
    key : str
        Digest of layer and configuration: what records name a layer by.
    weight : int
        How often the network has it.
    default : C
        What the compiler takes if nobody says anything.
    size : int or None
        How many candidates there are; None if they cannot be counted.
    """

    @property
    def name(self) -> str: ...

    @property
    def layer(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def weight(self) -> int: ...

    @property
    def default(self) -> C: ...

    @property
    def size(self) -> int | None: ...

    def enumerate(self) -> Iterator[C]:
        """Every candidate once, always in the same order."""
        ...

    def sample(self, rng: np.random.Generator) -> C:
        """A candidate at random; all may come."""
        ...

    def mutate(self, candidate: C, rng: np.random.Generator) -> C:
        """Another candidate that differs in little; the same one only if there is no other."""
        ...

    def cross(self, a: C, b: C, rng: np.random.Generator) -> C:
        """A candidate that has something of both; one of them if nothing else fits."""
        ...

    def features(self, candidates: Sequence[C]) -> NDArray[np.float64]:
        """What a learned model of the cycles sees, shape (candidates, features)."""
        ...

    def estimate(self, candidates: Sequence[C]) -> NDArray[np.float64]:
        """Cycles by the compiler's analytic model, shape (candidates,): cheap and inexact."""
        ...

    def measure(self, candidates: Sequence[C]) -> list[Measured]:
        """Cycles on the device for which the problem was made; a candidate measured before is not measured again."""
        ...

    def from_json(self, data: Json) -> C:
        """The candidate that says this.

        Raises
        ------
        ValueError
            If it is none of this problem; one sentence says why.
        """
        ...
