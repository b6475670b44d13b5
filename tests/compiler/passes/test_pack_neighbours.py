"""Goldens: sums, tables and pools behind convolutions, and what is left of them on the host."""

from dataclasses import replace

import numpy as np
import pytest
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import qgraph, quantised
from weft_compiler.passes.cancel_layout import CancelLayout
from weft_compiler.passes.pack_layout import PackLayout
from weft_compiler.passes.place import Place
from weft_hardware.presets import VTA

IMAGES = (1, 16, 6, 6)
BYTES = qgraph.tensor_type(IMAGES, np.int8)


def conv(emit, x, dtype=np.int8):
    y = qgraph.tensor_type(IMAGES, dtype)
    w = emit(qgraph.ConstantOp(np.ones((16, 16, 3, 3), np.int8)))
    properties = qgraph.requantising_properties(0, [0], [0.01], 5, y)
    properties |= {**qgraph.window_properties((1, 1), (1,) * 4, (1, 1)), "groups": qgraph.integer(1)}
    return emit(qgraph.QConvOp(x, w, None, properties, y))


def add(emit, a, b, dtype=np.int8, scales=(0.4, 0.7)):
    y = qgraph.tensor_type(IMAGES, dtype)
    return emit(quantised.qadd(a, b, scales, (5, 9), 1.0, 3, y))


def max_pool(emit, x, dilation=1):
    window = qgraph.window_properties((2, 2), (1, 1, 0, 0), (dilation, dilation))
    size = 2 if dilation > 1 else 3
    y = qgraph.tensor_type((1, 16, size, size), qgraph.dtype_of(x))
    return emit(qgraph.MaxPoolOp(x, (3, 3), window, y))


def laid_out(body, types=(BYTES,), config=VTA):
    module = apply(Place(config), function(list(types), body))
    reasons = {
        op.name.removeprefix("qgraph."): op.attributes["reason"].data
        for op in module.walk()
        if "reason" in op.attributes and op.attributes["reason"].data
    }
    for step in (PackLayout(config), CancelLayout()):
        apply(step, module)
    return module, reasons


def only(module, kind):
    (found,) = [op for op in module.walk() if isinstance(op, kind)]
    return found


def test_a_sum_becomes_a_residual_operand_of_its_second_convolution():
    def body(emit, x):
        first = conv(emit, x)
        return add(emit, conv(emit, first), first)

    module, reasons = laid_out(body)
    assert outline(module) == [
        "v0 = pack(a0)",
        "v1 = convolve(v0, const, const)",
        "v2 = convolve(v1, const, const, v1)",
        "v3 = unpack(v2)",
        "return v3",
    ]
    assert reasons == {}
    *_, last = (op for op in module.walk() if isinstance(op, qgraph.ConvolveOp))
    added = last.requantisation.addition
    assert (np.float32(added.scale), np.float32(added.residual_scale)) == (np.float32(0.4), np.float32(0.7))
    assert (added.swap, added.low, added.high, last.requantisation.zero_point) == (False, -128, 127, 5)
    assert np.float32(added.offset) == pytest.approx(3 - 5 * 0.4 - 9 * 0.7)


def test_the_convolution_moves_behind_its_other_operand():
    """The first of the operands is computed first, but by the longer convolution; the second one's is the residual."""

    def body(emit, x):
        pointwise = qgraph.ConstantOp(np.ones((16, 16, 1, 1), np.int8))
        long = conv(emit, x)
        w = emit(pointwise)
        properties = qgraph.requantising_properties(0, [0], [0.01], 0, BYTES)
        properties |= {**qgraph.window_properties((1, 1), (0,) * 4, (1, 1)), "groups": qgraph.integer(1)}
        short = emit(qgraph.QConvOp(x, w, None, properties, BYTES))
        return add(emit, short, long)

    module, _ = laid_out(body)
    short, long = (op for op in module.walk() if isinstance(op, qgraph.ConvolveOp))
    assert qgraph.shape_of(short.w)[2:4] == (1, 1)
    assert long.residual is short.y
    # The residual operand is the sum's first.
    assert long.requantisation.addition.swap


