"""Cycles of programs that lie in no memory: whoever knows what a program does need not encode it first."""

from __future__ import annotations

import threading

import numpy as np
from weft_hardware import latencies
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Queue, instruction_bytes

from ..tsim.model import MemoryTiming
from . import state
from .machine import run
from .parameters import machine_at_rest
from .program import TimedProgram

LOOKS = 32
"""How often a program is asked whether it can still be fast enough."""


def started(machine: state.Records, timed: TimedProgram, uops: state.Records) -> None:
    """Give a machine at rest a program; ``uops`` is its micro-op buffer."""
    s = machine[0]
    s["program"], s["fetched"] = timed.records.ctypes.data, timed.fetched.ctypes.data
    s["uops"], s["loaded_uops"] = uops.ctypes.data, timed.loaded_uops.ctypes.data
    s["modules"]["offset"] = np.searchsorted(timed.records["queue"], np.arange(len(Queue)))
    s["parameters"]["instructions"] = len(timed.fetched)


def done_at(s: np.void) -> int:
    """The cycle of *done*: `control` looks at the modules' counts, registered twice, and at units that are drained."""
    return int(
        max(
            s["modules"]["last_retire"].max() + latencies.RETIRE_TO_DONE,
            s["steps"]["last_step"] + latencies.DATAPATH_LATENCY,
            s["fetching"]["last_dispatch"] + 1,
            s["port"]["last_end"] + 1,
        )
    )


class Predictor:
    """Predicts programs of one configuration and memory, in several threads if need be.

    Activities are not counted.

    Parameters
    ----------
    memory : MemoryTiming, optional
        How the memory answers: latencies only.
    """

    def __init__(self, config: AcceleratorConfig, memory: MemoryTiming | None = None) -> None:
        self._config = config
        self._at_rest = machine_at_rest(config, memory or MemoryTiming())
        self._at_rest[0]["parameters"]["counts"] = 0
        self._own = threading.local()

    def _buffers(self) -> tuple[state.Records, state.Records]:
        """A machine and a micro-op buffer of this thread's: new pages would cost more than the copy."""
        if not hasattr(self._own, "buffers"):
            self._own.buffers = self._at_rest.copy(), np.zeros(self._config.uop_depth, state.UOP)
        return self._own.buffers

    def cycles(
        self, timed: TimedProgram, insn_address: int, window: tuple[int, int], most: int = state.NEVER
    ) -> int | None:
        """Cycles of a sound program; None if it faults or hangs.

        Parameters
        ----------
        insn_address : int
            Where its instructions lie.
        window : tuple of int
            Bytes ``[begin, end)`` that a residual operand may be read from.
        most : int
            A program that takes longer is not followed to its end, but as far as it may still be faster, its products
            one a cycle from there on: the result is between this and what it takes.
        """
        machine, uops = self._buffers()
        # As bytes: numpy copies records field by field.
        machine.view(np.uint8)[:], uops.view(np.uint8)[:] = self._at_rest.view(np.uint8), 0
        started(machine, timed, uops)
        s = machine[0]
        size = instruction_bytes(self._config)
        parameters = s["parameters"]
        parameters["residual_begin"], parameters["residual_end"] = window
        s["fetching"]["slot"] = insn_address // size % parameters["instruction_slots"]
        count = len(timed.fetched)
        if most < state.NEVER:
            compute = timed.records["queue"] == Queue.COMPUTE
            done = np.concatenate([[0], np.cumsum(timed.records["beats"][compute])])
            for end in range(most // LOOKS, most + 1, most // LOOKS + 1):
                run(machine.ctypes.data, end, insn_address, count * size)
                left = done[-1] - done[s["modules"]["issued"][Queue.COMPUTE]]
                if end + left >= most and not s["refusal"]["outcome"] and left:
                    return int(end + left)
        reached = run(machine.ctypes.data, most, insn_address, count * size)
        if s["modules"]["retired"].sum() != count and not s["refusal"]["outcome"] and most <= reached < state.NEVER:
            return max(most, int(reached))
        if s["refusal"]["outcome"] or s["modules"]["retired"].sum() != count:
            return None
        return done_at(s)
