"""Which design comes next: Optuna's samplers, kept to what can be built and was not evaluated yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from .errors import ExploreError
from .files import whole_lines, writable
from .plan import Plan
from .space import Point

TRIES = 4000
"""Points that are looked at before the space counts as exhausted."""

NAME = "exploration"
_CONSTRAINT = "broken"
_WANTED = "wanted"


class ExhaustedError(Exception):
    """No further design was found that can be built, keeps to the constraints and is new."""


class _NoLock(JournalFileOpenLock):
    """One process writes the journal, which the directory's lock sees to: a killed one leaves no lock behind."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class _Generations(NSGAIISampler):
    """NSGA-II whose generations are those of the exploration, however many designs of one fail."""

    def __init__(self, generation: int, size: int, seed: int) -> None:
        super().__init__(population_size=size, seed=seed)
        self._generation = generation

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        key = self._get_generation_key()
        if key not in trial.system_attrs:
            study._storage.set_trial_system_attr(trial._trial_id, key, self._generation)
        return trial.system_attrs.get(key, self._generation)


class _Valid(BaseSampler):
    """Moves what another sampler suggests to the nearest design that is new, can be built and keeps to the constraints.

    Of random suggestions those that are not so are left out, so that all others are equally likely.
    """

    def __init__(
        self,
        inner: BaseSampler,
        distributions: dict[str, BaseDistribution],
        accept: Callable[[Point], bool],
        seed: int,
        moves: bool,
        wanted: Point | None,
    ) -> None:
        self._inner, self._distributions, self._accept, self._moves = inner, distributions, accept, moves
        self._wanted = wanted
        self._rng = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        inner = self._inner
        values = inner.sample_relative(study, trial, inner.infer_relative_search_space(study, trial))
        for name, distribution in search_space.items():
            if name not in values:
                values[name] = inner.sample_independent(study, trial, name, distribution)
        if self._wanted is not None:
            values = dict(zip(search_space, self._wanted, strict=True))
        return dict(zip(search_space, self._near(tuple(int(values[name]) for name in search_space)), strict=True))

    def _near(self, point: Point) -> Point:
        sizes = [d.high + 1 for d in self._distributions.values() if isinstance(d, IntDistribution)]
        for tries in range(TRIES):
            if self._accept(point):
                return point
            if self._moves and tries < TRIES // 2:
                point = self._moved(point, sizes)
            else:
                point = tuple(int(self._rng.integers(size)) for size in sizes)
        raise ExhaustedError

    def _moved(self, point: Point, sizes: Sequence[int]) -> Point:
        """One coordinate a step up or down; again and again it is a random walk away from the suggestion."""
        k = int(self._rng.integers(len(sizes)))
        step = 1 if self._rng.random() < 0.5 else -1
        return (*point[:k], (point[k] + step) % sizes[k], *point[k + 1 :])

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise AssertionError(f"{param_name} is no parameter of the space")