def test_a_sum_of_uint8_has_numbers_for_shifted_values():
    images = qgraph.tensor_type(IMAGES, np.uint8)
    module, reasons = laid_out(
        lambda emit, x, r: add(emit, conv(emit, x, np.uint8), r, np.uint8, (0.4127, 0.7319)), types=(BYTES, images)
    )
    assert reasons == {}
    how = only(module, qgraph.ConvolveOp).requantisation
    assert (how.addition.dtype, how.addition.low, how.addition.high) == ("int8", -128, 127)
    assert (how.zero_point, how.low, how.high) in [(5, 0, 255), (5 - 128, -128, 127)]
    packs = [op for op in module.walk() if isinstance(op, qgraph.PackOp)]
    assert [op.shift.value.data for op in packs] == [0, 128]


def test_a_table_is_the_last_step_of_its_convolution():
    table = np.random.default_rng(1).integers(0, 256, 256).astype(np.uint8)

    def body(emit, x):
        return emit(quantised.LookupOp(conv(emit, x), table))

    module, _ = laid_out(body)
    assert outline(module) == [
        "v0 = pack(a0)",
        "v1 = convolve(v0, const, const, const)",
        "v2 = unpack(v1)",
        "return v2",
    ]
    # Indexed by bits as before, its uint8 results less 128.
    values = only(module, qgraph.ConvolveOp).table.owner.values
    assert np.array_equal(values.astype(int) + 128, table)
    assert only(module, qgraph.UnpackOp).shift.value.data == 128


def test_pools_of_tiles():
    def body(emit, x):
        pooled = max_pool(emit, conv(emit, x, np.uint8))
        zero = np.uint8(7)
        return emit(quantised.qglobal_average_pool(pooled, (0.1, zero), (0.05, np.uint8(20))))

    module, _ = laid_out(body)
    assert outline(module) == [
        "v0 = pack(a0)",
        "v1 = convolve(v0, const, const)",
        "v2 = pool(v1, const)",
        "v3 = pool(v2, const, const)",
        "v4 = unpack(v3)",
        "return v4",
    ]
    largest, mean = (op for op in module.walk() if isinstance(op, qgraph.PoolOp))
    assert largest.pad_value.value.data == -128
    assert qgraph.ints(largest.pads) == (1, 1, 0, 0)
    assert mean.requantisation.zero_point == 20 - 128
    # The zero point of uint8 values that lie less 128, nine times.
    assert mean.params.owner.values[0, :, 0].tolist() == [-(7 - 128) * 9] * 16


@pytest.mark.parametrize(
    ("body", "config", "reasons"),
    [
        (
            lambda emit, x: add(emit, conv(emit, x), x),
            replace(VTA, residual=False),
            {"qadd": "the accelerator has no residual operands (residual = false)"},
        ),
        (
            lambda emit, x: add(emit, x, x),
            VTA,
            {"qadd": "no operand comes from a convolution on the accelerator that nobody else reads"},
        ),
        (
            lambda emit, x: emit(quantised.LookupOp(x, np.arange(256, dtype=np.uint8))),
            VTA,
            {"lookup": "it stands alone: no convolution on the accelerator gives what it alone reads"},
        ),
        (
            lambda emit, x: emit(quantised.LookupOp(conv(emit, x), np.arange(256, dtype=np.uint8))),
            replace(VTA, table=False),
            {"lookup": "the accelerator has no table (table = false)"},
        ),
        (max_pool, VTA, {"max_pool": "its input comes from the host, which pools it where it lies"}),
        (
            lambda emit, x: max_pool(emit, conv(emit, x), dilation=2),
            VTA,
            {"max_pool": "its windows are dilated by 2×2"},
        ),
        (
            lambda emit, x: max_pool(emit, conv(emit, x)),
            replace(VTA, pad_value=False),
            {"max_pool": "the accelerator pads with zeros only (pad_value = false)"},
        ),
    ],
)
def test_what_stays_on_the_host_and_why(body, config, reasons):
    module, found = laid_out(body, config=config)
    assert found == reasons
    assert any(f"= {name}(" in line for line in outline(module) for name in reasons)
