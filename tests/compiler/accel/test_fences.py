"""What fences move: no instruction reads other tiles than before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from support.block_networks import block_network
from support.compiling import compile_model
from weft_compiler import CompileOptions
from weft_compiler.accel import link
from weft_compiler.accel.line import Line
from weft_explore.tune.conv_problem import ConvProblem
from weft_explore.tune.network import layers_of
from weft_hardware.presets import VTA

Reads = dict[tuple[int, int, int], tuple[int, ...]]


def reads(line: Line) -> Reads:
    """By instruction, memory and first tile of a range that is read: the numbers of those who wrote it last."""
    place, done = line.place(), 0
    touched: list[tuple[int, bool, int, int, int, int]] = []
    for piece in line.pieces:
        for touch in piece.rows.touches:
            for k, (begin, end) in enumerate(zip(touch.first.tolist(), touch.end.tolist(), strict=True), done):
                touched.append((int(place[k]), touch.writes, k, int(touch.memory), begin, end))
        done += len(piece.rows)
    written: dict[int, NDArray[np.int64]] = {}
    found: Reads = {}
    # An instruction reads before it writes.
    for _, writes, who, memory, begin, end in sorted(touched):
        tiles = written.setdefault(memory, np.full(1 << 14, -1))
        if writes:
            tiles[begin:end] = who
        else:
            found[who, memory, begin] = tuple(tiles[begin:end].tolist())
    return found


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Reads, Reads]]:
    """What was read of every line without fences and with them."""
    lines: list[tuple[Reads, Reads]] = []
    order = link.order_memory

    def order_and_look(line: Line, *rest: object) -> None:
        before = reads(line)
        order(line, *rest)
        lines.append((before, reads(line)))

    monkeypatch.setattr(link, "order_memory", order_and_look)
    return lines


def assert_same(lines: Sequence[tuple[Reads, Reads]]) -> None:
    assert lines
    for before, after in lines:
        assert before
        assert {read: after[read] for read in before} == before


@pytest.mark.parametrize("seed", [116, 118, 124])
def test_schedules_drawn_at_random(seed: int, seen: list[tuple[Reads, Reads]]) -> None:
    """116 and 124: tiles of weights that several GEMMs use; 118: loaded twice before anything uses them."""
    model, _ = block_network(seed)
    rng = np.random.default_rng(seed)
    problems = [ConvProblem(layer.task, VTA, name=layer.name) for layer in layers_of(model, VTA, CompileOptions())]
    chosen = {problem.layer: problem.sample(rng).to_json() for problem in problems}
    compile_model(model, VTA, CompileOptions(schedules=chosen))
    assert_same(seen)
