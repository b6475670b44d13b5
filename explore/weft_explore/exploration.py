"""An exploration from beginning to end: ask, evaluate, tell, and keep all of it in a directory."""

from __future__ import annotations

import csv
import fcntl
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft_hardware.presets import to_toml

from .candidates import Candidates
from .design import Design
from .errors import ExploreError
from .evaluate import UNKNOWN, Outcome, layers_of, useful_macs
from .files import append_line, writable, write_text
from .front import on_front, reference_point
from .plan import Plan
from .results import Results, key_of, tools_key
from .workers import Workers

if TYPE_CHECKING:
    from .study import Search

DONE, FAILED, INFEASIBLE = "done", "failed", "infeasible"


@dataclass(frozen=True)
class Explored:
    """One design with all that is known of it.

    Parameters
    ----------
    number : int
        In the order of the search, from 0.
    values : dict
        By objective; empty if it failed.
    state : str
        `DONE`, `FAILED` or `INFEASIBLE`: a constraint is broken.
    reason : str, optional
        Why it is not done.
    untuned : int, optional
        Its cycles with the compiler's own schedules, where others were searched.
    """

    number: int
    design: Design
    values: dict[str, float]
    state: str
    reason: str | None
    untuned: int | None = None


@dataclass(frozen=True)
class Progress:
    """What is told while it runs; ``screened`` are the designs that the analytic model looked at."""

    done: int
    budget: int
    front: list[Explored]
    screened: int = 0


