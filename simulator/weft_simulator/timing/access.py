"""How compiled functions reach records by their address.

An array would be passed with its reference count, and counting costs twenty times the model's own work.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from .compiled import compiled
from .state import FETCHED, INSTRUCTION, MACHINE, MOMENTS, PLACES, RING, TRAFFIC, UOP


def _record_at(dtype: np.dtype[np.void]) -> Any:
    """A compiled function from an address to the record that lies there."""
    record: Any = numba.from_dtype(dtype)

    @intrinsic
    def at(typing_context, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(record))

        return record(types.int64), generate

    return at


state = _record_at(MACHINE)
"""The machine at an address."""

_instruction_at = _record_at(INSTRUCTION)
_fetched_at = _record_at(FETCHED)
_uop_at = _record_at(UOP)
_moments_at = _record_at(MOMENTS)
_traffic_at = _record_at(TRAFFIC)

_INSTRUCTION_BYTES, _FETCHED_BYTES, _UOP_BYTES = INSTRUCTION.itemsize, FETCHED.itemsize, UOP.itemsize
_MOMENTS_BYTES, _TRAFFIC_BYTES = MOMENTS.itemsize, TRAFFIC.itemsize


@compiled
def place(number):
    """Where a queue of `state.RING` places has an entry."""
    return number & RING - 1


@compiled
def short_place(number):
    """The same of `state.PLACES`."""
    return number & PLACES - 1


@compiled
def beats_of(m, address, nbytes):
    """The first beat of a range of memory, and how many it touches."""
    shift = state(m).parameters.axi_shift
    first = address >> shift
    return first, -(-(address + nbytes) >> shift) - first


@compiled
def instruction(m, number):
    """The instruction at a place of the program, queue by queue."""
    return _instruction_at(state(m).program + number * _INSTRUCTION_BYTES)


@compiled
def fetched(m, number):
    """The instruction that is fetched after so many."""
    return _fetched_at(state(m).fetched + number * _FETCHED_BYTES)


@compiled
def uop_at(m, place):
    """A place of the micro-op buffer."""
    return _uop_at(state(m).uops + place * _UOP_BYTES)


@compiled
def loaded_uop(m, number):
    """One of the micro-ops that LOADs bring."""
    return _uop_at(state(m).loaded_uops + number * _UOP_BYTES)


@compiled
def moments(m, number):
    """When the instruction at a place of the program was issued and retired."""
    return _moments_at(state(m).moments + number * _MOMENTS_BYTES)


@compiled
def traffic(m, cycle):
    """The beats of a cycle's span."""
    return _traffic_at(state(m).traffic + cycle // state(m).parameters.span * _TRAFFIC_BYTES)
