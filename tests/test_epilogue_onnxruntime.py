"""The epilogue against onnxruntime itself: QLinearConv of known accumulators, QLinearAdd of all pairs, and both.

A 1×1 convolution whose weights are 1 and whose bias is per channel gives known 32-bit sums; with input and output
scales of 1 its weight scales are the epilogue's scales. onnxruntime multiplies and adds with one rounding wherever its
CPU has FMA (its kernels for older ones round twice and differ in about 10⁻⁶ of the sums).
"""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.epilogue_runner import Epilogue, send
from support.ort import reference
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import SetRegister, StoreMode
from weft_simulator.functional import FunctionalDevice
from weft_simulator.functional.jit import host_has
from weft_simulator.lockstep.epilogue import float_bits, requantise, residual_offset

CONFIG = AcceleratorConfig(acc_depth=65536, param_depth=512, epilogue_lanes=4, residual=True)
PIXELS = 256
TYPES = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8}
with_fma = pytest.mark.skipif(not host_has("fma"), reason="this CPU has no FMA, so onnxruntime rounds products too")


def model(nodes, inputs, output, constants):
    """Serialised; inputs and output are (name, array) pairs that show type and shape."""
    infos = [helper.make_tensor_value_info(n, TYPES[a.dtype], a.shape) for n, a in [*inputs.items(), output]]
    graph = helper.make_graph(nodes, "epilogue", infos[:-1], infos[-1:], [
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    ])  # fmt: skip
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def conv(bias, scales, kind, zero_point):
    """Nodes and constants of the convolution x → y, with sums ``bias[c] + x - zx``."""
    middle = kind.type(128 if kind == np.uint8 else 0)
    names = ["x", "one", "zx", "w", "ws", "zw", "one", "zy", "b"]
    constants = {
        "one": np.float32(1), "zx": middle, "w": np.ones((bias.size, 1, 1, 1), np.int8), "ws": scales,
        "zw": np.zeros(bias.size, np.int8), "zy": kind.type(zero_point), "b": bias.astype(np.int32),
    }  # fmt: skip
    return helper.make_node("QLinearConv", names, ["y"]), constants


def add(first, second, fs, fz, ss, sz, zero_point, kind):
    """Node and constants of first + second → z, whose scale is 1."""
    names = [first, "fs", "fz", second, "ss", "sz", "unit", "zz"]
    constants = {"fs": fs, "fz": kind.type(fz), "ss": ss, "sz": kind.type(sz), "unit": np.float32(1)}
    return helper.make_node("QLinearAdd", names, ["z"], domain="com.microsoft"), constants | {
        "zz": kind.type(zero_point)
    }


def bounds(kind, prefix):
    info = np.iinfo(kind)
    return {SetRegister[f"{prefix}_LO"]: info.min, SetRegister[f"{prefix}_HI"]: info.max}


def encoded(scales):
    return np.asarray(scales, np.float32).view(np.uint32).astype(np.int64)


def requantised_by_both(device, bias, scales, kind, zero_point):
    """(device's, onnxruntime's) results of ``bias + {-128..127}``, shape (256, channels)."""
    x = np.arange(PIXELS).astype(kind).reshape(1, 1, 16, 16)
    node, constants = conv(bias, scales, kind, zero_point)
    shape = np.empty((1, bias.size, 16, 16), kind)
    expected = reference(model([node], {"x": x}, ("y", shape), constants), {"x": x})[0].reshape(bias.size, PIXELS).T
    inputs = x.reshape(-1).astype(np.int64) - (128 if kind == np.uint8 else 0)
    tiles = bias.size // CONFIG.block_out
    acc = np.broadcast_to(inputs[:, None, None, None], (PIXELS, tiles, 1, CONFIG.block_out))
    registers = bounds(kind, "CLAMP") | {SetRegister.ZERO_POINT: zero_point}
    work = Epilogue(bias.reshape(tiles, -1), encoded(scales).reshape(tiles, -1), registers)
    return send(device, CONFIG, acc, work).view(kind).reshape(PIXELS, -1), expected


@pytest.fixture(scope="module")
def device():
    return FunctionalDevice(CONFIG)


