from dataclasses import replace

import numpy as np
import pytest
from support.qgraph_ir import apply, function, outline
from weft_compiler.conv_task import Fold
from weft_compiler.dialects import qgraph
from weft_compiler.passes.pack_layout import PackLayout
from weft_compiler.passes.place import Place
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import PRESETS
from xdsl.dialects.builtin import ModuleOp

CONFIG = AcceleratorConfig(batch=2)
WEIGHTS = np.random.default_rng(5).integers(-128, 128, (20, 18, 3, 2)).astype(np.int8)


EXTENDED = replace(PRESETS["vta"], batch=2)


def convolution(
    dtype: type, zero: int, pads: tuple[int, int, int, int], config: AcceleratorConfig = CONFIG
) -> ModuleOp:
    """3 images of 18 channels, 20 output channels, weights `WEIGHTS`, bias 7."""
    x_type = qgraph.tensor_type((3, 18, 6, 5), dtype)
    size = (6 + pads[0] + pads[2] - 2, 5 + pads[1] + pads[3] - 1)
    y_type = qgraph.tensor_type((3, 20, *size), np.int8)

    def body(emit, x):
        w, bias = emit(qgraph.ConstantOp(WEIGHTS)), emit(qgraph.ConstantOp(np.full(20, 7, np.int32)))
        properties = qgraph.requantising_properties(zero, [0], [0.1], -3, y_type)
        properties |= {**qgraph.window_properties((1, 1), pads, (1, 1)), "groups": qgraph.integer(1)}
        return emit(qgraph.QConvOp(x, w, bias, properties, y_type))

    return apply(Place(config), function([x_type], body))


def only(module: ModuleOp, kind: type):
    (found,) = [op for op in module.walk() if isinstance(op, kind)]
    return found


def test_a_convolution_becomes_pack_accumulate_requantize() -> None:
    module = apply(PackLayout(CONFIG), convolution(np.int8, 0, (1, 0, 1, 0)))
    assert outline(module) == [
        "v0 = pack(a0)",
        "v1 = accumulate(v0, const)",
        "v2 = requantize(v1, const, const)",
        "return v2",
    ]
    sums = only(module, qgraph.AccumulateOp)
    assert qgraph.shape_of(sums.x) == (2, 2, 6, 5, 2, 16)
    assert qgraph.shape_of(sums.y) == (2, 2, 6, 4, 2, 16)
    assert qgraph.ints(sums.pads) == (1, 0, 1, 0)
    assert only(module, qgraph.RequantizeOp).bias.owner.values.tolist() == [7] * 20


def test_with_an_epilogue_it_becomes_pack_convolve_unpack() -> None:
    module = apply(PackLayout(EXTENDED), convolution(np.uint8, 3, (1, 2, 3, 4), EXTENDED))
    assert outline(module) == ["v0 = pack(a0)", "v1 = convolve(v0, const, const)", "v2 = unpack(v1)", "return v2"]
    sums = only(module, qgraph.ConvolveOp)
    assert (qgraph.shape_of(sums.y), qgraph.dtype_of(sums.y)) == ((2, 2, 8, 10, 2, 16), np.int8)
    # The padding is the DMA's: 3 less the 128 that make int8 of uint8.
    assert (qgraph.ints(sums.pads), sums.pad_value.value.data) == ((1, 2, 3, 4), -125)
    assert qgraph.ints(only(module, qgraph.PackOp).pads) == (0, 0, 0, 0)
    assert (sums.y_zero.value.data, sums.low.value.data, sums.high.value.data) == (-3, -128, 127)
    params = sums.params.owner.values
    expected = 7 + 125 * WEIGHTS.astype(int).sum(axis=(1, 2, 3))
    assert params[..., 0].reshape(-1)[:20].tolist() == expected.tolist()
    assert params.view(np.float32)[..., 1].reshape(-1).tolist() == [np.float32(0.1)] * 20 + [0] * 12


