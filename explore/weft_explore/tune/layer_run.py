"""A layer run by any device: what the compiler makes of a schedule, as a launch of its own."""

from __future__ import annotations

import numpy as np
from weft_compiler.accel.stream import UOPS
from weft_compiler.memory import round_up
from weft_compiler.tiling import Tiling
from weft_hardware.isa import Memory
from weft_runtime.device import Device, Launch
from weft_runtime.errors import DeviceError

from .timed_conv import TimedConv

PAGE = 4096
"""Bytes: no burst crosses a multiple."""


class LayerRun:
    """A layer on a device, tensors, micro-ops and program where `TimedConv` has them; its numbers are all zeros.

    Parameters
    ----------
    layer : TimedConv
        The layer and where it lies.
    """

    def __init__(self, layer: TimedConv, device: Device) -> None:
        self._layer, self._device = layer, device

    def cycles(self, tiling: Tiling | None) -> int:
        """Cycles of a schedule, the compiler's own if none is given.

        Raises
        ------
        CompileError
            If nothing can be made of it.
        DeviceError
            If the device counts no cycles.
        """
        layer, device = self._layer, self._device
        stream = layer.lowered(tiling).stream
        program = stream.emit(layer.offsets | {UOPS: layer.tensors_end})
        words = program.instructions.astype("<u8")
        address = layer.program_at(program.uops.nbytes)
        # Page-aligned: bursts end at the same addresses on every device.
        allocated = device.allocate(address + words.nbytes + PAGE)
        base = round_up(allocated, PAGE)
        try:
            for at, data in ((layer.tensors_end, program.uops), (address, words)):
                if data.nbytes:
                    device.write(base + at, np.frombuffer(data.tobytes(), np.uint8))
            report = device.launch(Launch(base + address, len(words), dict.fromkeys(Memory, base)))
        finally:
            device.free(allocated)
        if report.cycles is None:
            raise DeviceError(f"device {type(device).__name__} counts no cycles; measure on timing or tsim")
        return report.cycles