def corner_channels():
    """Sums around powers of two and the ends of 32 bits, times powers of two and scales of long mantissas."""
    rng = np.random.default_rng(0)
    centres = [sign * (1 << k) for k in (0, 8, 16, 22, 23, 24, 25, 26, 30) for sign in (1, -1)]
    centres += [(1 << 31) - 128, -(1 << 31) + 128, 0]  # ± 128 reaches both ends
    scales = [
        np.ldexp(m, k) for k in range(-40, 9, 2) for m in (1.0, 1 + 2.0**-23, 2 - 2.0**-23, 1.5, rng.uniform(1, 2))
    ]
    pairs = np.array([(c, s) for c in centres for s in scales])
    padding = -len(pairs) % CONFIG.block_out
    pairs = np.concatenate([pairs, pairs[:padding]])
    return pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.float32)


@pytest.mark.parametrize(("kind", "zero_point"), [(np.uint8, 0), (np.uint8, 131), (np.int8, -7)])
def test_corners_of_qlinearconv(device, kind, zero_point):
    bias, scales = corner_channels()
    per_run = CONFIG.acc_depth // PIXELS * CONFIG.block_out
    for first in range(0, bias.size, per_run):
        chosen = slice(first, first + per_run)
        found, expected = requantised_by_both(device, bias[chosen], scales[chosen], np.dtype(kind), zero_point)
        assert np.array_equal(found, expected)


def random_channels(rng, count):
    """Scales from 2⁻⁴⁰ to 2⁸, and sums that they bring near the range of 8 bits."""
    exponents = rng.uniform(-40, 8, count)
    scales = np.exp2(exponents).astype(np.float32)
    reach = np.minimum(np.exp2(np.minimum(8 - exponents, 30.9)), (1 << 31) - 130)
    return np.rint(rng.uniform(-1, 1, count) * reach).astype(np.int64), scales


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_ten_million_of_qlinearconv(device, kind):
    rng = np.random.default_rng(3)
    count = 0
    while count < 10**7:
        bias, scales = random_channels(rng, 4096)
        zero_point = int(rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1))
        found, expected = requantised_by_both(device, bias, scales, np.dtype(kind), zero_point)
        assert np.array_equal(found, expected)
        count += found.size


def all_pairs(kind):
    first, second = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    return first.reshape(-1).astype(kind), second.reshape(-1).astype(kind)


def add_by_both(device, kind, rng, *, swap):
    """(device's, onnxruntime's) sums of all pairs of bytes, for random scales and zero points."""
    info = np.iinfo(kind)
    first, second = all_pairs(kind)
    fs, ss = (np.float32(np.exp2(rng.uniform(-9, 2))) for _ in range(2))
    fz, sz, zero_point = (int(v) for v in rng.integers(info.min, info.max + 1, 3))
    node, constants = add("a", "b", fs, fz, ss, sz, zero_point, np.dtype(kind))
    shown = model([node], {"a": first, "b": second}, ("z", first), constants)
    expected = reference(shown, {"a": first, "b": second})[0]
    own, other = (second, first) if swap else (first, second)
    own_scale, other_scale = (ss, fs) if swap else (fs, ss)
    registers = bounds(kind, "CLAMP") | bounds(kind, "SUM")
    registers |= {
        SetRegister.SCALE: float_bits(own_scale),
        SetRegister.RESIDUAL_SCALE: float_bits(other_scale),
        SetRegister.OFFSET: residual_offset(float_bits(fs), fz, float_bits(ss), sz, zero_point),
    }
    mode = (StoreMode.SWAP if swap else 0) | (StoreMode.UNSIGNED if kind == np.uint8 else 0)
    one = np.full((256, CONFIG.block_out), float_bits(1.0))
    acc = own.astype(np.int64).reshape(16, 256, 1, CONFIG.block_out)
    work = Epilogue(np.zeros_like(one), one, registers, other.view(np.uint8), mode=int(mode))
    return send(device, CONFIG, acc, work).view(kind).reshape(-1), expected


@with_fma
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_all_pairs_of_qlinearadd(device, kind, swap):
    rng = np.random.default_rng(7)
    for _ in range(8):
        found, expected = add_by_both(device, kind, rng, swap=swap)
        assert np.array_equal(found, expected)


@with_fma
@pytest.mark.slow
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_ten_million_of_qlinearadd(device, kind, swap):
    rng = np.random.default_rng(8)
    count = 0
    while count < 10**7:
        found, expected = add_by_both(device, kind, rng, swap=swap)
        assert np.array_equal(found, expected)
        count += found.size


