import numpy as np
from support.qgraph_ir import apply, function
from weft_compiler.dialects import floats, movement, qgraph
from weft_compiler.passes.plan_memory import REGION_BYTES, PlanMemory, alignment_of, main_function, place_of
from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp

CONFIG = AcceleratorConfig()
X = qgraph.tensor_type((100,), np.float32)


def region_bytes(module: ModuleOp) -> dict[str, int]:
    sizes = main_function(module).attributes[REGION_BYTES]
    assert isinstance(sizes, DictionaryAttr)
    return {name: size.value.data for name, size in sizes.data.items()}  # type: ignore[attr-defined]


def test_a_chain_uses_two_places_in_turn() -> None:
    def body(emit, x):
        for _ in range(5):
            x = emit(qgraph.ReluOp(x))
        return x

    module = apply(PlanMemory(CONFIG), function([X], body))
    places = [place_of(op.results[0]).offset for op in main_function(module).body.block.ops if op.results]
    assert places == [512, 0, 512, 0, 512]
    assert region_bytes(module) == {"device": 0, "host": 1024}


def test_a_value_that_is_read_later_keeps_its_place() -> None:
    def body(emit, x):
        kept = emit(qgraph.ReluOp(x))
        y = emit(qgraph.ReluOp(emit(qgraph.ReluOp(kept))))
        return emit(floats.BinaryOp("add", y, kept))

    module = apply(PlanMemory(CONFIG), function([X], body))
    kept, *rest = [op.results[0] for op in main_function(module).body.block.ops if op.results]
    assert all(place_of(value).offset != place_of(kept).offset for value in rest)


def test_a_reshape_shares_its_sources_place() -> None:
    module = function([X], lambda emit, x: emit(qgraph.ReluOp(emit(qgraph.ReshapeOp(x, (10, 10))))))
    apply(PlanMemory(CONFIG), module)
    block = main_function(module).body.block
    reshape = block.first_op
    assert isinstance(reshape, qgraph.ReshapeOp)
    assert place_of(reshape.y) == place_of(block.args[0])


def test_constants_are_never_overwritten() -> None:
    def body(emit, x):
        constant = emit(qgraph.ConstantOp(np.ones(100, np.float32)))
        x = emit(floats.BinaryOp("add", x, constant))
        for _ in range(4):
            x = emit(qgraph.ReluOp(x))
        return x

    module = apply(PlanMemory(CONFIG), function([X], body))
    ops = [op for op in main_function(module).body.block.ops if op.results]
    constant = place_of(ops[0].results[0])
    assert all(place_of(op.results[0]).offset >= constant.offset + constant.nbytes for op in ops[1:])


def test_what_the_accelerator_touches_lies_on_the_device_at_whole_tiles() -> None:
    x_type = qgraph.tensor_type((1, 1, 4, 4, 1, 16), np.int8)
    y_type = qgraph.tensor_type((1, 1, 4, 4, 1, 16), np.int32)

    def body(emit, x):
        w = emit(qgraph.ConstantOp(np.zeros((1, 1, 1, 1, 16, 16), np.int8)))
        return emit(qgraph.AccumulateOp(x, w, qgraph.window_properties((1, 1), (0,) * 4, (1, 1)), y_type))

    module = apply(PlanMemory(CONFIG), function([x_type], body))
    block = main_function(module).body.block
    places = [place_of(block.args[0]), *(place_of(op.results[0]) for op in block.ops if op.results)]
    assert {place.region for place in places} == {"device"}
    assert all(place.offset % alignment_of(CONFIG) == 0 for place in places)
    assert alignment_of(CONFIG) == 256


def test_what_is_written_beside_a_launch_takes_nothing_of_its_memory() -> None:
    tiles, sums = (1, 1, 4, 4, 1, 16), qgraph.tensor_type((1, 1, 1, 1, 1, 16), np.int32)

    def packed(emit, x):
        y = qgraph.tensor_type(tiles, np.int8)
        return emit(qgraph.PackOp(x, shift=0, pad_value=0, pads=(0, 0, 0, 0), rows=False, y=y))

    def body(emit, x, other):
        w = emit(qgraph.ConstantOp(np.zeros((1, 1, 1, 1, 16, 16), np.int8)))
        window = qgraph.window_properties((1, 1), (0, 0, 0, 0), (1, 1))
        first = emit(qgraph.AccumulateOp(packed(emit, x), w, window, sums))
        second = emit(qgraph.AccumulateOp(packed(emit, other), w, window, sums))
        return emit(movement.ConcatOp([first, second], 1))

    image = qgraph.tensor_type((1, 16, 4, 4), np.int8)
    module = apply(PlanMemory(CONFIG), function([image, image], body))
    packs = [op for op in main_function(module).body.block.ops if isinstance(op, qgraph.PackOp)]
    assert ["beside" in op.attributes for op in packs] == [False, True]
    assert place_of(packs[0].y).offset != place_of(packs[1].y).offset
