"""From a convolution task to an encoded program, through tile loops."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory
from xdsl.dialects.builtin import ModuleOp

from .conv_task import ConvTask
from .emit import Emitter, Program
from .errors import CompileError
from .streams import Contraction, Streams, Transfer
from .tiling import Tiling, choose_tiling, footprint


@dataclass(frozen=True)
class LoweredConv:
    """A convolution ready to be placed in memory.

    Parameters
    ----------
    stages : dict
        The IR after each pass, for printing.
    """

    task: ConvTask
    config: AcceleratorConfig
    tiling: Tiling
    emitter: Emitter
    stages: dict[str, ModuleOp] = field(default_factory=dict)

    @cached_property
    def uop_bytes(self) -> int:
        """Bytes of the micro-code in DRAM."""
        return self.emitter.compute[1].uops.nbytes

    def emit(self, inp_offset: int, wgt_offset: int, out_offset: int, uop_offset: int) -> Program:
        """Encode the program for buffers at byte offsets from the base registers of INP, WGT, ACC and UOP.

        Raises
        ------
        CompileError
            If an offset is no whole number of tiles.
        """
        offsets = {Memory.INP: inp_offset, Memory.WGT: wgt_offset, Memory.ACC: out_offset, Memory.UOP: uop_offset}
        return self.emitter.emit(offsets)


def lower_conv(task: ConvTask, config: AcceleratorConfig) -> LoweredConv:
    """Choose a schedule and lower a convolution to instructions.

    Raises
    ------
    CompileError
        If the configuration cannot run it: nothing fits, or padding and strides exceed the DMA's fields.
    """
    if not config.raw_store:
        raise CompileError("raw_store = False: accumulators cannot leave the accelerator whole; enable raw_store")
    if task.pool is not None:
        raise CompileError("a pool after a convolution is not lowered to the accelerator; run it on the host")
    tiling = choose_tiling(task, config)
    emitter = Emitter(_streams(task, tiling), config)
    emitter.rows  # noqa: B018, refuses here what the instructions cannot express
    return LoweredConv(task, config, tiling, emitter)


def _streams(task, T):
    nest = T.nest
    trips = tuple(T.trips(l) for l in nest)
    S = prod(trips)
    idx = dict(zip(nest, np.indices(trips).reshape(len(trips), -1))) if trips else {}
    z = np.zeros(S, np.int64)
    iv = {l: idx.get(l, z) * T.tiles[l] for l in T.order}
    a = {l: np.minimum(T.tiles[l], T.extents[l] - iv[l]) for l in T.order}
    sy, sx = task.stride
    dy, dx = task.dilation
    rows = (a["y"] - 1) * sy + (a["ky"] - 1) * dy + 1
    cols = (a["x"] - 1) * sx + (a["kx"] - 1) * dx + 1
    o = np.ones(S, np.int64)
    need = footprint(task, T.tiles)

    def tr(m, shape, off, size):
        lv = T.level(m)
        b = prod(trips[lv:])
        return Transfer(
            memory=m,
            level=lv,
            shape=shape,
            offsets=tuple(x[::b] for x in off),
            sizes=tuple(x[::b] for x in size),
            slots=T.slots[m],
            slot_tiles=need[m],
        )

    inp = tr(
        Memory.INP,
        (task.n, task.ic, task.ih, task.iw),
        (iv["n"], iv["ic"], iv["y"] * sy + iv["ky"] * dy - task.pads[0], iv["x"] * sx + iv["kx"] * dx - task.pads[1]),
        (a["n"], a["ic"], rows, cols),
    )
    wgt = tr(
        Memory.WGT,
        (task.oc, task.ic, task.kh, task.kw),
        (iv["oc"], iv["ic"], iv["ky"], iv["kx"]),
        (a["oc"], a["ic"], a["ky"], a["kx"]),
    )
    acc = tr(
        Memory.ACC,
        (task.n, task.oc, task.oh, task.ow),
        (iv["n"], iv["oc"], iv["y"], iv["x"]),
        (a["n"], a["oc"], a["y"], a["x"]),
    )
    d = dict(n=0, oc=1, y=2, x=3, ic=4, ky=5, kx=6)
    names = ("n", "oc", "y", "x", "ic", "ky", "kx")
    dst = dict(n=a["oc"] * a["y"] * a["x"], oc=a["y"] * a["x"], y=a["x"], x=o)
    src = dict(n=a["ic"] * rows * cols, ic=rows * cols, y=sy * cols, x=sx * o, ky=dy * cols, kx=dx * o)
    wg = dict(oc=a["ic"] * a["ky"] * a["kx"], ic=a["ky"] * a["kx"], ky=a["kx"], kx=o)
    con = Contraction(
        bounds=tuple(a[n] for n in names),
        dst=tuple(dst.get(n, z) for n in names),
        src=tuple(src.get(n, z) for n in names),
        wgt=tuple(wg.get(n, z) for n in names),
    )
    return Streams(trips=trips, loads=(wgt, inp), contraction=con, store=acc)
