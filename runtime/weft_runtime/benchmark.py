"""How long runs take: repeated, the median and the spread, host and accelerator apart."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from .session import Inputs, Session


@dataclass(frozen=True)
class Spread:
    """Times of repeated runs, in milliseconds: the least, the quarter points and the most.

    >>> Spread.of([4.0, 1.0, 2.0, 3.0, 10.0])
    Spread(runs=5, minimum=1.0, lower_quarter=2.0, median=3.0, upper_quarter=4.0, maximum=10.0)
    """

    runs: int
    minimum: float
    lower_quarter: float
    median: float
    upper_quarter: float
    maximum: float

    @classmethod
    def of(cls, milliseconds: list[float]) -> Spread:
        """The spread of at least one time."""
        low, middle, high = (
            statistics.quantiles(milliseconds, n=4, method="inclusive") if len(milliseconds) > 1 else milliseconds * 3
        )
        values = min(milliseconds), low, middle, high, max(milliseconds)
        return cls(len(milliseconds), *(round(value, 4) for value in values))

    def __str__(self) -> str:
        half = f"{self.lower_quarter:.3f}..{self.upper_quarter:.3f}"
        every = f"{self.minimum:.3f}..{self.maximum:.3f}"
        return f"median {self.median:.3f}, half of {self.runs} runs in {half}, all in {every}"


def measure(session: Session, inputs: Inputs, runs: int) -> dict[str, Spread]:
    """Run a loaded network again and again.

    Parameters
    ----------
    inputs
        As for `Session.run_many`.
    runs : int
        How often, at least once. The caller has run the session before, so that nothing is done for the first time.

    Returns
    -------
    dict of str to Spread
        ``"total"``: a run from its inputs to its outputs; ``"host"``: its host steps; ``"accelerator"``: its launches,
        with their transfers; on a simulator that is the time of simulating.
    """
    times: dict[str, list[float]] = {"total": [], "host": [], "accelerator": []}
    for _ in range(runs):
        begin, host, accelerator = time.perf_counter(), session.host_seconds, session.device_seconds
        session.run_many(inputs)
        times["total"].append(1e3 * (time.perf_counter() - begin))
        times["host"].append(1e3 * (session.host_seconds - host))
        times["accelerator"].append(1e3 * (session.device_seconds - accelerator))
    return {name: Spread.of(values) for name, values in times.items()}
