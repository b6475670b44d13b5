"""Evaluation by a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distributed import Client, as_completed
from distributed.scheduler import KilledWorker
from weft_simulator.tsim.cache import content_key

from .design import Design
from .errors import ExploreError
from .evaluate import Evaluator, Outcome
from .workers import outcome_of

ATTEMPTS = 3
"""How often a design is handed out again after the scheduler gave it up; it does so after several dead workers."""

TIMEOUT = 10
"""Seconds in which the scheduler must answer."""


class Cluster:
    """Hands designs to a scheduler; workers may come, go and die meanwhile.

    What every design needs is a task of the cluster itself: a worker that is new gets it, too.

    Parameters
    ----------
    address : str
        Of the scheduler, ``tcp://HOST:PORT``.

    Raises
    ------
    ExploreError
        If it does not answer, or has another version of Weft's Python.
    """

    def __init__(self, evaluator: Evaluator, address: str) -> None:
        self._evaluator, self._address = evaluator, address
        try:
            self._client = Client(address, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise ExploreError(
                f"scheduler {address!r} does not answer within {TIMEOUT} s ({str(error).splitlines()[0]}); "
                "start one with `dask scheduler`, and give the address that it prints"
            ) from None

    def outcomes(self, designs: Sequence[Design], rough: bool = False) -> Iterator[tuple[int, Outcome]]:
        client = self._client
        made = self._evaluator
        how = repr((made.routes, made.bounds, made.trials, made.seed))
        name = content_key(*(w.sha256 for w in made.workloads), made.base.digest, how)
        evaluator = client.submit(_same, made, key=f"weft-evaluator-{name}", pure=True)
        attempts = dict.fromkeys(range(len(designs)), 0)

        def submit(number: int):
            return client.submit(outcome_of, evaluator, designs[number], rough, pure=False, priority=-number)

        running = {submit(number): number for number in attempts}
        for future in (queue := as_completed(running, loop=client.loop)):
            number = running.pop(future)
            error = future.exception() if future.status == "error" else None
            if future.status == "finished":
                yield number, future.result()
            elif error is not None and not isinstance(error, KilledWorker):
                raise error
            elif attempts[number] < ATTEMPTS:
                attempts[number] += 1
                again = submit(number)
                running[again] = number
                queue.add(again)
            else:
                yield number, Outcome.failed("the workers that evaluated it died again and again")

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()


def _same(evaluator: Evaluator) -> Evaluator:
    """A value as a task's result."""
    return evaluator
