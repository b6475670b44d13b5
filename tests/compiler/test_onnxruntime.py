"""Single-operator models, byte for byte against onnxruntime on the functional device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.compiling import compile_model
from support.onnx_models import (
    Case,
    ModelBuilder,
    random_bias_addition,
    random_conv,
    random_dense,
    random_grouped_conv,
    random_max_pool,
    random_residual,
)
from support.ort import reference
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import PRESETS
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

VTA = AcceleratorConfig()
SMALL = AcceleratorConfig(batch=2, block_in=8, block_out=32, inp_depth=96, wgt_depth=40, acc_depth=64, uop_depth=256)
EXTENDED = PRESETS["vta"]
"""With the epilogue, pad values and overwriting GEMM."""
NO_RAW_STORE = AcceleratorConfig(raw_store=False)
NARROW_WEIGHTS = AcceleratorConfig(wgt_bits=4)


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


@pytest.mark.parametrize("config", [VTA, EXTENDED], ids=["base", "extended"])
@pytest.mark.parametrize("seed", range(24))
def test_convolutions(seed: int, config: AcceleratorConfig) -> None:
    check(random_conv(seed), config)


@pytest.mark.parametrize("config", [VTA, EXTENDED, SMALL], ids=["base", "extended", "small"])
@pytest.mark.parametrize("seed", range(4))
def test_groups(seed: int, config: AcceleratorConfig) -> None:
    check(random_grouped_conv(seed), config)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_groups_and_few_channels_by_the_hundred(seed: int) -> None:
    config = (VTA, EXTENDED, SMALL)[seed % 3]
    check(random_grouped_conv(seed), config)
    check(random_conv(seed, groups=1, channels=(seed % 5 + 1, seed % 20 + 1)), config)


@pytest.mark.parametrize("config", [VTA, EXTENDED], ids=["base", "extended"])
@pytest.mark.parametrize("seed", range(16))
def test_dense_layers(seed: int, config: AcceleratorConfig) -> None:
    assert check(random_dense(seed), config) == "accelerator"


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
    assert check(make(seed), NARROW_WEIGHTS) == "host"


@pytest.mark.parametrize("seed", range(200, 204))
@pytest.mark.parametrize("make", [random_conv, random_dense])
def test_accumulators_that_leave_byte_by_byte(make: Callable[[int], Case], seed: int) -> None:
    check(make(seed), NO_RAW_STORE)


def test_most_convolutions_run_on_the_accelerator() -> None:
    placements = [compile_model(random_conv(seed).model, VTA).content.layers[1].placement for seed in range(24)]
    assert placements.count("accelerator") >= 16


def test_weights_that_are_transposed_as_a_node_of_its_own() -> None:
    rng, b = np.random.default_rng(8), ModelBuilder()
    weights = b.dequantize(b.constant(rng.integers(-127, 128, (7, 20)).astype(np.int8)), 0.02, np.int8(0))
    y = b.node("MatMul", [b.pair("x", 0.05, np.uint8(120)), b.node("Transpose", [weights], perm=[1, 0])])
    model = b.build([("x", (3, 20), np.float32)], [(b.quantize(y, 0.3, np.uint8(130)), (3, 7), np.uint8)])
    assert check(Case(model, {"x": rng.normal(size=(3, 20)).astype(np.float32)}, "transposed"), VTA) == "accelerator"


@pytest.mark.parametrize("constant_first", [False, True])
def test_sums_with_a_constant(constant_first: bool) -> None:
    rng, b = np.random.default_rng(9), ModelBuilder()
    x, constant = b.pair("x", 0.03, np.int8(5)), b.constant(rng.normal(size=(1, 4, 1, 1)).astype(np.float32))
    y = b.node("Add", [constant, x] if constant_first else [x, constant])
    shape = (2, 4, 3, 5)
    model = b.build([("x", shape, np.float32)], [(b.quantize(y, 0.05, np.int8(1)), shape, np.int8)])
    check(Case(model, {"x": rng.normal(size=shape).astype(np.float32)}, "sum"), VTA)


@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize("op", ["Relu", "Clip"])
def test_floats_that_are_no_numbers_pass_activations(op: str, low: float) -> None:
    b = ModelBuilder()
    bounds = [b.constant(np.float32(low)), b.constant(np.float32(6))] if op == "Clip" else []
    y = b.node("Flatten", [b.node(op, ["x", *bounds])])
    x = np.tile(np.float32([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e38, -1e38, 0.5]), (1, 3))
    check(Case(b.build([("x", x.shape, np.float32)], [(y, x.shape, np.float32)]), {"x": x}, op), VTA)
