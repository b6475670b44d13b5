"""When a layer is left: a bound on what the next batch gains."""

import pytest
from weft_explore.tune.stopping import PRIOR, TOLERANCE, Prospect


def after(rewards: list[float]) -> Prospect:
    prospect, cycles = Prospect(), 1e6
    for reward in rewards:
        prospect.tell(cycles, cycles * (1 - reward))
        cycles *= 1 - reward
    return prospect


def test_nothing_is_known_before_the_first_batch() -> None:
    assert Prospect().bound == pytest.approx(PRIOR)
    assert Prospect().is_worth_it


@pytest.mark.parametrize("reward", [0.5, 0.1, 0.01, 0.005])
def test_a_layer_that_gains_no_more_is_left_the_later_the_more_it_gained(reward: float) -> None:
    def patience(reward: float) -> int:
        return next(k for k in range(100) if not after([reward] * 8 + [0.0] * k).is_worth_it)

    assert 3 <= patience(reward / 2) <= patience(reward) <= 30


def test_a_layer_that_goes_on_gaining_is_never_left() -> None:
    assert all(after([2 * TOLERANCE] * k).is_worth_it for k in range(60))


def test_a_late_gain_renews_the_expectation() -> None:
    stalled = after([0.05] + [0.0] * 12)
    before = stalled.bound
    stalled.tell(1000, 950)
    assert stalled.bound > 3 * before
    assert stalled.fruitless == 0


def test_the_verdict_says_how_long_nothing_came() -> None:
    assert after([0.05] + [0.0] * 12).verdict == (
        "12 batches in a row gained nothing, so the next one is expected to gain less than 0.05 %"
    )
