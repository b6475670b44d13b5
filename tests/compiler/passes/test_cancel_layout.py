import numpy as np
import pytest
from support.qgraph_ir import apply, function, outline
from weft_compiler.dialects import qgraph
from weft_compiler.passes.cancel_layout import CancelLayout
from xdsl.dialects.builtin import ModuleOp

TILES = (1, 2, 6, 5, 1, 16)
IMAGES = (1, 20, 6, 5)


def between(
    *, out_shift: int = 0, in_shift: int = 0, pads: tuple[int, int, int, int] = (0, 0, 0, 0), read: bool = False
) -> ModuleOp:
    """Tiles unpacked and packed again; with ``read`` somebody else reads the images."""
    height, width = 6 + pads[0] + pads[2], 5 + pads[1] + pads[3]

    def body(emit, x):
        images = emit(qgraph.UnpackOp(x, shift=out_shift, rows=False, y=qgraph.tensor_type(IMAGES, np.int8)))
        packed = emit(
            qgraph.PackOp(
                images,
                shift=in_shift,
                pad_value=3,
                pads=pads,
                rows=False,
                y=qgraph.tensor_type((1, 2, height, width, 1, 16), np.int8),
            )
        )
        if read:
            emit(qgraph.ClampOp(images, 0, 5))
        return packed

    return function([qgraph.tensor_type(TILES, np.int8)], body)


def test_the_same_layout_is_passed_on() -> None:
    assert outline(apply(CancelLayout(), between())) == ["return a0"]
    assert outline(apply(CancelLayout(), between(out_shift=128, in_shift=128))) == ["return a0"]


def test_other_readers_keep_the_images() -> None:
    assert outline(apply(CancelLayout(), between(read=True))) == ["v0 = unpack(a0)", "v1 = clamp(v0)", "return a0"]


@pytest.mark.parametrize("change", [{"in_shift": 128}, {"pads": (1, 0, 0, 0)}])
def test_another_layout_is_left_alone(change: dict) -> None:
    expected = ["v0 = unpack(a0)", "v1 = pack(v0)", "return v1"]
    assert outline(apply(CancelLayout(), between(**change))) == expected


@pytest.mark.parametrize(("images", "expected"), [(1, ["return a0"]), (2, None)])
def test_one_row_of_a_matrix_is_one_pixel_of_one_image(images, expected) -> None:
    """(N, C, 1, 1) viewed as (N, C): of several images the tiles come in another order."""

    def body(emit, x):
        y = qgraph.tensor_type((images, 20, 1, 1), np.int8)
        unpacked = emit(qgraph.UnpackOp(x, shift=0, rows=False, y=y))
        rows = emit(qgraph.ReshapeOp(unpacked, (images, 20)))
        tiles = qgraph.tensor_type((1, 2, 1, images, 1, 16), np.int8)
        return emit(qgraph.PackOp(rows, shift=0, pad_value=0, pads=(0,) * 4, rows=True, y=tiles))

    module = function([qgraph.tensor_type((images, 2, 1, 1, 1, 16), np.int8)], body)
    lines = outline(apply(CancelLayout(), module))
    assert lines == (expected or ["v0 = unpack(a0)", "v1 = reshape(v0)", "v2 = pack(v1)", "return v2"])
