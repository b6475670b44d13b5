"""Transposed convolutions on the accelerator, byte for byte the QLinearConv of the input with zeros between."""

from __future__ import annotations

import numpy as np
import pytest
from support.compiling import compile_model
from support.onnx_models import ModelBuilder
from support.ort import reference
from weft_compiler.errors import CompileError
from weft_compiler.transposed import split_phases
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import VTA
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

SMALL = AcceleratorConfig(batch=2, block_in=8, block_out=32, inp_depth=96, wgt_depth=60, acc_depth=128, uop_depth=256)
CONFIGS = (VTA, AcceleratorConfig(), SMALL)


class Transposed:
    """A random transposed convolution; it never drops more of the result than its kernel spans."""

    def __init__(self, seed: int, *, symmetric: bool) -> None:
        rng = np.random.default_rng(seed)
        self.groups = int(rng.choice([1, 1, 1, 2, 16]))
        self.inputs, self.outputs = (
            int(rng.integers(1, 40 if self.groups == 1 else 3)) * self.groups for _ in range(2)
        )
        self.kernel, self.strides = rng.integers(1, 6, 2), rng.integers(1, 4, 2)
        self.dilations = rng.choice([1, 1, 2], 2)
        self.more = np.array([rng.integers(s) for s in self.strides])
        reach = self.dilations * (self.kernel - 1)
        self.size = rng.integers(1, 8, 2)
        # At most half the kernel at either side, so that something is left.
        self.pads = np.array([rng.integers(0, r // 2 + 1) for r in (*reach, *reach)])
        self.dtype = np.int8 if rng.random() < 0.5 else np.uint8
        limits = np.iinfo(self.dtype)
        middle = (limits.min + limits.max + 1) // 2
        self.zero = middle if symmetric else int(rng.integers(limits.min, limits.max + 1))
        shape = (self.inputs, self.outputs // self.groups, *self.kernel)
        self.weights = rng.integers(-127, 128, shape).astype(np.int8)
        count = (self.outputs,) if self.groups == 1 else ()
        self.w_scale = rng.uniform(0.002, 0.02, count).astype(np.float32)
        self.bias = rng.integers(-4000, 4000, self.outputs).astype(np.int32)
        self.x = rng.integers(limits.min, limits.max + 1, (2, self.inputs, *self.size)).astype(self.dtype)

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in vars(self).items() if name not in ("weights", "x", "bias"))

    def model(self, *, relu: bool = False) -> bytes:
        """A QDQ ConvTranspose, with a ReLU behind it or not."""
        b, zeros = ModelBuilder(), np.zeros(self.w_scale.shape, np.int8)
        x = b.dequantize("x", 0.03, np.asarray(self.zero, self.dtype))
        w = b.dequantize(b.constant(self.weights), self.w_scale, zeros, 1)
        scale = (np.float32(0.03) * self.w_scale).astype(np.float32)
        bias = b.dequantize(b.constant(self.bias), scale, zeros.astype(np.int32))
        y = b.node(
            "ConvTranspose", [x, w, bias], strides=self.strides.tolist(), pads=self.pads.tolist(),
            output_padding=self.more.tolist(), dilations=self.dilations.tolist(), group=self.groups,
        )  # fmt: skip
        y = b.quantize(y, 0.5, np.asarray(7, self.dtype))
        if relu:
            y = b.node("Relu", [b.dequantize(y, 0.5, np.asarray(7, self.dtype))])
            y = b.quantize(y, 0.5, np.asarray(7, self.dtype))
        return b.build([("x", self.x.shape, self.dtype)], [(y, ("n", "c", "h", "w"), self.dtype)])

    def expected(self) -> np.ndarray:
        """onnxruntime's result for the convolution that it is equal to."""
        b = ModelBuilder()
        size = (self.size - 1) * self.strides + 1
        wide = np.full((2, self.inputs, *size), self.zero, self.dtype)
        wide[:, :, :: self.strides[0], :: self.strides[1]] = self.x
        reach = np.tile(self.dilations * (self.kernel - 1), 2)
        pads = reach - self.pads + [0, 0, *self.more]
        flipped = self.weights.reshape(self.groups, -1, *self.weights.shape[1:])[..., ::-1, ::-1]
        w = np.ascontiguousarray(flipped.swapaxes(1, 2)).reshape(self.outputs, -1, *self.kernel)
        zero = b.constant(np.asarray(self.zero, self.dtype))
        w_zero, y_zero = b.constant(np.zeros(self.w_scale.shape, np.int8)), b.constant(np.asarray(7, self.dtype))
        operands = ["x", b.constant(np.float32(0.03)), zero, b.constant(w), b.constant(self.w_scale), w_zero]
        operands += [b.constant(np.float32(0.5)), y_zero, b.constant(self.bias)]
        y = b.node(
            "QLinearConv", operands, pads=pads.tolist(), dilations=self.dilations.tolist(), group=self.groups
        )  # fmt: skip
        model = b.build([("x", wide.shape, self.dtype)], [(y, ("n", "c", "h", "w"), self.dtype)])
        return reference(model, {"x": wide})[0]


def check(seed: int, config: AcceleratorConfig, *, symmetric: bool) -> None:
    case = Transposed(seed, symmetric=symmetric)
    print(f"seed {seed}: {case}")
    module = compile_model(case.model(), config)
    with FunctionalDevice(config) as device, Session(module, device) as session:
        result = session.run({"x": case.x})
    assert np.array_equal(np.asarray(result), case.expected())
    (layer,) = [layer for layer in module.content.layers if layer.op == "ConvTranspose"]
    phases = max(case.strides) > 1
    left_to_host = phases and not symmetric and not config.epilogue_lanes
    assert (layer.placement, bool(layer.reason)) == (("host", True) if left_to_host else ("accelerator", False))


@pytest.mark.parametrize("seed", range(9))
def test_transposed_convolutions(seed: int) -> None:
    check(seed, CONFIGS[seed % 3], symmetric=seed % 2 == 0)


def test_an_activation_is_part_of_it() -> None:
    case = Transposed(6, symmetric=True)
    module = compile_model(case.model(relu=True), VTA)
    with FunctionalDevice(VTA) as device, Session(module, device) as session:
        result = session.run({"x": case.x})
    assert np.array_equal(np.asarray(result), np.maximum(case.expected(), 7))
    assert {layer.op for layer in module.content.layers if layer.placement == "host"} == set()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 250))
def test_transposed_convolutions_by_the_hundred(seed: int) -> None:
    check(seed, CONFIGS[seed % 3], symmetric=seed % 2 == 0)


def test_a_kernel_of_four_and_a_stride_of_two_have_four_phases_of_two_by_two_taps() -> None:
    # DCGAN's: the result is twice the input; of the padded 4×4 convolution's pads 2 remain.
    phases, taps, pads = split_phases((2, 2), (2, 2, 2, 2), (4, 4), (8, 8), (16, 16), own_parameters=False)
    assert (phases.count, phases.size, taps, pads) == ((2, 2), (8, 8), (2, 2), (1, 1, 1, 1))
    # Row 0 begins a row above the input, row 1 at its first.
    assert (phases.offset, phases.reach) == ((1, 1), (1, 1))


def test_padding_beyond_the_kernel_is_refused() -> None:
    message = r"^the transposed convolution drops 1 results more than its kernel spans; crop its input instead$"
    with pytest.raises(CompileError, match=message):
        split_phases((2, 2), (-1, 0, 0, 0), (3, 3), (8, 8), (14, 16), own_parameters=False)
