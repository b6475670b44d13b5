"""A learned model of cycles: gradient-boosted trees that correct the analytic one where measurements contradict it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_SAMPLES = 8
"""Measurements below which trees would only repeat noise: the analytic model stands alone."""

ROUNDS = 80

_PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.15,
    "num_leaves": 15,
    # A layer has tens to hundreds of measurements, of features that take few values.
    "min_data_in_leaf": 2,
    "min_sum_hessian_in_leaf": 0.0,
    "lambda_l2": 0.01,
    "min_data_in_bin": 1,
    "feature_fraction": 0.8,
    # The same seed must give the same schedules on every machine.
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


class CostModel:
    """Predicts the logarithm of cycles.

    The trees learn ``log(cycles / estimate)``: before the first measurement the model is the analytic one, and each
    measurement tells it where that errs. Good candidates weigh more than bad ones, for only they are told apart later.

    Parameters
    ----------
    seed : int
        Of the trees' choices.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._trees: Any = None

    def learn(self, features: Floats, estimates: Floats, cycles: Floats) -> None:
        """Learn from all measurements, forgetting what was learned before.

        Parameters
        ----------
        features : array, shape (n, f)
        estimates : array, shape (n,)
            Cycles by the analytic model.
        cycles : array, shape (n,)
            What was measured; infinite for candidates that failed, which are learned as the slowest that ran: a larger
            penalty would spoil the prediction of their neighbours.
        """
        ran = np.isfinite(cycles)
        if ran.sum() < MIN_SAMPLES:
            return
        import lightgbm

        known = np.where(ran, cycles, cycles[ran].max())
        data = lightgbm.Dataset(features, label=np.log(known / estimates), weight=known.min() / known)
        self._trees = lightgbm.train({**_PARAMETERS, "seed": self._seed}, data, num_boost_round=ROUNDS)

    def predict(self, features: Floats, estimates: Floats) -> Floats:
        """Logarithm of the cycles that candidates will take, shape (n,)."""
        costs = np.log(estimates)
        return costs if self._trees is None else costs + self._trees.predict(features, num_threads=1)
