"""Products of two activations on the accelerator, byte for byte against onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compiling import compile_model
from support.onnx_models import Case, ModelBuilder
from support.ort import reference
from weft_compiler.accel.plain import without_extensions
from weft_compiler.accelerated_products import _parts
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import VTA
from weft_runtime.module import Module
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

CONFIGS = {
    "vta": VTA,
    "two rows a tile": replace(VTA, batch=2, acc_depth=1024, inp_depth=1024),
    "the host requantises": AcceleratorConfig(),
    "planes": without_extensions(VTA),
}
TYPES = [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)]
"""Of both factors, as onnxruntime has them."""

LEADING = [((), ()), ((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), ()), ((1, 3), (2, 1)), ((2, 3), (3,)), ((1,), (4,))]


def run(case: Case, config: AcceleratorConfig) -> tuple[Module, NDArray[Any]]:
    module = compile_model(case.model, config)
    with FunctionalDevice(config) as device, Session(module, device) as session:
        y = session.run(case.inputs)
    assert isinstance(y, np.ndarray)
    return module, y


def compare(case: Case, config: AcceleratorConfig) -> None:
    (wanted,) = reference(case.model, case.inputs)
    module, y = run(case, config)
    assert (y.dtype, y.shape) == (wanted.dtype, wanted.shape), case.description
    assert y.tobytes() == wanted.tobytes(), case.description
    assert [layer.placement for layer in module.content.layers if layer.macs] == ["accelerator"], case.description


def factors(
    rng: np.random.Generator, a: tuple[int, ...], b: tuple[int, ...], types: tuple[Any, Any]
) -> tuple[dict[str, NDArray[Any]], tuple[int, ...]]:
    values = (
        rng.integers(np.iinfo(t).min, np.iinfo(t).max + 1, s).astype(t) for t, s in zip(types, (a, b), strict=True)
    )
    return dict(zip("ab", values, strict=True)), (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])


def shapes(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rows, depth, columns = (int(n) for n in rng.integers(1, 40, 3))
    left, right = LEADING[int(rng.integers(len(LEADING)))]
    return (*left, rows, depth), (*right, depth, columns)


def zero_point(rng: np.random.Generator, dtype: Any) -> NDArray[Any]:
    """Any, often the smallest, the middle or the largest."""
    limits = np.iinfo(dtype)
    usual = [limits.min, (limits.min + limits.max + 1) // 2, limits.max]
    return np.asarray(rng.choice(usual) if rng.random() < 0.5 else rng.integers(limits.min, limits.max + 1), dtype)


def product(seed: int, types: tuple[Any, Any]) -> Case:
    """A QLinearMatMul of activations, whose result uses its whole range."""
    rng = np.random.default_rng(seed)
    a, b = shapes(rng)
    zeros = [zero_point(rng, t) for t in types]
    inputs, shape = factors(rng, a, b, types)
    exact = np.matmul(*(inputs[n].astype(np.int64) - int(z) for n, z in zip("ab", zeros, strict=True)))
    y_zero = zero_point(rng, types[0])
    y_scale = 0.01 * 0.02 * max(1.0, float(exact.std())) / 60
    builder = ModelBuilder()
    constants = [[np.float32(0.01), zeros[0]], [np.float32(0.02), zeros[1]], [np.float32(y_scale), y_zero]]
    names = [[builder.constant(v) for v in pair] for pair in constants]
    y = builder.node("QLinearMatMul", ["a", *names[0], "b", *names[1], *names[2]])
    infos = [(name, value.shape, value.dtype) for name, value in inputs.items()]
    return Case(builder.build(infos, [(y, shape, types[0])]), inputs, f"seed {seed}: {a} × {b}, {zeros}")


def integer_product(seed: int, types: tuple[Any, Any]) -> Case:
    """A MatMulInteger of activations, the second one's zero points for each column sometimes."""
    rng = np.random.default_rng(seed)
    a, b = shapes(rng)
    inputs, shape = factors(rng, a, b, types)
    builder = ModelBuilder()
    several = len(b) == 2 and seed % 2
    second = rng.integers(np.iinfo(types[1]).min, np.iinfo(types[1]).max + 1, b[-1]).astype(types[1])
    zeros = [zero_point(rng, types[0]), second if several else zero_point(rng, types[1])]
    y = builder.node("MatMulInteger", ["a", "b", *map(builder.constant, zeros)])
    infos = [(name, value.shape, value.dtype) for name, value in inputs.items()]
    return Case(builder.build(infos, [(y, shape, np.int32)]), inputs, f"seed {seed}: {a} × {b}, {zeros}")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_products(config: AcceleratorConfig) -> None:
    for seed in range(len(TYPES)):
        compare(product(seed, TYPES[seed % len(TYPES)]), config)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_sums_that_leave_whole(config: AcceleratorConfig) -> None:
    for seed in range(2):
        compare(integer_product(seed, TYPES[seed % 2]), config)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_many_products(config: AcceleratorConfig) -> None:
    for seed in range(100, 150):
        compare(product(seed, TYPES[seed % len(TYPES)]), config)
        compare(integer_product(seed, TYPES[seed % 2]), config)


def test_rows_of_the_accelerator_are_not_doubled_for_usual_zero_points() -> None:
    assert _parts(np.array([0])).shape == (0, 1)
    assert _parts(np.array([-128])).tolist() == [[-64], [-64]]
    assert _parts(np.array([5, -127])).tolist() == [[5, -127]]


def test_a_product_for_other_widths_stays_on_the_host() -> None:
    config = replace(VTA, wgt_bits=4, wgt_depth=2048)
    case = product(1, (np.uint8, np.uint8))
    module, y = run(case, config)
    assert y.tobytes() == reference(case.model, case.inputs)[0].tobytes()
    (layer,) = module.content.layers
    assert (layer.placement, layer.reason) == (
        "host",
        "the accelerator multiplies 8-bit inputs by 4-bit weights, not 8 by 8",
    )
