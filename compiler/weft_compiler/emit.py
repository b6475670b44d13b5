"""Streams to encoded instructions: order, dependency flags, micro-code. Everything is numpy, nothing per instruction.

The loads of step ``j`` are placed right behind the step whose scratchpad slot they reuse, so that a fetch unit with
the smallest queues never has to look further ahead than it can. Tokens then follow from which slot is reused when:

- load → compute: one for every step that has loads of its own;
- compute → load: one for every step whose slots a later load overwrites (a later token covers an earlier one);
- compute → store: one for every finished accumulator tile;
- store → compute: one for every accumulator slot used again, and one from the last store to FINISH.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, pack
from weft_hardware.isa import Finish, Gemm, Instruction, Load, Memory, Store, tile_bytes

from .dma import transfer_columns
from .errors import CompileError
from .kernels import GemmRows, MicroCode, gemm_rows
from .streams import Column, Streams, Transfer

FLAGS = ("pop_prev", "pop_next", "push_prev", "push_next")

COMPUTE_PHASE, STORE_PHASE, LOAD_PHASE = range(3)


@dataclass(frozen=True)
class Program:
    """Encoded instructions and the micro-ops they load from DRAM."""

    instructions: Words
    uops: NDArray


@dataclass(frozen=True)
class _Rows:
    """Instructions of one class, in columns.

    Instructions of one group move tokens together: the first pops, the last pushes. ``slot`` is the step behind whose
    computation an instruction is placed, −1 for the beginning; ``order`` sorts inside a group.
    """

    cls: type[Instruction]
    phase: int
    slot: Column
    group: Column
    order: Column
    columns: dict[str, Column]
    region: Memory | None = None
    """Whose DRAM region the column ``dram`` counts from."""


GroupFlags = dict[str, NDArray[np.bool_]]
"""Flag name to one bool a group; groups numbered −1 find the last entry, which is False."""


def _by_group(**flags: NDArray[np.bool_]) -> GroupFlags:
    return {name: np.append(values, False) for name, values in flags.items()}


def _last_use(streams: Streams, transfer: Transfer) -> Column:
    """For each execution the step that last used the slot it overwrites, −1 if nobody did."""
    between = streams.steps_between(transfer)
    return np.maximum((np.arange(streams.executions(transfer)) - transfer.slots + 1) * between - 1, -1)


class Emitter:
    """Emits one tile program; addresses are added at the very end, so that one emitter serves many placements."""

    def __init__(self, streams: Streams, config: AcceleratorConfig) -> None:
        self.streams = streams
        self.config = config

    # Tokens --------------------------------------------------------------------------------------------------

    @cached_property
    def reused(self) -> Column:
        """For each step the last one whose slots its loads, or those of an earlier step, overwrite; −1 if none."""
        found = np.full(self.streams.steps, -1, np.int64)
        for transfer in self.streams.loads:
            steps = np.arange(self.streams.executions(transfer)) * self.streams.steps_between(transfer)
            found[steps] = np.maximum(found[steps], _last_use(self.streams, transfer))
        return np.maximum.accumulate(found)

    @cached_property
    def flags(self) -> dict[int, GroupFlags]:
        """Which groups pop and push, by phase: groups are steps, for the store executions."""
        steps, store = self.streams.steps, self.streams.store
        loads = np.zeros(steps, bool)
        for transfer in self.streams.loads:
            loads[:: self.streams.steps_between(transfer)] = True
        waits = np.diff(self.reused, prepend=-1) > 0
        frees = np.zeros(steps, bool)
        frees[self.reused[waits]] = True

        between, tiles = self.streams.steps_between(store), self.streams.executions(store)
        tile, position = np.divmod(np.arange(steps), between)
        again = np.arange(tiles) + store.slots < tiles
        again[-1] = True  # FINISH takes this one
        return {
            LOAD_PHASE: _by_group(pop_next=waits, push_next=loads),
            COMPUTE_PHASE: _by_group(
                pop_prev=loads,
                push_prev=frees,
                pop_next=(position == 0) & (tile >= store.slots),
                push_next=position == between - 1,
            ),
            STORE_PHASE: _by_group(pop_prev=np.ones(tiles, bool), push_prev=again),
        }

    # Instructions --------------------------------------------------------------------------------------------

    def _transfer_rows(self, transfer: Transfer, rank: int) -> _Rows:
        between = self.streams.steps_between(transfer)
        execution, columns = transfer_columns(transfer, self.streams.slot_base(transfer)[::between])
        columns["memory"] = np.full(len(execution), int(transfer.memory), np.int64)
        order = np.arange(len(execution)) + (rank << 32)
        if transfer.memory is Memory.ACC:
            step = (execution + 1) * between - 1
            return _Rows(Store, STORE_PHASE, step, execution, order, columns, Memory.ACC)
        step = execution * between
        # Never further ahead than two steps, or the queue of a step that waits would fill before the step is fetched.
        slot = np.maximum(self.reused[step], step - 2)
        return _Rows(Load, LOAD_PHASE, slot, step, order, columns, transfer.memory)

    @cached_property
    def compute(self) -> tuple[GemmRows, MicroCode]:
        """The GEMM instructions and the micro-code they run."""
        streams = self.streams
        slots = {t.memory: streams.slot_base(t) for t in (*streams.loads, streams.store)}
        fresh = np.arange(streams.steps) % streams.steps_between(streams.store) == 0
        bases = (slots[Memory.ACC], slots[Memory.INP], slots[Memory.WGT])
        return gemm_rows(streams.contraction, bases, fresh, self.config)

    def _uop_rows(self, step: Column, order: Column, begin: Column, size: Column) -> _Rows:
        columns = {"dram": begin, "x_size": size, "y_size": np.ones_like(size), "memory": np.zeros_like(size)}
        return _Rows(Load, COMPUTE_PHASE, step, step, order, columns, Memory.UOP)

    def _compute_rows(self) -> list[_Rows]:
        gemms, code = self.compute
        order = 2 * np.arange(len(gemms.step)) + 1
        begin, size = code.begin[gemms.piece], code.size[gemms.piece]
        if code.resident:
            start = np.array([-1], np.int64)
            loads = self._uop_rows(start, start, np.zeros_like(start), np.array([len(code.uops)], np.int64))
        else:
            new = np.flatnonzero(np.diff(gemms.piece, prepend=-1))
            loads = self._uop_rows(gemms.step[new], order[new] - 1, begin[new], size[new])
            begin = np.zeros_like(begin)
        columns = {**gemms.columns, "uop_bgn": begin, "uop_end": begin + size}
        return [loads, _Rows(Gemm, COMPUTE_PHASE, gemms.step, gemms.step, order, columns)]

    @cached_property
    def rows(self) -> list[_Rows]:
        """All instructions but FINISH."""
        transfers = (*self.streams.loads, self.streams.store)
        return [*self._compute_rows(), *(self._transfer_rows(t, k) for k, t in enumerate(transfers))]

    def check(self) -> None:
        """Refuse now, not at the first `emit`, what instructions cannot express.

        Raises
        ------
        CompileError
            If padding or strides exceed the DMA's fields.
        """
        _ = self.rows

    @cached_property
    def placement(self) -> tuple[Column, dict[str, NDArray[np.bool_]]]:
        """Each row's place in the program, and its dependency flags; rows are those of `rows`, one after another."""
        rows = self.rows
        phase = np.concatenate([np.full(len(r.slot), r.phase) for r in rows])
        slot, group, order = (np.concatenate([getattr(r, name) for r in rows]) for name in ("slot", "group", "order"))
        sequence = np.lexsort((order, group, phase, slot))
        begins = np.ones(len(sequence), bool)
        begins[1:] = (np.diff(group[sequence]) != 0) | (np.diff(phase[sequence]) != 0)
        ends = np.append(begins[1:], True)
        place = np.empty_like(sequence)
        place[sequence] = np.arange(len(sequence))
        flags = {name: np.zeros(len(sequence), bool) for name in FLAGS}
        for this_phase, of_group in self.flags.items():
            chosen = phase == this_phase
            for name, values in of_group.items():
                edge = begins if name.startswith("pop") else ends
                flags[name][chosen] = values[group[chosen]] & edge[place[chosen]]
        return place, flags

    def emit(self, offsets: Mapping[Memory, int]) -> Program:
        """Encode the program for buffers at given places.

        Parameters
        ----------
        offsets : Mapping
            Byte offset of each memory's buffer from its base register: UOP, INP, WGT, ACC.

        Raises
        ------
        CompileError
            If an offset is no whole number of tiles.
        """
        first = {memory: self._tile_offset(memory, offset) for memory, offset in offsets.items()}
        place, flags = self.placement
        words, done = [], 0
        for rows in self.rows:
            part = slice(done, done + len(rows.slot))
            columns = dict(rows.columns)
            if rows.region is not None:
                columns["dram"] = columns["dram"] + first[rows.region]
            words.append(pack(rows.cls, self.config, **columns, **{name: f[part] for name, f in flags.items()}))
            done = part.stop
        program = np.empty((done + 1, words[0].shape[1]), np.uint64)
        program[place] = np.concatenate(words)
        program[-1:] = pack(Finish, self.config, pop_next=True)
        return Program(program, self.compute[1].uops)

    def _tile_offset(self, memory: Memory, offset: int) -> int:
        size = tile_bytes(memory, self.config)
        if offset % size:
            raise CompileError(
                f"{memory.name} buffer at byte {offset} is no multiple of its {size}-byte tiles; align the buffer"
            )
        return offset // size
