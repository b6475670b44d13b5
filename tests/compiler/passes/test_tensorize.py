from dataclasses import replace

from support.convolution import CONFIGS
from weft_compiler.conv_ir import conv_module
from weft_compiler.conv_task import ConvTask
from weft_compiler.intrinsic import gemm_intrinsic
from weft_compiler.lowering import lower_conv
from weft_compiler.passes.tensorize import Tensorize
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.rewriter import Rewriter

VTA = CONFIGS["vta"]
TASK = ConvTask(ic=2, oc=3, ih=5, iw=4, kh=3, kw=3, stride=(2, 1))


def tiles() -> ModuleOp:
    return lower_conv(TASK, VTA).stages["tile-convolution"].clone()


def tensorized(module: ModuleOp, config=VTA) -> str:
    Tensorize(gemm_intrinsic(config)).apply(Context(), module)
    module.verify()
    return str(module)


def test_the_contraction_becomes_a_gemm_over_tiles():
    text = tensorized(tiles())
    assert "linalg" not in text
    assert "accel.reset %acc" in text
    assert (
        "accel.gemm %inp, %wgt into %acc by "
        "[affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d4, ((d2 * 2) + d5), (d3 + d6))>, "
        "affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d1, d4, d5, d6)>, "
        "affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d1, d2, d3)>]"
    ) in text


def test_a_contraction_in_dram_is_left_alone():
    module = conv_module(TASK, VTA)
    before = str(module)
    assert tensorized(module) == before


def test_tiles_of_another_size_are_left_alone():
    assert "accel.gemm" not in tensorized(tiles(), replace(VTA, block_in=32))


def test_another_computation_is_left_alone():
    module = tiles()
    product = next(op for op in module.walk() if isinstance(op, arith.MuliOp))
    Rewriter.replace_op(product, arith.AddiOp(product.lhs, product.rhs))
    assert "accel.gemm" not in tensorized(module)


def test_a_fill_with_another_value_is_left_alone():
    module = tiles()
    constants = [op for op in module.walk() if isinstance(op, arith.ConstantOp) and "i32" in str(op.result.type)]
    for constant in constants:
        Rewriter.replace_op(constant, arith.ConstantOp.from_int_and_width(7, constant.result.type))
    text = tensorized(module)
    assert "linalg.fill" in text
    assert "accel.reset" not in text
