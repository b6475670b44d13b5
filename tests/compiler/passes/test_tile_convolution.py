import re

from support.convolution import CONFIGS
from weft_compiler.conv_ir import conv_module
from weft_compiler.conv_task import ConvTask
from weft_compiler.passes.tile_convolution import SPACES, TileConvolution
from weft_compiler.tiling import REDUCTION, Tiling, extents, footprint
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

TASK = ConvTask(ic=2, oc=3, ih=5, iw=4, kh=3, kw=3, stride=(2, 1), pads=(1, 1, 1, 1))


def tiled(task=TASK, order=("n", "y", "x", "oc"), slots=2, **tiles) -> str:
    sizes = {**extents(task), **tiles}
    tiling = Tiling(order=order + REDUCTION, extents=extents(task), tiles=sizes, slots=dict.fromkeys(SPACES, slots))
    module = conv_module(task, CONFIGS["vta"])
    TileConvolution(tiling, footprint(task, sizes)).apply(Context(), module)
    module.verify()
    return str(module)


def in_order(text: str, *patterns: str) -> None:
    """Each pattern matches somewhere behind the one before."""
    position = 0
    for pattern in patterns:
        match = re.compile(pattern).search(text, position)
        assert match, f"{pattern!r} not found behind character {position} of\n{text}"
        position = match.end()


def test_loops_buffers_and_dma_of_a_tile():
    in_order(
        tiled(y=2, oc=1),
        r'%inp_buffer = memref.alloc\(\) : memref<2x60x1x16xi8, "inp">',
        r'%wgt_buffer = memref.alloc\(\) : memref<2x18x16x16xi8, "wgt">',
        r'%acc_buffer = memref.alloc\(\) : memref<2x8x1x16xi32, "acc">',
        r"scf.for %y = %c0 to %c3 step %c2",
        r"affine.min affine_map<\(d0\) -> \(2, \(\(d0 \* -1\) \+ 3\)\)> \(%y\)",
        r"%inp, %\d+ = accel.load %0\[%c0, %c0, %\d+, %minus1\]",
        r'memref<1x2x\?x6x1x16xi8, "inp">',
        r"scf.for %oc = %c0 to %c3 step %c1",
        r'%acc = accel.tile .* memref<1x1x\?x4x1x16xi32, "acc">',
        r"linalg.fill",
        r"%wgt, %\d+ = accel.load %1\[%oc, %c0, %c0, %c0\] \[%c1, %c2, %c3, %c3\]",
        r"linalg.generic .* ins\(%inp, %wgt",
        r"accel.store %acc to %2\[%c0, %oc, %y, %c0\]",
    )


def test_input_offsets_carry_stride_and_padding():
    assert "affine.apply affine_map<(d0) -> (((d0 * 2) + -1))> (%y)" in tiled(y=1)


def test_what_stays_is_not_moved_again():
    text = tiled(oc=1, order=("oc", "n", "y", "x"))
    in_order(text, r"accel.load %0", r"scf.for %oc", r"accel.load %1")
    assert text.count("scf.for") == 1


def test_a_split_reduction_resets_and_stores_outside_its_loop():
    in_order(
        tiled(ic=1), r"linalg.fill", r"scf.for %ic", r"accel.load", r"accel.load", r"linalg.generic", r"accel.store"
    )


def test_one_tile_needs_no_loop():
    assert "scf.for" not in tiled()


def test_other_functions_are_left_alone():
    module = ModuleOp([])
    TileConvolution(Tiling(order=("n",), extents={"n": 1}, tiles={"n": 1}, slots={}), {}).apply(Context(), module)
    assert str(module) == str(ModuleOp([]))


def test_nothing_of_the_whole_tensor_form_remains():
    text = tiled(y=1)
    assert "accel.pad" not in text
    assert text.count("linalg.fill") == text.count("linalg.generic") == 1
