"""When a layer is done: a bandit's bound on what the next batch of trials can still gain.

Each layer is an arm, each batch a pull, its reward the share of the layer's cycles that it took away. Rewards dwindle
as a search succeeds, so old ones are discounted, and the arm's worth is the discounted mean plus one standard error.

Source
------
Garivier and Moulines, "On Upper-Confidence Bound Policies for Switching Bandit Problems" (ALT 2011), for the discount;
differs in the width of the bound, which comes from the rewards' own spread.
"""

from __future__ import annotations

from math import sqrt

DISCOUNT = 0.7
"""What a reward weighs one batch later."""

PRIOR = 0.1
"""The reward of a batch that nobody ran: a layer of which nothing is known is expected to gain this.

Also the most that a batch is given: the first ones may halve the cycles, which says nothing of those that follow.
"""

TOLERANCE = 0.0005
"""Share of a layer's cycles below which a batch is not worth its trials."""


class Prospect:
    """What a layer can still be expected to gain.

    >>> prospect = Prospect()
    >>> prospect.tell(1000, 900)
    >>> round(prospect.bound, 3)
    0.1
    >>> for _ in range(30):
    ...     prospect.tell(900, 900)
    >>> prospect.is_worth_it
    False
    """

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 1.0, PRIOR, PRIOR**2
        self.fruitless = 0

    def tell(self, before: float, after: float) -> None:
        """A batch brought the best cycles from ``before`` to ``after``."""
        reward = min((before - after) / before, PRIOR)
        self._count = DISCOUNT * self._count + 1
        self._sum = DISCOUNT * self._sum + reward
        self._squares = DISCOUNT * self._squares + reward**2
        self.fruitless = 0 if reward > 0 else self.fruitless + 1

    @property
    def bound(self) -> float:
        """Upper bound of the share that the next batch takes away: discounted mean plus one standard error."""
        mean = self._sum / self._count
        spread = max(self._squares / self._count - mean**2, 0.0)
        return mean + sqrt(spread / self._count)

    @property
    def is_worth_it(self) -> bool:
        """Whether the next batch may still gain more than the tolerance."""
        return self.bound > TOLERANCE

    @property
    def verdict(self) -> str:
        """Why the layer is left, in words."""
        return (
            f"{self.fruitless} batches in a row gained nothing, "
            f"so the next one is expected to gain less than {100 * TOLERANCE:g} %"
        )
