"""Gradients of the training script against finite differences."""

import numpy as np
import pytest
from weft.models import train_digits as t


def loss(p, x, labels):
    y1, _ = t.conv_relu(x, p["conv1_weight"], p["conv1_bias"])
    y2, _ = t.conv_relu(y1, p["conv2_weight"], p["conv2_bias"])
    y3, _ = t.conv_relu(t.max_pool(y2), p["conv3_weight"], p["conv3_bias"])
    logits = y3.reshape(len(x), -1) @ p["dense_weight"].T + p["dense_bias"]
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return -np.log((exp / exp.sum(1, keepdims=True))[np.arange(len(x)), labels]).mean()


@pytest.mark.parametrize("name", ["conv1_weight", "conv2_bias", "conv2_weight", "conv3_weight", "dense_weight"])
def test_gradient(name):
    rng = np.random.default_rng(7)
    p = {k: v.astype(np.float64) for k, v in t.initial_parameters(rng).items()}
    x, labels = rng.random((3, 1, 8, 8)), np.array([0, 4, 9])
    gradient = t.gradients(p, x, labels)[name]
    for index in rng.integers(0, p[name].size, 5):
        step = np.zeros(p[name].size)
        step[index] = 1e-5
        step = step.reshape(p[name].shape)
        difference = loss({**p, name: p[name] + step}, x, labels) - loss({**p, name: p[name] - step}, x, labels)
        assert gradient.reshape(-1)[index] == pytest.approx(difference / 2e-5, rel=2e-3, abs=1e-6)