def test_weights_are_packed_and_padded_with_zeros() -> None:
    packed = only(apply(PackLayout(CONFIG), convolution(np.int8, 0, (0,) * 4)), qgraph.AccumulateOp).w.owner.values
    assert packed.shape == (2, 2, 3, 2, 16, 16)
    for o, c in [(0, 0), (15, 17), (16, 3), (19, 17)]:
        assert packed[o // 16, c // 16, :, :, o % 16, c % 16].tolist() == WEIGHTS[o, c].tolist()
    assert not packed[1, :, :, :, 4:].any()
    assert not packed[:, 1, :, :, :, 2:].any()


@pytest.mark.parametrize(("dtype", "zero", "shift", "rest"), [(np.int8, 5, 0, 5), (np.uint8, 3, 128, -125)])
def test_a_zero_point_moves_into_the_padding_and_the_bias(dtype: type, zero: int, shift: int, rest: int) -> None:
    module = apply(PackLayout(CONFIG), convolution(dtype, zero, (1, 2, 3, 4)))
    pack, sums = only(module, qgraph.PackOp), only(module, qgraph.AccumulateOp)
    assert (pack.shift.value.data, pack.pad_value.value.data) == (shift, rest)
    assert qgraph.ints(pack.pads) == (1, 2, 3, 4)
    assert qgraph.ints(sums.pads) == (0, 0, 0, 0)
    assert qgraph.shape_of(pack.y)[2:4] == (6 + 4, 5 + 6)
    expected = 7 - rest * WEIGHTS.astype(int).sum(axis=(1, 2, 3))
    assert only(module, qgraph.RequantizeOp).bias.owner.values.tolist() == expected.tolist()


def test_a_middle_zero_point_leaves_the_padding_to_the_dma() -> None:
    module = apply(PackLayout(CONFIG), convolution(np.uint8, 128, (1, 1, 1, 1)))
    assert qgraph.ints(only(module, qgraph.AccumulateOp).pads) == (1, 1, 1, 1)
    assert qgraph.ints(only(module, qgraph.PackOp).pads) == (0, 0, 0, 0)


def test_padding_too_wide_for_the_dma_is_written_by_the_packer() -> None:
    module = apply(PackLayout(CONFIG), convolution(np.int8, 0, (0, 40, 0, 40)))
    sums, pack = only(module, qgraph.AccumulateOp), only(module, qgraph.PackOp)
    written, left = qgraph.ints(pack.pads), qgraph.ints(sums.pads)
    assert tuple(a + b for a, b in zip(written, left, strict=True)) == (0, 40, 0, 40)
    assert pack.pad_value.value.data == 0


def test_a_dense_layer_lays_its_rows_along_the_width() -> None:
    x_type, y_type = qgraph.tensor_type((5, 20), np.int8), qgraph.tensor_type((5, 3), np.int8)

    def body(emit, x):
        w = emit(qgraph.ConstantOp(np.ones((3, 20), np.int8)))
        return emit(qgraph.QDenseOp(x, w, None, qgraph.requantising_properties(0, [0], [0.1], 0, y_type), y_type))

    module = apply(PackLayout(CONFIG), apply(Place(CONFIG), function([x_type], body)))
    assert qgraph.shape_of(only(module, qgraph.PackOp).y) == (1, 2, 1, 3, 2, 16)
    assert qgraph.shape_of(only(module, qgraph.AccumulateOp).y) == (1, 1, 1, 3, 2, 16)


def test_what_stays_on_the_host_is_left_alone() -> None:
    module = convolution(np.int8, 0, (0,) * 4)
    slow = AcceleratorConfig(wgt_bits=4)
    apply(Place(slow), module)
    before = outline(module)
    assert outline(apply(PackLayout(slow), module)) == before


def strided(x, channels: int, emit, kernel: int = 3):
    """A square kernel, stride 2 on ``x``, 5 output channels, weights 1."""
    images, _, height, width = qgraph.shape_of(x)
    y_type = qgraph.tensor_type((images, 5, (height + 1) // 2, (width + 1) // 2), np.uint8)
    properties = qgraph.requantising_properties(130, [0], [0.1], 0, y_type)
    properties |= {**qgraph.window_properties((2, 2), (kernel // 2,) * 4, (1, 1)), "groups": qgraph.integer(1)}
    w = emit(qgraph.ConstantOp(np.ones((5, channels, kernel, kernel), np.int8)))
    return emit(qgraph.QConvOp(x, w, None, properties, y_type))


def test_few_channels_of_the_host_are_folded_and_those_of_the_accelerator_are_not() -> None:
    config = PRESETS["vta"]
    x_type = qgraph.tensor_type((1, 4, 64, 64), np.uint8)
    module = function([x_type], lambda emit, x: strided(strided(x, 4, emit, 5), 5, emit))
    apply(PackLayout(config), apply(Place(config), module))
    first, second = (op for op in module.walk() if isinstance(op, qgraph.PackOp))
    assert first.folding == Fold((2, 2), (2, 2), (1, 1))
    # Three windows of two taps reach 32 times over 2 pixels and four further.
    assert (qgraph.shape_of(first.y), qgraph.ints(first.pads)) == ((1, 1, 34, 34, 1, 16), (2, 2, 2, 2))
    assert second.folding is None
    assert qgraph.shape_of(second.y) == (1, 1, 32, 32, 1, 16)
    packed = [op.w.owner.values for op in module.walk() if isinstance(op, qgraph.ConvolveOp)]
    assert [w.shape for w in packed] == [(1, 1, 3, 3, 16, 16), (1, 1, 3, 3, 16, 16)]
    # Channel (c, i, j) of tap (p, q) is row 2p + i and column 2q + j of the kernel, which has no sixth ones.
    taps = packed[0][0, 0, :, :, 0, :].reshape(3, 3, 4, 2, 2)
    assert [taps[p, q, :, i, j].all() for p, q, i, j in np.ndindex(3, 3, 2, 2)] == [
        2 * p + i < 5 and 2 * q + j < 5 for p, q, i, j in np.ndindex(3, 3, 2, 2)
    ]


def grouped(channels: int, outputs: int, groups: int) -> tuple[list[int], np.ndarray, qgraph.ConvolveOp]:
    """Blocks of input channels, packed weights and operation of a 2×2 convolution with weights from 1 on."""
    weights = np.arange(1, 1 + outputs * channels // groups * 4).astype(np.int8).reshape(outputs, -1, 2, 2)
    y_type = qgraph.tensor_type((1, outputs, 4, 4), np.int8)

    def body(emit, x):
        properties = qgraph.requantising_properties(0, [0], [0.1], 0, y_type)
        properties |= {**qgraph.window_properties((1, 1), (0, 0, 0, 0), (1, 1)), "groups": qgraph.integer(groups)}
        return emit(qgraph.QConvOp(x, emit(qgraph.ConstantOp(weights)), None, properties, y_type))

    module = function([qgraph.tensor_type((1, channels, 5, 5), np.int8)], body)
    apply(PackLayout(PRESETS["vta"]), apply(Place(PRESETS["vta"]), module))
    conv = only(module, qgraph.ConvolveOp)
    assert conv.params.owner.values.shape[0] == qgraph.shape_of(conv.y)[1]
    return [qgraph.shape_of(conv.x)[1], qgraph.shape_of(conv.y)[1]], weights, conv


def test_a_depthwise_convolution_has_diagonal_weights() -> None:
    blocks, weights, conv = grouped(40, 40, 40)
    packed = conv.w.owner.values
    assert (blocks, packed.shape) == ([3, 3], (3, 1, 2, 2, 16, 16))
    for p, q in np.ndindex(2, 2):
        diagonal = np.concatenate([np.diag(packed[k, 0, p, q]) for k in range(3)])
        assert diagonal[:40].tolist() == weights[:, 0, p, q].tolist()
    assert np.count_nonzero(packed) == np.count_nonzero(weights)


def test_groups_are_put_together_until_their_blocks_are_whole() -> None:
    # Two groups of 24 channels are three blocks; five groups are three such pairs, the last one half empty.
    blocks, weights, conv = grouped(120, 40, 5)
    packed = conv.w.owner.values
    assert (blocks, packed.shape) == ([9, 3], (3, 3, 2, 2, 16, 16))
    second = packed[0, :, :, :, 8].transpose(0, 3, 1, 2).reshape(48, 2, 2)
    assert not second[:24].any()
    assert second[24:].tolist() == weights[8].tolist()


def test_padding_is_left_out_where_each_pixel_has_its_own_bias() -> None:
    """7² pixels of 256 channels with a zero point: the taps outside the image cost more than a bias a pixel."""
    x_type, y_type = (qgraph.tensor_type((1, 256, 7, 7), dtype) for dtype in (np.uint8, np.int8))
    weights = np.random.default_rng(1).integers(-128, 128, (256, 256, 3, 3)).astype(np.int8)

    def body(emit, x):
        w, bias = emit(qgraph.ConstantOp(weights)), emit(qgraph.ConstantOp(np.arange(256, dtype=np.int32)))
        properties = qgraph.requantising_properties(3, [0], [0.1], -3, y_type)
        properties |= {**qgraph.window_properties((1, 1), (1,) * 4, (1, 1)), "groups": qgraph.integer(1)}
        return emit(qgraph.QConvOp(x, w, bias, properties, y_type))

    config = PRESETS["vta"]
    module = apply(PackLayout(config), apply(Place(config), function([x_type], body)))
    sums = only(module, qgraph.ConvolveOp)
    params = sums.params.owner.values
    assert (sums.pad_value.value.data, params.shape) == (0, (16, 7, 7, 16, 2))
    # In a corner four of the nine taps are inside, in the middle all are.
    for y, x, taps in ((0, 0, weights[:, :, 1:, 1:]), (6, 5, weights[:, :, :2]), (3, 2, weights)):
        expected = np.arange(256) + 125 * taps.astype(int).sum(axis=(1, 2, 3))
        assert np.array_equal(params[:, y, x, :, 0].reshape(-1), expected)
