from dataclasses import replace

import pytest
from weft_compiler.conv_task import ConvTask, Requantisation
from weft_compiler.tiling import even_splits, extents, parameter_level, used_share
from weft_hardware.isa import Memory
from weft_hardware.presets import VTA


def test_even_splits_shrink_and_waste_nothing():
    for extent in range(1, 200):
        sizes = even_splits(extent)
        assert sizes == sorted({-(-extent // count) for count in range(1, extent + 1)}, reverse=True)


@pytest.mark.parametrize(("whole", "tile", "share"), [(16, 8, 1.0), (16, 6, 16 / 18), (7, 7, 1.0)])
def test_a_smaller_last_tile_leaves_room_in_its_buffer(whole, tile, share):
    assert used_share(Memory.WGT, ("y", "oc"), {"y": 14, "oc": whole}, {"y": 3, "oc": tile}) == share


DENSE = ConvTask(ic=16, oc=32, ih=14, iw=14, kh=1, kw=1, requantisation=Requantisation())
STORING = ConvTask(ic=1, oc=7, ih=1, iw=197, kh=1, kw=1, requantisation=Requantisation())


@pytest.mark.parametrize(
    ("task", "order", "param_depth", "level"),
    [
        pytest.param(DENSE, ("oc", "y"), DENSE.outputs, 1, id="as few as never come twice"),
        pytest.param(DENSE, ("y", "oc"), DENSE.outputs, 0, id="rows outside: all at once"),
        pytest.param(DENSE, ("y", "oc", "x"), DENSE.outputs - 1, 2, id="no room for all: inside their loops"),
        pytest.param(STORING, ("oc",), STORING.outputs, 0, id="stores take longest: all at once"),
    ],
)
def test_where_parameters_are_loaded(task, order, param_depth, level):
    tiles = extents(task) | dict.fromkeys(order, 1)
    assert parameter_level(task, order, tiles, replace(VTA, param_depth=param_depth)) == level
