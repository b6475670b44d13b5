"""Convolutions one after another as a module: each layer a launch, or all of them one program."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from weft_compiler.accel.convolution import INP, OUT, PARAM, RESIDUAL, WGT
from weft_compiler.accel.intrinsics.requantise import registers_of
from weft_compiler.accel.link import Linked, Part
from weft_compiler.conv_task import Addition, ConvTask, Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.tasks import lowered
from weft_hardware.config import AcceleratorConfig
from weft_runtime.module import Module
from weft_runtime.module_model import AcceleratorStep, Buffer, Constant, Layer, ModuleContent, TensorInfo
from weft_runtime.module_model import Part as StepPart

PLACES = 3
"""Activations take turns in so many buffers: a result overwrites what was read two layers before."""


@dataclass
class Chain:
    """The layers, and where everything lies."""

    config: AcceleratorConfig
    parts: list[Part]
    constants: list[Constant]
    activations: list[Buffer]
    end: int

    def module(self, groups: Sequence[Sequence[int]]) -> Module:
        """A module of one launch for each group of layers; its output is all of the last buffers."""
        constants, end, steps = list(self.constants), self.end, []

        def place(name: str, values: np.ndarray) -> Buffer:
            nonlocal end
            data = np.ascontiguousarray(values).tobytes()
            buffer = Buffer("device", end, len(data))
            constants.append(Constant(name, buffer, data))
            end += -(-len(data) // 4096) * 4096
            return buffer

        for group in groups:
            linked = Linked([self.parts[k] for k in group], self.config)
            uops = [place(f"{group}.{k}.uops", u).offset if u.nbytes else 0 for k, u in enumerate(linked.uops)]
            words = linked.encode(uops).astype("<u8")
            parts = tuple(StepPart(k, *map(int, counts)) for k, counts in zip(group, linked.counts, strict=True))
            stream = place(f"{group}.instructions", words)
            everything = tuple(self.activations)
            steps.append(
                AcceleratorStep(group[0], stream, len(words), everything, everything, parts if len(parts) > 1 else ())
            )
        first, *_ = self.activations
        infos = [TensorInfo(f"a{k}", (b.nbytes,), "int8", b) for k, b in enumerate(self.activations)]
        layers = tuple(Layer(f"layer{k}", "conv", "accelerator", "", 0) for k in range(len(self.parts)))
        return Module(
            ModuleContent(
                config=self.config, inputs=(replace(infos[0], buffer=first),), outputs=tuple(infos),
                region_bytes={"device": end, "host": 0}, constants=tuple(constants), layers=layers, steps=tuple(steps),
            )
        )  # fmt: skip


def random_chain(rng: random.Random, config: AcceleratorConfig, count: int, most: int = 4000, size: int = 9) -> Chain:
    """Layers of random windows, each reading the one before; some add what was read two layers before."""
    tasks: list[ConvTask] = []
    channels, height, width = rng.randint(1, 3), rng.randint(2, size), rng.randint(2, size)
    n = rng.randint(1, 2)
    while len(tasks) < count:
        kernel = rng.choice([1, 1, 3])
        pad = kernel // 2 if rng.random() < 0.7 else 0
        low = rng.randint(-128, 0)
        how = Requantisation(zero_point=rng.randint(-9, 9), low=low, high=rng.randint(low, 127))
        if rng.random() < 0.3:
            how = Requantisation()
        same = (tasks and kernel == 1) or pad
        stride = 1 if same else rng.randint(1, 2)
        outputs = channels if same and rng.random() < 0.6 else rng.randint(1, 3)
        if config.residual and tasks and stride == 1 and (outputs == channels) and same:
            how = replace(how, addition=Addition(scale=0.5, residual_scale=0.75, offset=1.0, low=-100, high=99))
        value = rng.randint(-128, 127) if config.pad_value and pad else 0
        try:
            task = ConvTask(
                n=n, ic=channels, oc=outputs, ih=height, iw=width, kh=kernel, kw=kernel, stride=(stride, stride),
                pads=(pad,) * 4, pad_value=value, requantisation=how,
            )  # fmt: skip
            lowered(task, config)
        except CompileError:
            continue
        if task.macs <= most:
            tasks.append(task)
            channels, height, width = task.oc, task.oh, task.ow
    return _placed(tasks, config, np.random.default_rng(rng.randrange(1 << 30)))


def _placed(tasks: Sequence[ConvTask], config: AcceleratorConfig, rng: np.random.Generator) -> Chain:
    each = config.batch * config.block_in
    sizes = [t.n * t.ic * t.ih * t.iw * each for t in tasks] + [
        tasks[-1].n * tasks[-1].oc * tasks[-1].oh * tasks[-1].ow * each
    ]
    room = -(-max(sizes) // 4096) * 4096
    activations = [Buffer("device", k * room, room) for k in range(PLACES)]
    end, constants, parts = PLACES * room, [], []

    def constant(name: str, values: np.ndarray) -> int:
        nonlocal end
        data = values.tobytes()
        constants.append(Constant(name, Buffer("device", end, len(data)), data))
        at, end = end, end + -(-len(data) // 4096) * 4096
        return at

    for k, task in enumerate(tasks):
        shape = (task.oc, task.ic, task.kh, task.kw, config.block_out, config.block_in)
        weights = rng.integers(-128, 128, shape, np.int8)
        params = np.zeros((task.oc, config.block_out, 2), np.int32)
        params[..., 0] = rng.integers(-500, 500, params.shape[:2])
        params.view(np.float32)[..., 1] = rng.uniform(0.5, 2, params.shape[:2]) / prod(shape[1:4]) / 50
        before, here, after = (activations[j % PLACES].offset for j in (k - 1, k, k + 1))
        offsets: dict[str, Any] = {
            INP: here,
            OUT: after,
            WGT: constant(f"w{k}", weights),
            PARAM: constant(f"p{k}", params),
        }
        # What is added: the layer's own input lies as its result does.
        offsets[RESIDUAL] = here if k == 0 or task.ic == task.oc else before
        how = task.requantisation
        assert how is not None
        parts.append(Part(lowered(task, config).stream, offsets, registers_of(how)))
    return Chain(config, parts, constants, activations, end)
