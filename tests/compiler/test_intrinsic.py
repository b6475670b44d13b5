from dataclasses import replace

from support.convolution import CONFIGS
from weft_compiler.conv_ir import conv_module, multiply_accumulate
from weft_compiler.conv_task import ConvTask
from weft_compiler.intrinsic import body_signature, gemm_intrinsic
from xdsl.dialects.builtin import i8, i16, i32
from xdsl.dialects.linalg.ops import GenericOp

VTA = CONFIGS["vta"]


def convolution() -> GenericOp:
    module = conv_module(ConvTask(ic=2, oc=2, ih=4, iw=4, kh=3, kw=3), VTA)
    return next(op for op in module.walk() if isinstance(op, GenericOp))


def test_a_convolution_contains_the_intrinsic():
    maps = gemm_intrinsic(VTA).outer_maps(convolution())
    assert maps is not None
    assert [len(m.data.results) for m in maps] == [4, 4, 4]
    assert {m.data.num_dims for m in maps} == {7}


def test_other_blocks_or_element_types_do_not_match():
    for other in (replace(VTA, block_out=32), replace(VTA, batch=2), replace(VTA, inp_bits=16)):
        assert gemm_intrinsic(other).outer_maps(convolution()) is None


def test_body_signatures_compare_computations_not_names():
    first, second = multiply_accumulate(i8, i8, i32), multiply_accumulate(i8, i8, i32)
    assert body_signature(first.block) == body_signature(second.block)
    assert body_signature(first.block) != body_signature(multiply_accumulate(i16, i8, i32).block)
