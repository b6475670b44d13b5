"""The functional simulator's scratchpads and queue registers, and the state array that shows them to the kernels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import QUEUE_REGISTERS, Memory
from weft_runtime.dram import Dram

from .kernel import MEMORY_STATE, STATE, Packing, memory_slot

_FAR = 1 << 62
"""Offset, in bytes, that no address in a simulated DRAM has."""


def _zeros(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray:
    """Zeros that start a cache line, so that no vector of a tile crosses into another."""
    nbytes = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.zeros(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes].view(kind).reshape(shape)


class Scratchpads:
    """On-chip memories, zero at power-up, kept between launches; see `kernels` for how operands lie in them."""

    def __init__(self, config: AcceleratorConfig, packing: Packing, dram: Dram) -> None:
        self._dram = dram
        operand = {8: np.int8, 16: np.int16}
        inp, wgt = operand[packing.inp_bits], operand[packing.wgt_bits]
        uop = config.uop_depth
        self.arrays: dict[str, NDArray] = {
            "uop_dst": _zeros((uop,), np.uint32),
            "uop_src": _zeros((uop,), np.uint32),
            "uop_wgt": _zeros((uop,), np.uint32),
            "inp": _zeros((config.inp_depth, config.batch, config.block_in), inp),
            "inp_sums": _zeros((config.inp_depth, config.batch), np.int32),
            "wgt": _zeros((config.wgt_depth, config.block_out * config.block_in), wgt),
            "acc": _zeros((config.acc_depth, config.batch, config.block_out), np.int32),
            "bias": _zeros((config.param_depth, config.block_out), np.int32),
            "scale": _zeros((config.param_depth, config.block_out), np.float32),
            "table": _zeros((256,), np.uint8),
            "registers": _zeros((max(QUEUE_REGISTERS) + 1,), np.int64),
        }
        if packing.wgt_offset:
            self.arrays["wgt"].view(np.uint8)[:] = packing.wgt_offset
        self.state = np.zeros(len(STATE) + len(MEMORY_STATE) * len(Memory), np.int64)
        self.state[: len(self.arrays)] = [array.ctypes.data for array in self.arrays.values()]

    def bind(self, bases: Mapping[Memory, int], windows: Mapping[Memory, tuple[int, int]]) -> None:
        """Begin a launch: queue registers at their initial values, base registers and windows, in bytes.

        Every window lies in the DRAM.
        """
        for register, declared in QUEUE_REGISTERS.items():
            self.arrays["registers"][register] = declared.initial
        dram = self._dram
        self.state[STATE.index("dram")] = dram.data.ctypes.data
        for memory in Memory:
            begin, end = windows[memory]
            values = {"base": bases.get(memory, 0), "window_begin": begin, "window_end": end}
            for name, value in values.items():
                self.state[memory_slot(memory, name)] = max(-_FAR, min(value - dram.base, _FAR))
