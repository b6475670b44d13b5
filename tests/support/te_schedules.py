"""Random schedules: primitives drawn at random, those that are refused left out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_compiler import te
from weft_compiler.errors import ScheduleError

Array = NDArray[Any]


def random_schedule(rng: random.Random, outputs: tuple[te.Tensor, ...], taken: Counter[str]) -> te.Schedule:
    """A schedule of some steps; each is counted as taken or refused. A refused one must leave no trace."""
    s = te.Schedule(outputs)
    random_steps(rng, s, rng.randint(2, 24), taken)
    return s


def random_steps(
    rng: random.Random, s: te.Schedule, count: int, taken: Counter[str], names: Sequence[str] | None = None
) -> None:
    """Draw steps, of all or of some kinds, and take those that are legal."""
    steps = [step for step in _STEPS if names is None or step[0] in names]
    for _ in range(count):
        name, step = rng.choice(steps)
        before, length = s.program, len(s.trace)
        try:
            step(rng, s)
            taken[name] += 1
        except ScheduleError:
            assert s.program is before or len(s.trace) > length
            taken[f"{name} refused"] += 1


def _stage(rng: random.Random, s: te.Schedule) -> te.Stage:
    return rng.choice(s.stages)


def _neighbours(rng: random.Random, stage: te.Stage) -> tuple[te.Axis, te.Axis]:
    """Two loops of which one lies directly inside the other; twice the same if there is one only."""
    k = rng.randrange(len(stage.leaves))
    return stage.leaves[k], stage.leaves[min(k + 1, len(stage.leaves) - 1)]


def _split(rng, s):
    stage = _stage(rng, s)
    size = rng.randint(1, 6)
    stage.split(rng.choice(stage.leaves), **{rng.choice(["factor", "nparts"]): size})


def _reorder(rng, s):
    stage = _stage(rng, s)
    stage.reorder(*rng.sample(stage.leaves, rng.randint(1, len(stage.leaves))))


def _fuse(rng, s):
    stage = _stage(rng, s)
    stage.fuse(*_neighbours(rng, stage))


def _tile(rng, s):
    stage = _stage(rng, s)
    stage.tile(*_neighbours(rng, stage), rng.randint(1, 5), rng.randint(1, 5))


def _cache_read(rng, s):
    tensors = [*s.program.inputs, *(stage.tensor for stage in s.stages)]
    tensor = rng.choice(tensors)
    consumers = [c.tensor for c in s.program.consumers(tensor)]
    readers = rng.sample(consumers, rng.randint(1, len(consumers))) if consumers and rng.random() < 0.5 else None
    s.cache_read(tensor, rng.choice(["local", "inp", "wgt"]), readers)


def _cache_write(rng, s):
    s.cache_write(_stage(rng, s).tensor, rng.choice(["local", "acc"]))


def _compute_at(rng, s):
    stage = _stage(rng, s)
    consumers = s.program.consumers(stage.tensor)
    where = rng.choice(consumers) if consumers and rng.random() < 0.9 else _stage(rng, s).state
    stage.compute_at(where.tensor, rng.choice(where.leaves))


def _mark(kind):
    def step(rng, s):
        stage = _stage(rng, s)
        leaves = {"parallel": stage.leaves[:1], "vectorize": stage.leaves[-1:]}.get(kind, stage.leaves)
        getattr(stage, kind)(rng.choice(leaves))

    return step


def _pack(rng, s):
    stage = _stage(rng, s)
    axes = rng.sample(stage.axes, rng.randint(1, len(stage.axes)))
    stage.pack(*((axis, rng.choice([d for d in range(1, 5) if axis.extent % d == 0])) for axis in axes))


def _tile_reductions(rng, s):
    """Split a reduction and put its outer part outside, as kernels do."""
    stage = _stage(rng, s)
    if stage.reduce_axes:
        outer, _ = stage.split(stage.reduce_axes[0], rng.randint(1, 4))
        others = [leaf for leaf in stage.leaves if leaf is not outer]
        stage.reorder(outer, *others)


_STEPS = [
    *[("split", _split)] * 4,
    *[("reorder", _reorder)] * 3,
    *[("compute_at", _compute_at)] * 6,
    *[("cache_read", _cache_read)] * 2,
    *[("cache_write", _cache_write)] * 2,
    ("fuse", _fuse),
    ("fuse", _fuse),
    ("pack", _pack),
    ("tile reductions", _tile_reductions),
    ("tile", _tile),
    ("compute_inline", lambda rng, s: _stage(rng, s).compute_inline()),
    ("set_scope", lambda rng, s: _stage(rng, s).set_scope(rng.choice(["local", "acc", "global"]))),
    ("double_buffer", lambda rng, s: _stage(rng, s).double_buffer()),
    *((kind, _mark(kind)) for kind in ("parallel", "vectorize", "unroll", "virtual_thread", "pipeline")),
]


def random_inputs(rng: np.random.Generator, schedule: te.Schedule) -> dict[te.Tensor, Array]:
    """Values of every input over its whole range, extremes more often than by chance."""
    values = {}
    for tensor in schedule.program.inputs:
        dtype = np.dtype(tensor.dtype)
        if dtype == np.float32:
            array = rng.normal(0, 10, tensor.shape).astype(np.float32)
            special = np.float32([0.0, -0.0, 1e8, -1e8, 127.5, -128.5])
        else:
            info = np.iinfo(dtype)
            array = rng.integers(info.min, info.max, tensor.shape, dtype, endpoint=True)
            special = np.array([info.min, info.max, 0, 1], dtype)
        chosen = rng.random(tensor.shape) < 0.1
        array[chosen] = rng.choice(special, int(chosen.sum()))
        values[tensor] = array
    return values