class Search:
    """The trials of a plan, in a journal.

    Every suggestion follows from the plan's seed, its number, and the results of the generations before it: whoever
    evaluates, and however often it is killed, the same designs come.

    Parameters
    ----------
    journal : Path, optional
        The file of Optuna's `JournalStorage`; in memory if left out.

    Raises
    ------
    ExploreError
        If the journal cannot be read.
    """

    def __init__(self, plan: Plan, journal: Path | None = None) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._plan, self._journal = plan, journal
        self._free = [p for p in plan.space.parameters if len(p.choices) > 1]
        self._distributions: dict[str, BaseDistribution] = {
            p.name: IntDistribution(0, len(p.choices) - 1) for p in self._free
        }
        storage = None
        if journal is not None:
            whole_lines(journal)  # which cuts off what a killed process left
        try:
            if journal is not None:
                with writable(journal):
                    storage = JournalStorage(JournalFileBackend(str(journal), _NoLock(str(journal))))
            with writable(journal or Path()):
                self._study = optuna.create_study(
                    storage=storage,
                    study_name=NAME,
                    load_if_exists=True,
                    directions=[StudyDirection.MINIMIZE] * len(plan.objectives),
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExploreError(f"{journal} is damaged ({error}); choose another directory") from None
        self._seen: set[Point] = set()
        self._index = 0
        self._asked: list[tuple[int, Point]] = []
        for trial in self._study.get_trials(deepcopy=False):
            if len(trial.params) < len(self._distributions):
                if trial.state == TrialState.RUNNING:
                    with writable(journal or Path()):
                        self._study.tell(trial.number, state=TrialState.FAIL)
                continue
            point = self._point(trial.params)
            self._seen.add(point)
            self._index += 1
            if trial.state == TrialState.RUNNING:
                self._asked.append((trial.number, point))
        self._told = self._index - len(self._asked)

    @property
    def told(self) -> int:
        """Designs whose results are known to the sampler."""
        return self._told

    def is_wanted(self, begin: int) -> bool:
        """Whether `want` was called for the generation that begins with this design."""
        return f"{_WANTED}{begin // self._plan.generation}" in self._study.user_attrs

    def want(self, begin: int, points: Sequence[Point]) -> None:
        """Points that the generation which begins with this design takes before the sampler's own."""
        with writable(self._journal or Path()):
            generation = begin // self._plan.generation
            self._study.set_user_attr(f"{_WANTED}{generation}", [list(point) for point in points])

    def _wanted(self) -> Point | None:
        """What the next design shall be, if nothing speaks against it."""
        generation, place = divmod(self._index, self._plan.generation)
        points = self._study.user_attrs.get(f"{_WANTED}{generation}", [])
        return tuple(points[place]) if place < len(points) else None

    def points(self) -> list[Point]:
        """All that were suggested, in order."""
        trials = self._study.get_trials(deepcopy=False)
        return [self._point(t.params) for t in trials if len(t.params) == len(self._distributions)]

    def _point(self, params: dict[str, Any]) -> Point:
        return tuple(int(params.get(p.name, 0)) for p in self._plan.space.parameters)

    def ask(self, most: int) -> list[tuple[int, Point]]:
        """The rest of the current generation: trial numbers and points, in order; fewer where the space is exhausted.

        Parameters
        ----------
        most : int
            Designs of the whole exploration.
        """
        size = self._plan.generation
        end = min(most, (self._told // size + 1) * size)
        end = end if self._distributions else min(end, 1)
        while self._index < end:
            with writable(self._journal or Path()):
                self._study.sampler = self._sampler()
                try:
                    trial = self._study.ask(self._distributions)
                except ExhaustedError:
                    self._study.tell(self._study.get_trials(deepcopy=False)[-1].number, state=TrialState.FAIL)
                    break
            point = self._point(trial.params)
            self._seen.add(point)
            self._index += 1
            self._asked.append((trial.number, point))
        return list(self._asked)

    def tell(self, number: int, costs: Sequence[float] | None, broken: bool = False) -> None:
        """The result of the first design that was asked for and not told yet; without costs it failed."""
        assert self._asked[0][0] == number, "results are told in the order of the trials"
        with writable(self._journal or Path()):
            if costs is None:
                self._study.tell(number, state=TrialState.FAIL)
            else:
                trials = self._study.get_trials(deepcopy=False)
                if not trials[number].system_attrs.get(f"constraints:{_CONSTRAINT}"):
                    Trial(self._study, trials[number]._trial_id).set_constraint(_CONSTRAINT, 1.0 if broken else 0.0)
                self._study.tell(number, list(costs))
        self._asked.pop(0)
        self._told += 1

    def _accept(self, point: Point) -> bool:
        chosen = dict(zip((p.name for p in self._free), point, strict=True))
        whole = self._point(chosen)
        design = self._plan.space.design(whole)
        return whole not in self._seen and design is not None and self._plan.refusal(design) is None

    def _sampler(self) -> BaseSampler:
        """Made anew for each suggestion, from its number: then a process that begins in the middle makes the same."""
        plan = self._plan
        digest = hashlib.sha256(f"{plan.seed} {self._index}".encode()).digest()
        seed, own = int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:12], "little")
        if plan.sampler == "random":
            inner: BaseSampler = RandomSampler(seed=seed)
        elif plan.sampler == "tpe":
            inner = TPESampler(seed=seed, n_startup_trials=plan.generation)
        else:
            inner = _Generations(self._index // plan.generation, plan.generation, seed)
        point = self._wanted()
        wanted = None if point is None else self._short(point)
        return _Valid(inner, self._distributions, self._accept, own, plan.sampler != "random", wanted)

    def _short(self, point: Point) -> Point:
        """What is chosen of a point."""
        return tuple(k for k, p in zip(point, self._plan.space.parameters, strict=True) if len(p.choices) > 1)
