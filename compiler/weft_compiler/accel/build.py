"""A scheduled kernel as a module that any device runs."""

from __future__ import annotations

from math import prod

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_runtime.module import Module
from weft_runtime.module_model import (
    DTYPES,
    AcceleratorStep,
    Buffer,
    Constant,
    Layer,
    ModuleContent,
    TensorInfo,
)

from ..errors import CompileError
from ..memory import alignment_of, round_up
from ..te import nest as te_nest
from ..te.nest import Nest
from ..te.schedule import Schedule
from .lower import lower_nest
from .stream import UOPS


class _Region:
    """The device's region, filled from its beginning."""

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.end = 0

    def place(self, nbytes: int) -> Buffer:
        buffer = Buffer("device", self.end, nbytes)
        self.end = round_up(self.end + nbytes, self.alignment)
        return buffer


def _check_tensor(buffer: te_nest.Buffer) -> None:
    if buffer.dtype not in DTYPES:
        raise CompileError(f"{buffer.name} is {buffer.dtype}, a module takes and gives {', '.join(DTYPES)}; cast it")


def build_kernel(schedule: Schedule | Nest, config: AcceleratorConfig, name: str = "kernel") -> Module:
    """Compile a schedule whose every stage is tensorized to one launch.

    Parameters
    ----------
    name : str
        Of the module's only layer.

    Returns
    -------
    Module
        Its inputs and outputs are the schedule's, by name and in order; ``module.run(device, *arrays)`` runs it.

    Raises
    ------
    CompileError
        If a stage is not tensorized, or the accelerator cannot hold or express what is asked for.
    """
    nest = schedule.lower() if isinstance(schedule, Schedule) else schedule
    for buffer in nest.buffers:
        _check_tensor(buffer)
    stream = lower_nest(nest, config)
    region = _Region(alignment_of(config))
    places = {b: region.place(prod(b.shape) * np.dtype(b.dtype).itemsize) for b in nest.buffers}
    uops = region.place(stream.kernels.encoded().nbytes)
    program = stream.emit({b.name: place.offset for b, place in places.items()} | {UOPS: uops.offset})
    words = program.instructions.astype("<u8")
    instructions = region.place(words.nbytes)
    constants = [Constant(f"{name}.instructions", instructions, words.tobytes())]
    if uops.nbytes:
        constants.append(Constant(f"{name}.uops", uops, program.uops.tobytes()))

    def infos(buffers: tuple[te_nest.Buffer, ...]) -> tuple[TensorInfo, ...]:
        return tuple(TensorInfo(b.name, b.shape, b.dtype, places[b]) for b in buffers)

    reads, writes = ([places[b] for b in buffers] for buffers in (nest.inputs, nest.outputs))
    step = AcceleratorStep(0, instructions, len(words), tuple(reads), tuple(writes))
    return Module(
        ModuleContent(
            config=config,
            inputs=infos(nest.inputs),
            outputs=infos(nest.outputs),
            region_bytes={"device": region.end, "host": 0},
            constants=tuple(constants),
            layers=(Layer(name, "kernel", "accelerator", "", stream.macs),),
            steps=(step,),
        )
    )
