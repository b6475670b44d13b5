import numpy as np
from support.qgraph_ir import apply, function
from weft_compiler.dialects import qgraph
from weft_compiler.passes.place import Place
from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import StringAttr

VTA = AcceleratorConfig()


def placed(
    config: AcceleratorConfig, groups: int = 1, weights_type: type = np.int8, w_zero: int = 0, low_weight: int = 1
) -> tuple[str, str, int]:
    """Placement, reason and MACs of a 3×3 convolution of 8 channels."""
    x_type = qgraph.tensor_type((1, 8, 5, 5), np.int8)
    y_type = qgraph.tensor_type((1, 4, 3, 3), np.int8)

    def body(emit, x):
        w = emit(qgraph.ConstantOp(np.full((4, 8 // groups, 3, 3), low_weight, weights_type)))
        properties = qgraph.requantising_properties(0, [w_zero], [0.1], 0, y_type)
        window = qgraph.window_properties((1, 1), (0, 0, 0, 0), (1, 1))
        properties |= {**window, "groups": qgraph.integer(groups)}
        return emit(qgraph.QConvOp(x, w, None, properties, y_type))

    module = apply(Place(config), function([x_type], body))
    (conv,) = [op for op in module.walk() if isinstance(op, qgraph.QConvOp)]
    placement, reason = conv.attributes["placement"], conv.attributes["reason"]
    assert isinstance(placement, StringAttr)
    assert isinstance(reason, StringAttr)
    return placement.data, reason.data, conv.attributes["macs"].value.data  # type: ignore[attr-defined]


def test_a_plain_convolution_goes_to_the_accelerator() -> None:
    assert placed(VTA) == ("accelerator", "", 4 * 9 * 8 * 9)


def test_groups_go_to_the_accelerator_and_count_their_own_products() -> None:
    assert placed(VTA, groups=2) == ("accelerator", "", 4 * 9 * 4 * 9)


def test_without_raw_store_accumulators_leave_byte_by_byte() -> None:
    assert placed(AcceleratorConfig(raw_store=False))[:2] == ("accelerator", "")


def test_other_widths_stay_on_the_host() -> None:
    placement, reason, _ = placed(AcceleratorConfig(wgt_bits=4))
    assert placement == "host"
    assert reason == "the accelerator multiplies 8-bit inputs by 4-bit weights, not 8 by 8"


def test_unsigned_weights_that_fit_int8_after_their_zero_point() -> None:
    assert placed(VTA, weights_type=np.uint8, w_zero=128, low_weight=0)[0] == "accelerator"


def test_unsigned_weights_that_leave_int8() -> None:
    placement, reason, _ = placed(VTA, weights_type=np.uint8, w_zero=200, low_weight=10)
    assert (placement, reason) == ("host", "weights less their zero point reach -190..-190, outside int8")


def test_constants_are_left_alone() -> None:
    x_type = qgraph.tensor_type((2,), np.float32)
    module = apply(Place(VTA), function([x_type], lambda emit, x: emit(qgraph.ConstantOp(np.zeros(2, np.float32)))))
    (constant,) = [op for op in module.walk() if isinstance(op, qgraph.ConstantOp)]
    assert "placement" not in constant.attributes
