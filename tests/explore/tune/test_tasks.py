"""Which layer gets the next trials."""

from math import inf

from support.toy_problem import BEST, Choice, ToyProblem
from weft_explore.tune.tasks import HOPELESS, Task, next_task


class _Silent:
    """A search that is told things and proposes nothing."""

    def ask(self, count: int) -> list[Choice]:
        raise AssertionError(f"nobody asks for {count}")

    def tell(self, candidates: object, outcomes: object) -> None:
        """Nothing is learned."""


def task(name: str, cycles: int, weight: int = 1, then: tuple[int, ...] = ()) -> Task[Choice]:
    """A layer whose default takes so many cycles, and whose batches then take some."""
    made = Task(ToyProblem(name, weight=weight), _Silent())
    made.tell([ToyProblem.default], [cycles])
    for k, best in enumerate(then):
        made.tell([Choice((1, 0, 0, k))], [best])
    return made


def test_layers_nobody_measured_come_first() -> None:
    known, unknown = task("known", 1_000_000), Task(ToyProblem("unknown"), _Silent())
    assert next_task([known, unknown]) is unknown


def test_trials_go_where_the_network_gains_most() -> None:
    small, large, often = task("small", 1000), task("large", 5000), task("often", 1000, weight=9)
    assert next_task([small, large]) is large
    assert next_task([small, large, often]) is often


def test_a_large_layer_that_gains_nothing_yields_to_a_small_one_that_does() -> None:
    stalled = task("large", 100_000, then=(100_000,) * 12)
    gaining = task("small", 20_000, then=(19_000, 18_000, 17_000))
    assert stalled.reason is None
    assert next_task([stalled, gaining]) is gaining


def test_layers_that_are_done_get_none() -> None:
    done = task("done", 1000, then=(1000,) * 40)
    assert done.reason is not None
    assert next_task([done]) is None


def test_an_exhausted_space_is_done() -> None:
    made = task("small", 1000, then=(900,))
    made.tell([], [])
    assert made.reason == "all 2 candidates were measured"


def test_best_and_default_are_kept_and_failures_count_nothing() -> None:
    made = Task(ToyProblem(), _Silent())
    made.tell([ToyProblem.default, Choice((7, 7, 7, 7)), Choice(BEST)], [500, "it overflows", 400])
    assert (made.default, made.best, made.candidate, made.trials) == (500, 400, Choice(BEST), 3)


def test_a_layer_of_which_nothing_runs_is_given_up() -> None:
    made = Task(ToyProblem(), _Silent())
    for k in range(HOPELESS):
        assert made.reason is None
        made.tell([Choice((7, 7, 7, k))], ["it overflows"])
    assert made.reason == f"none of {HOPELESS} candidates ran: it overflows"
    assert made.best == inf
