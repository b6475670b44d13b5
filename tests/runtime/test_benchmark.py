"""Medians and spreads, and what belongs to host and accelerator."""

import time
from types import SimpleNamespace

import pytest
from weft_runtime.benchmark import Spread, measure


def test_one_run_is_its_own_spread():
    assert Spread.of([2.5]) == Spread(1, 2.5, 2.5, 2.5, 2.5, 2.5)


def test_the_words():
    assert str(Spread(5, 1, 2, 3, 4, 10)) == "median 3.000, half of 5 runs in 2.000..4.000, all in 1.000..10.000"


def test_host_and_accelerator_are_told_apart():
    session = SimpleNamespace(host_seconds=5.0, device_seconds=7.0)

    def run_many(inputs):
        assert inputs == "inputs"
        session.host_seconds += 0.001
        session.device_seconds += 0.003
        time.sleep(0.004)

    session.run_many = run_many
    spreads = measure(session, "inputs", 3)
    assert spreads["host"].median == pytest.approx(1)
    assert spreads["accelerator"].maximum == pytest.approx(3)
    assert spreads["total"].minimum >= 4
    assert {spread.runs for spread in spreads.values()} == {3}
