import itertools
import random

import numpy as np
import pytest
from weft_compiler.dma import transfer_columns
from weft_compiler.errors import CompileError
from weft_compiler.streams import Transfer
from weft_hardware.isa import Memory


def transfer(shape, offsets, sizes, memory=Memory.INP) -> Transfer:
    def columns(rows):
        return tuple(np.array(column, np.int64) for column in zip(*rows, strict=True))

    return Transfer(
        memory=memory, level=0, shape=shape, offsets=columns(offsets), sizes=columns(sizes), slots=1, slot_tiles=0
    )


def run(columns, tensor, depth=4096):
    """What the DMA leaves in a scratchpad that was −2 everywhere; zeros are written as −1."""
    scratchpad = np.full(depth, -2)
    for k in range(len(columns["dram"])):
        f = {name: int(values[k]) for name, values in columns.items()}
        assert f["x_size"] > 0
        width = f["x_pad0"] + f["x_size"] + f["x_pad1"]
        block = np.full((f["y_pad0"] + f["y_size"] + f["y_pad1"], width), -1)
        for y in range(f["y_size"]):
            first = f["dram"] + y * f["x_stride"]
            block[f["y_pad0"] + y, f["x_pad0"] : f["x_pad0"] + f["x_size"]] = tensor.reshape(-1)[
                first : first + f["x_size"]
            ]
        scratchpad[f["sram"] : f["sram"] + block.size] = block.reshape(-1)
    return scratchpad


def box(tensor, offset, size):
    """The box element by element, −1 outside the tensor."""
    values = []
    for index in itertools.product(*(range(o, o + s) for o, s in zip(offset, size, strict=True))):
        inside = all(0 <= i < n for i, n in zip(index, tensor.shape, strict=True))
        values.append(int(tensor[index]) if inside else -1)
    return np.array(values)


def test_random_boxes_arrive_dense_with_zeros_around():
    for seed in range(200):
        print(f"seed {seed}")
        rng = random.Random(seed)
        shape = tuple(rng.choice([1, 1, 2, 3, 5]) for _ in range(4))
        tensor = np.arange(np.prod(shape)).reshape(shape)
        offsets, sizes = [], []
        for _ in range(4):
            size = [rng.randint(1, n) for n in shape]
            offset = [rng.randint(0, n - s) for n, s in zip(shape, size, strict=True)]
            for axis in (2, 3):
                offset[axis], size[axis] = rng.randint(-3, shape[axis] + 2), rng.randint(1, 4)
            offsets.append(offset)
            sizes.append(size)
        whole = transfer(shape, offsets, sizes)
        execution, columns = transfer_columns(whole, np.zeros(4, np.int64))
        for run_index in range(4):
            own = {name: values[execution == run_index] for name, values in columns.items()}
            expected = box(tensor, offsets[run_index], sizes[run_index])
            scratchpad = run(own, tensor)
            assert (scratchpad[: expected.size] == expected).all(), (shape, offsets[run_index], sizes[run_index])
            assert (scratchpad[expected.size :] == -2).all()


@pytest.mark.parametrize(
    ("shape", "size", "instructions"),
    [
        ((2, 3, 4, 5), (2, 3, 4, 5), 1),
        ((2, 3, 4, 5), (1, 2, 4, 5), 1),
        ((2, 3, 4, 5), (2, 2, 4, 5), 1),
        ((2, 3, 4, 5), (1, 3, 2, 5), 1),
        ((2, 3, 4, 5), (1, 1, 2, 2), 1),
        ((2, 3, 4, 5), (1, 3, 2, 2), 3),
        ((2, 3, 4, 5), (2, 3, 2, 2), 6),
    ],
)
def test_contiguous_dimensions_are_joined(shape, size, instructions):
    execution, _ = transfer_columns(transfer(shape, [(0, 0, 0, 0)], [size]), np.zeros(1, np.int64))
    assert len(execution) == instructions


def test_slots_offset_the_scratchpad():
    whole = transfer((4, 2), [(0, 0), (2, 0)], [(2, 2), (2, 2)])
    _, columns = transfer_columns(whole, np.array([0, 64]))
    assert columns["sram"].tolist() == [0, 64]
    assert columns["dram"].tolist() == [0, 4]


def test_padding_of_outer_dimensions_is_refused():
    with pytest.raises(
        CompileError, match=r"^inp tensor \(2, 3, 3, 3\) is padded in more than two dimensions; pad it on the host$"
    ):
        transfer_columns(transfer((2, 3, 3, 3), [(0, -1, 0, 0)], [(1, 2, 2, 2)]), np.zeros(1, np.int64))


def test_rows_too_far_apart_take_an_instruction_each():
    execution, columns = transfer_columns(transfer((3, 70000), [(0, 0)], [(3, 5)], Memory.ACC), np.zeros(1, np.int64))
    assert len(execution) == 3
    assert columns["dram"].tolist() == [0, 70000, 140000]
    assert columns["sram"].tolist() == [0, 5, 10]