@with_fma
def test_the_order_of_the_operands_and_the_fusion_show():
    """Swapped or unfused arithmetic differs from onnxruntime's somewhere, so the tests above can tell."""
    rng = np.random.default_rng(9)
    differences = {"swapped": 0, "unfused": 0}
    a, b = (v.astype(np.float64) for v in all_pairs(np.uint8))
    for _ in range(150):
        fs, ss = (np.float32(rng.uniform(0.01, 1.5)) for _ in range(2))
        fz, sz, zz = (int(v) for v in rng.integers(0, 256, 3))
        node, constants = add("a", "b", fs, fz, ss, sz, zz, np.dtype(np.uint8))
        feeds = {"a": a.astype(np.uint8), "b": b.astype(np.uint8)}
        expected = reference(model([node], feeds, ("z", feeds["a"]), constants), feeds)[0]
        bits = residual_offset(float_bits(fs), fz, float_bits(ss), sz, zz)
        offset = np.uint32(bits).view(np.float32)
        # Products of 8 and 24 bits are exact in float64; its sum's own rounding is too rare to matter here.
        swapped = (b * ss + (a * fs + offset).astype(np.float32)).astype(np.float32)
        unfused = (a * fs).astype(np.float32) + ((b * ss).astype(np.float32) + offset)
        for name, value in (("swapped", swapped), ("unfused", unfused)):
            differences[name] += int((np.clip(np.rint(value), 0, 255) != expected).sum())
    assert differences["swapped"] > 0
    assert differences["unfused"] > 0


@with_fma
@pytest.mark.parametrize("swap", [False, True])
def test_a_convolution_and_its_residual_sum_in_one_store(device, swap):
    """QLinearConv → QLinearAdd as one requantising STORE; ``swap``: the residual operand is the first input."""
    rng = np.random.default_rng(10 + swap)
    kind = np.dtype(np.uint8)
    channels = 512
    bias, scales = random_channels(rng, channels)
    x = np.arange(PIXELS).astype(kind).reshape(1, 1, 16, 16)
    other = rng.integers(0, 256, (1, channels, 16, 16)).astype(kind)
    own_scale, other_scale = np.float32(0.043), np.float32(0.71)
    own_zero, other_zero, zero_point = 117, 9, 3
    (conv_node, constants) = conv(bias, scales, kind, own_zero)
    inputs = [("y", own_scale, own_zero), ("r", other_scale, other_zero)]
    (first, fs, fz), (second, ss, sz) = inputs[::-1] if swap else inputs
    add_node, more = add(first, second, fs, fz, ss, sz, zero_point, kind)
    shown = model([conv_node, add_node], {"x": x, "r": other}, ("z", other), constants | more)
    expected = reference(shown, {"x": x, "r": other})[0].reshape(channels, PIXELS).T
    registers = bounds(kind, "CLAMP") | bounds(kind, "SUM")
    registers |= {
        SetRegister.ZERO_POINT: own_zero,
        SetRegister.SCALE: float_bits(own_scale),
        SetRegister.RESIDUAL_SCALE: float_bits(other_scale),
        SetRegister.OFFSET: residual_offset(float_bits(fs), fz, float_bits(ss), sz, zero_point),
    }
    tiles = channels // CONFIG.block_out
    operand = np.ascontiguousarray(other.reshape(channels, PIXELS).T)
    mode = (StoreMode.SWAP if swap else 0) | StoreMode.UNSIGNED
    work = Epilogue(bias.reshape(tiles, -1), encoded(scales).reshape(tiles, -1), registers, operand, mode=int(mode))
    inputs = np.arange(PIXELS, dtype=np.int64) - 128
    acc = np.broadcast_to(inputs[:, None, None, None], (PIXELS, tiles, 1, CONFIG.block_out))
    assert np.array_equal(send(device, CONFIG, acc, work).reshape(PIXELS, channels), expected)


def test_the_reference_model_agrees(device):
    """The numpy reference against onnxruntime, without the device between them."""
    bias, scales = random_channels(np.random.default_rng(12), 256)
    _, expected = requantised_by_both(device, bias, scales, np.dtype(np.int8), 5)
    totals = bias + np.arange(PIXELS).astype(np.int8).astype(np.int64)[:, None]
    assert np.array_equal(requantise(totals, encoded(scales), 5, -128, 127), expected)