class Exploration:
    """A plan in a directory.

    Parameters
    ----------
    directory : Path
        Made if it is not there. One that holds the same plan is gone on with: nothing is evaluated twice.

    Raises
    ------
    ExploreError
        If the directory holds another plan, cannot be written, or is in use by another process.
    """

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan, self.directory = plan, directory
        with writable(directory):
            directory.mkdir(parents=True, exist_ok=True)
        self.explored: list[Explored] = []
        self.confirmed: dict[int, dict[str, Any]] = {}
        self._budget = 0
        self._rows: dict[int, list[dict[str, Any]]] = {}  # layers of the front's designs, a compilation each
        self._candidates: Candidates | None = None

    def run(
        self, budget: int, workers: Workers, tell: Callable[[Progress], None] = lambda progress: None
    ) -> list[Explored]:
        """Search, then write the tables and the front; see `search`."""
        from .confirm import known

        with self._locked():
            self._search(budget, workers, tell)
            self._budget = budget
            self.confirmed = known(self)
            self.write()
        return self.explored

    def search(
        self, budget: int, workers: Workers, tell: Callable[[Progress], None] = lambda progress: None
    ) -> list[Explored]:
        """Evaluate designs until there are ``budget`` of them, those of earlier runs included, or there is none left.

        Parameters
        ----------
        tell : callable
            Called after each design.

        Raises
        ------
        ExploreError
            If the directory cannot be written; what was evaluated so far is kept.
        """
        with self._locked():
            self._search(budget, workers, tell)
        return self.explored

    def _search(self, budget: int, workers: Workers, tell: Callable[[Progress], None]) -> None:
        from .study import Search

        self._check_plan()
        workers = _Logged(workers, self.directory / "errors.log")
        results = Results(self.directory / "results.jsonl")
        search = Search(self.plan, self.directory / "journal.log")
        self.explored = []
        told = [self._design(point) for point in search.points()[: search.told]]
        # What a damaged file of results lost, or failed by other bounds, if anything.
        for count in self._evaluate(told, results, workers):
            tell(Progress(count, budget, []))
        for number, design in enumerate(told):
            self._add(number, design, results)
        tell(Progress(len(self.explored), budget, self.front()))
        while len(self.explored) < budget:
            self._wanted(search, workers, lambda count: tell(Progress(len(self.explored), budget, self.front(), count)))
            asked = search.ask(budget)
            if not asked:
                break
            designs = [self._design(point) for _, point in asked]
            for count in self._evaluate(designs, results, workers):
                tell(Progress(len(self.explored) + count, budget, self.front()))
            for (number, _), design in zip(asked, designs, strict=True):
                found = self._add(len(self.explored), design, results)
                costs = self.plan.costs(found.values) if self._is_told(found) else None
                search.tell(number, costs, found.state == INFEASIBLE)
            tell(Progress(len(self.explored), budget, self.front()))

    def _wanted(self, search: Search, workers: Workers, tell: Callable[[int], None]) -> None:
        """Before a generation: the designs of it that the analytic model, corrected by what is known, finds best.

        Of the first generation all, later every second one; the sampler gives the others.
        """
        plan, begin = self.plan, search.told
        if plan.sampler == "random" or not plan.screened or search.is_wanted(begin):
            return
        if self._candidates is None:
            self._candidates = Candidates(plan)
            self._candidates.look(workers, tell)
        known = [(point, self._costs(found)) for point, found in zip(search.points(), self.explored, strict=False)]
        count = plan.generation if not begin else plan.generation // 2
        search.want(begin, self._candidates.best(known, count))

    def _is_told(self, found: Explored) -> bool:
        """Whether all its objectives are known."""
        return all(objective.name in found.values for objective in self.plan.objectives)

    def _costs(self, found: Explored) -> tuple[float, ...] | None:
        return self.plan.costs(found.values) if found.state == DONE else None

    def outcome(self, found: Explored) -> Outcome:
        """Everything that was evaluated of a design."""
        outcome = Results(self.directory / "results.jsonl").get(key_of(found.design, self.plan.evaluator))
        assert outcome is not None
        return outcome

    def _design(self, point: tuple[int, ...]) -> Design:
        design = self.plan.space.design(point)
        assert design is not None
        return design

    def _evaluate(self, designs: list[Design], results: Results, workers: Workers) -> Iterator[int]:
        """Evaluate what is not known, or took more than other bounds; yields how many are known, as they come."""
        keys = [key_of(design, self.plan.evaluator) for design in designs]
        known = [results.get(key) for key in keys]
        missing = [k for k, one in enumerate(known) if one is None or one.bounds not in (None, self.plan.bounds)]
        done = len(designs) - len(missing)
        yield done
        for number, outcome in workers.outcomes([designs[k] for k in missing]):
            k = missing[number]
            results.add(keys[k], designs[k], outcome)
            done += 1
            yield done

    def _add(self, number: int, design: Design, results: Results) -> Explored:
        outcome = results.get(key_of(design, self.plan.evaluator))
        if outcome is None:
            raise ExploreError(
                f"{self.directory / 'results.jsonl'} lacks design {number} of the journal; it was changed or belongs "
                "to other sources of Weft: choose another directory"
            )
        found = self._explored(number, design, outcome)
        self.explored.append(found)
        return found

    def _explored(self, number: int, design: Design, outcome: Outcome) -> Explored:
        if outcome.reason is not None:
            return Explored(number, design, {}, FAILED, outcome.reason)
        values = self.plan.values(design, outcome)
        untuned = sum(w.weight * outcome.untuned[w.name] for w in self.plan.workloads) if outcome.untuned else None
        if self.plan.evaluator.routes and outcome.fmax is None:
            return Explored(number, design, values, INFEASIBLE, UNKNOWN, untuned)
        broken = self.plan.broken(values)
        return Explored(number, design, values, INFEASIBLE if broken else DONE, broken, untuned)

    def front(self) -> list[Explored]:
        """The designs that none other beats, in the order of the first objective."""
        done = [found for found in self.explored if found.state == DONE]
        kept = on_front([self.plan.costs(found.values) for found in done])
        front = [found for found, keep in zip(done, kept, strict=True) if keep]
        return sorted(front, key=lambda found: (self.plan.costs(found.values), found.number))

    # The directory --------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.directory / "lock"
        with writable(path):
            file = path.open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ExploreError(
                    f"{self.directory} is in use by another exploration; wait for it or choose another directory"
                ) from None
            yield

    def _check_plan(self) -> None:
        path = self.directory / "plan.json"
        mine = {**self.plan.to_json(), "sources": tools_key()}
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            write_text(path, json.dumps(mine, indent=1) + "\n")
            return
        except (OSError, ValueError) as error:
            raise ExploreError(f"{path} cannot be read ({error}); choose another directory") from None
        for name, value in mine.items():
            if not isinstance(there, dict) or there.get(name) != value:
                raise ExploreError(
                    f"{self.directory} holds an exploration with other {name}; "
                    "give the same ones to go on with it, or choose another directory"
                )

    def write(self) -> None:
        """Write the tables and the front's configurations."""
        front = {found.number for found in self.front()}
        files = {number: f"front/{number:04}.toml" for number in sorted(front)}
        kept = {Path(file).name for file in files.values()}
        for found in self.explored:
            if found.number in front:
                write_text(self.directory / files[found.number], self._toml(found))
                if self.plan.tune_trials > 1:
                    records = _records_file(files[found.number])
                    write_text(self.directory / records, self._records(found))
                    kept.add(Path(records).name)
        for stale in (*(self.directory / "front").glob("*.toml"), *(self.directory / "front").glob("*.jsonl")):
            if stale.name not in kept:
                stale.unlink(missing_ok=True)
        write_text(self.directory / "designs.csv", self._csv(files))
        report = json.dumps(self._report(files), indent=1)
        write_text(self.directory / "exploration.json", report + "\n")

    def _toml(self, found: Explored) -> str:
        values = ", ".join(f"{o.name} {found.values[o.name]:g} {o.unit}" for o in self.plan.objectives)
        build = ", ".join(f"{name} = {value}".lower() for name, value in asdict(found.design.build).items())
        return f"# design {found.number}: {values}; built with {build}\n{to_toml(found.design.config)}"

    def _records(self, found: Explored) -> str:
        """The schedules with which a design takes its cycles, for ``weft compile --records``."""
        config, seed, weft = found.design.config, self.plan.seed, _version()
        return "".join(layer.record(config, seed, weft).to_line() for layer in self.outcome(found).layers)

    def _csv(self, files: dict[int, str]) -> str:
        text = io.StringIO()
        names = [objective.name for objective in self.plan.objectives]
        fields = list(self.explored[0].design.config.to_dict()) if self.explored else []
        build = list(asdict(self.explored[0].design.build)) if self.explored else []
        writer = csv.writer(text, lineterminator="\n")
        confirmed = [f"confirmed {name}" for name in names]
        untuned = ["untuned cycles"] if self.plan.tune_trials > 1 else []
        writer.writerow(
            ["id", "state", "front", *names, *untuned, *fields, *build, "reason", *confirmed, "not confirmed"]
        )
        for found in self.explored:
            design = found.design
            writer.writerow(
                [
                    found.number,
                    found.state,
                    found.number in files,
                    *(found.values.get(name, "") for name in names),
                    *((found.untuned or "",) if untuned else ()),
                    *design.config.to_dict().values(),
                    *asdict(design.build).values(),
                    found.reason or "",
                    *self._confirmed_cells(found.number, names),
                ]
            )
        return text.getvalue()

    def _confirmed_cells(self, number: int, names: list[str]) -> list[Any]:
        """What was confirmed of a design, and why something was not."""
        known = self.confirmed.get(number, {"values": {}, "reason": None})
        return [*(known["values"].get(name, "") for name in names), known["reason"] or ""]

    def _report(self, files: dict[int, str]) -> dict[str, Any]:
        plan = self.plan
        done = [plan.costs(found.values) for found in self.explored if self._is_told(found)]
        point = reference_point(done) if done else []
        signs = [1 if objective.goal == "min" else -1 for objective in plan.objectives]
        return {
            "version": 1,
            "weft": _version(),
            "space": plan.space.choices(),
            "workloads": [
                {"name": w.name, "sha256": w.sha256, "macs": useful_macs(w.data, plan.space.base), "weight": w.weight}
                for w in plan.workloads
            ],
            "objectives": [{"name": o.name, "unit": o.unit, "goal": o.goal} for o in plan.objectives],
            "constraints": [constraint.text for constraint in plan.constraints],
            "family": plan.family,
            "technology": plan.technology,
            "sampler": plan.sampler,
            "seed": plan.seed,
            "budget": self._budget,
            "reference_point": [sign * x for sign, x in zip(signs, point, strict=False)],
            "designs": [self._row(found, files) for found in self.explored],
        }

    def _row(self, found: Explored, files: dict[int, str]) -> dict[str, Any]:
        design, on_it = found.design, found.number in files
        return {
            "id": found.number,
            "digest": design.digest,
            **design.to_json(),
            "values": found.values,
            "state": found.state,
            "reason": found.reason,
            "front": on_it,
            "file": files.get(found.number),
            "layers": self._layers(found) if on_it else [],
            "confirmed": self.confirmed.get(found.number),
            **self._schedules(found, files),
        }

    def _layers(self, found: Explored) -> list[dict[str, Any]]:
        if found.number not in self._rows:
            outcome, workloads = self.outcome(found), self.plan.workloads
            layers = (layer for w in workloads for layer in layers_of(found.design, w, outcome))
            self._rows[found.number] = [asdict(layer) for layer in layers]
        return self._rows[found.number]

    def _schedules(self, found: Explored, files: dict[int, str]) -> dict[str, Any]:
        """What a search of schedules brought, where one was made."""
        if self.plan.tune_trials < 2:
            return {}
        file = files.get(found.number)
        return {"untuned_cycles": found.untuned, "records": None if file is None else _records_file(file)}


def _records_file(configuration: str) -> str:
    """The file of a design's schedules, by that of its configuration."""
    return configuration.removesuffix(".toml") + ".records.jsonl"


class _Logged:
    """Workers whose bugs are written to a file."""

    def __init__(self, inner: Workers, path: Path) -> None:
        self._inner, self._path = inner, path

    def outcomes(self, designs: Sequence[Design], rough: bool = False) -> Iterator[tuple[int, Outcome]]:
        for number, outcome in self._inner.outcomes(designs, rough):
            if outcome.trace is not None:
                design = json.dumps(designs[number].to_json())
                append_line(self._path, f"design {designs[number].digest[:16]}: {design}\n{outcome.trace}")
            yield number, outcome

    def __enter__(self) -> _Logged:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def _version() -> str:
    try:
        return metadata.version("weft")
    except metadata.PackageNotFoundError:
        return "unknown"
