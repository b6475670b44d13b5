"""Single-operator models, byte for byte against onnxruntime on the functional device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.onnx_models import (
    Case,
    random_bias_addition,
    random_conv,
    random_dense,
    random_max_pool,
    random_residual,
)
from support.ort import reference
from weft_compiler import compile_model
from weft_hardware.config import AcceleratorConfig
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

VTA = AcceleratorConfig()
SMALL = AcceleratorConfig(batch=2, block_in=8, block_out=32, inp_depth=96, wgt_depth=40, acc_depth=64, uop_depth=256)
NO_RAW_STORE = AcceleratorConfig(raw_store=False)


def check(case: Case, config: AcceleratorConfig) -> str:
    """Compile, run and compare; returns where the operator ran."""
    expected = reference(case.model, case.inputs)[0]
    module = compile_model(case.model, config)
    with FunctionalDevice(config) as device, Session(module, device) as session:
        result = session.run(case.inputs)
    assert isinstance(result, np.ndarray)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    assert result.tobytes() == expected.tobytes(), case.description
    return module.content.layers[1].placement


@pytest.mark.parametrize("seed", range(24))
def test_convolutions(seed: int) -> None:
    check(random_conv(seed), VTA)


@pytest.mark.parametrize("seed", range(16))
def test_dense_layers(seed: int) -> None:
    assert check(random_dense(seed), VTA) == "accelerator"


@pytest.mark.parametrize("seed", range(12))
def test_max_pools(seed: int) -> None:
    assert check(random_max_pool(seed), VTA) == "host"


@pytest.mark.parametrize("seed", range(6))
def test_a_bias_that_is_a_node_of_its_own(seed: int) -> None:
    case = random_bias_addition(seed)
    check(case, VTA)
    layers = compile_model(case.model, VTA).content.layers
    assert [layer.op for layer in layers if layer.placement == "accelerator"] in (["MatMul"], ["Conv"])


@pytest.mark.parametrize("seed", range(4))
def test_sums_of_two_tensors(seed: int) -> None:
    check(random_residual(seed), VTA)


@pytest.mark.parametrize("seed", range(100, 108))
@pytest.mark.parametrize("make", [random_conv, random_dense])
def test_two_images_a_tile_and_small_scratchpads(make: Callable[[int], Case], seed: int) -> None:
    check(make(seed), SMALL)


@pytest.mark.parametrize("seed", range(200, 204))
@pytest.mark.parametrize("make", [random_conv, random_dense])
def test_the_host_computes_what_the_accelerator_cannot(make: Callable[[int], Case], seed: int) -> None:
    assert check(make(seed), NO_RAW_STORE) == "host"


def test_most_convolutions_run_on_the_accelerator() -> None:
    placements = [compile_model(random_conv(seed).model, VTA).content.layers[1].placement for seed in range(24)]
    assert placements.count("accelerator") >= 16
