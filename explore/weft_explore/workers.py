"""Who evaluates: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol

from .design import Design
from .evaluate import Evaluator, Outcome

DEATHS = 2
"""Processes that may die in one generation before designs are evaluated one at a time, to find the one to blame; and
those that a design may take down alone before it counts as failed."""


class Workers(Protocol):
    """Evaluates designs in any order."""

    def outcomes(self, designs: Sequence[Design], rough: bool = False) -> Iterator[tuple[int, Outcome]]:
        """The number of each design and its outcome, as they come; a rough one is by the analytic model."""
        ...

    def __enter__(self) -> Workers: ...

    def __exit__(self, *exc: object) -> None: ...


class ThisProcess:
    """One design after the other, here."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def outcomes(self, designs: Sequence[Design], rough: bool = False) -> Iterator[tuple[int, Outcome]]:
        for number, design in enumerate(designs):
            yield number, outcome_of(self._evaluator, design, rough)

    def __enter__(self) -> ThisProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def outcome_of(evaluator: Evaluator, design: Design, rough: bool) -> Outcome:
    """What a worker is asked for; a bug of ours is an outcome, too, and ends nobody else's evaluation."""
    try:
        return evaluator.estimate(design) if rough else evaluator.evaluate(design)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        reason = f"a bug in Weft: {type(error).__name__}: {first}; errors.log says where"
        return Outcome.failed(reason, traceback.format_exc())


_evaluators: list[Evaluator] = []


def _begin(evaluator: Evaluator) -> None:
    """In a process of the pool: what all of its designs share."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _evaluators[:] = [evaluator]


def _end(*_: object) -> None:
    """End the tools that the process runs; a pool catches what is raised, so the next design must fail at once."""
    _evaluators.clear()
    raise SystemExit(1)


def _end_with_parent() -> None:
    """A pool's processes hold both ends of its queue, so that none learns of a parent that was killed from there.

    A tool that runs meanwhile ends with us.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(design: Design, rough: bool) -> Outcome:
    return outcome_of(_evaluators[0], design, rough)


class LocalProcesses:
    """Processes of this machine; one that dies is replaced, and what it did is done again.

    Parameters
    ----------
    count : int
    """

    def __init__(self, evaluator: Evaluator, count: int) -> None:
        self._evaluator, self._count = evaluator, count
        self._pool: ProcessPoolExecutor | None = None

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._count, context, _begin, (self._evaluator,))
        return self._pool

    def outcomes(self, designs: Sequence[Design], rough: bool = False) -> Iterator[tuple[int, Outcome]]:
        left, deaths = dict(enumerate(designs)), 0
        alone = dict.fromkeys(left, 0)
        while left:
            # Once processes died nobody knows whose fault it was.
            some = dict(left) if deaths < DEATHS else dict([next(iter(left.items()))])
            try:
                for number, outcome in self._run(some, rough):
                    del left[number]
                    yield number, outcome
            except BrokenProcessPool:
                self._stop()
                deaths += 1
                if len(some) == 1:
                    ((number, _),) = some.items()
                    alone[number] += 1
                    if alone[number] == DEATHS:
                        del left[number]
                        yield number, Outcome.failed(f"the process that evaluated it died {DEATHS} times")

    def _run(self, designs: dict[int, Design], rough: bool) -> Iterator[tuple[int, Outcome]]:
        pool = self._start()
        with _undisturbed():  # processes begin here
            running: dict[Future[Outcome], int] = {pool.submit(_work, d, rough): n for n, d in designs.items()}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()

    def _stop(self, at_once: bool = False) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            if at_once:
                for child in multiprocessing.active_children():
                    child.terminate()
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> LocalProcesses:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop(at_once=exc[0] is not None)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that end us wait; processes that begin meanwhile never see Ctrl-C: their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
