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
