"""Instructions in columns, in the order of the loops they come from, to an encoded program with its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, decode, pack
from weft_hardware.isa import (
    QUEUE_REGISTERS,
    Finish,
    Instruction,
    Load,
    Memory,
    Queue,
    Set,
    SetRegister,
    tile_bytes,
)

from ..errors import CompileError
from ..te.nest import Nest
from .columns import Column, inverse
from .conflicts import Accesses, Conflicts, Pairs, conflicts
from .micro_code import MicroKernels, residency
from .order import fetch_order
from .scratchpads import Copies
from .tokens import Flags, token_flags

UOPS = "micro-ops"
"""The name of the micro-code among a program's tensors."""

SETS, LOADS, USES = range(3)
"""What an instruction needs comes before it."""

PARTS = 3
"""Of the time of one instruction."""


@dataclass(frozen=True)
class Touch:
    """The scratchpad tiles ``[first, end)`` that each instruction reads or writes."""

    memory: Memory
    first: Column
    end: Column
    writes: bool


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Instructions of one class and queue.

    Parameters
    ----------
    time : int64 array (n, depth)
        When each runs: rows compare digit by digit, all digits of a program mean the same.
    columns : dict
        Instruction fields.
    touches : tuple of Touch
        What they read and write in scratchpads.
    tensor : (str, Memory), optional
        The tensor in DRAM whose first tile the column ``dram`` counts from, and as whose tiles.
    kernel : Column, optional
        The micro-op list each runs.
    settings : dict
        What registers of the queue have to hold while they run; SETs come where another value is left from before.
    relative : dict
        Those of the registers that hold a distance in DRAM: to it comes the first tile of the tensor named here, less
        that of ``tensor``.
    """

    cls: type[Instruction]
    queue: Queue
    time: NDArray[np.int64]
    columns: Mapping[str, Column]
    touches: tuple[Touch, ...] = ()
    tensor: tuple[str, Memory] | None = None
    kernel: Column | None = None
    settings: Mapping[SetRegister, Column] = field(default_factory=dict)
    relative: Mapping[SetRegister, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class Program:
    """Encoded instructions and the micro-ops they load from DRAM."""

    instructions: Words
    uops: NDArray


def _by_time(rows: Sequence[Rows]) -> Column:
    """The position of every row, those of all classes one after another, in the program."""
    depth = max(r.time.shape[1] for r in rows)
    digits, done = np.zeros((depth, sum(map(len, rows))), np.int64), 0
    for r in rows:
        digits[: r.time.shape[1], done : done + len(r)] = r.time.T
        done += len(r)
    return inverse(_sorted(_keys(digits)))


def _sorted(keys: list[Column]) -> Column:
    # One key is almost in order, which its sort makes use of and that of many does not.
    return np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys[::-1])


def _keys(digits: NDArray[np.int64]) -> list[Column]:
    """As few columns as possible that order rows as all digits, shape (depth, rows), do: neighbours become one."""
    keys: list[Column] = []
    size = 1 << 62
    for column in digits:
        low = int(column.min(initial=0))
        span = int(column.max(initial=0)) - low + 1
        if span == 1:
            continue
        if size * span >= 1 << 62:
            keys.append(column - low)
            size = span
        else:
            keys[-1] = keys[-1] * span + (column - low)
            size *= span
    return keys or [np.zeros(digits.shape[1], np.int64)]


def _around(place: Column, what: int) -> NDArray[np.int64]:
    """The time of what an instruction at a place needs, or of itself."""
    return (place * PARTS + what)[:, None]


def _set_rows(
    register: SetRegister, place: Column, value: Column, between: tuple[tuple[str, Memory], str] | None
) -> Rows:
    """SETs of one register, right before the instructions at these places."""
    when = _around(place, SETS)
    columns = {"register": np.full(len(when), int(register)), "value": value & 0xFFFFFFFF}
    queue = QUEUE_REGISTERS[register].queue
    if between is None:
        return Rows(cls=Set, queue=queue, time=when, columns=columns)
    tensor, source = between
    return Rows(cls=Set, queue=queue, time=when, columns=columns, tensor=tensor, relative={register: source})


@dataclass(frozen=True)
class Stream:
    """A program whose tensors have no place in DRAM yet; `emit` gives them one, as often as wanted.

    Parameters
    ----------
    rows : tuple of Rows
        All instructions but FINISH and the LOADs of micro-ops.
    macs : int
        Multiply-accumulates asked for, those with padding included.
    nest : Nest, optional
        The loops that it came from.
    copies : tuple of Copies
        Where its buffers lie in the scratchpads.
    """

    config: AcceleratorConfig
    rows: tuple[Rows, ...]
    kernels: MicroKernels = field(repr=False)
    macs: int = 0
    nest: Nest | None = field(default=None, repr=False)
    copies: tuple[Copies, ...] = ()

    @cached_property
    def all_rows(self) -> tuple[Rows, ...]:
        """All instructions but FINISH, what prepares an instruction right before it; their times count from here."""
        place = _by_time(self.rows)
        ends = np.cumsum([len(r) for r in self.rows])
        parts = np.split(_around(place, USES), ends[:-1])
        rows = [replace(r, time=time) for r, time in zip(self.rows, parts, strict=True)]
        rows, loads = self._with_micro_ops(rows, place)
        return (*rows, *loads, *self._sets(place))

    def _with_micro_ops(self, rows: list[Rows], place: Column) -> tuple[list[Rows], list[Rows]]:
        """The rows with their micro-op ranges, and the LOADs that bring the micro-ops."""
        kernel = np.concatenate([np.full(len(r), -1) if r.kernel is None else r.kernel for r in rows])
        users = np.flatnonzero(kernel >= 0)
        users = users[np.argsort(place[users])]
        sizes = self.kernels.sizes
        placed = residency(sizes, kernel[users], self.kernels.capacity)
        begin = np.zeros(len(kernel), np.int64)
        begin[users] = placed.begin
        result, done = [], 0
        for r in rows:
            if r.kernel is not None:
                first = begin[done : done + len(r)]
                r = replace(r, columns={**r.columns, "uop_bgn": first, "uop_end": first + sizes[r.kernel]})
            result.append(r)
            done += r.time.shape[0]
        when = _around(place[users[placed.before]], LOADS)
        ones = np.ones_like(placed.size)
        columns = {
            "memory": ones * int(Memory.UOP), "dram": placed.dram, "sram": placed.sram, "x_size": placed.size,
            "y_size": ones, "x_stride": placed.size,
        }  # fmt: skip
        load = Rows(cls=Load, queue=Queue.COMPUTE, time=when, columns=columns, tensor=(UOPS, Memory.UOP))
        return result, [load] if len(load) else []

    def _sets(self, place: Column) -> list[Rows]:
        """A SET before each instruction that finds another value in a register than it needs."""
        result = []
        starts = np.cumsum([0, *(len(r) for r in self.rows)])
        for register in sorted({register for r in self.rows for register in r.settings}):
            users = [(first, r) for first, r in zip(starts, self.rows, strict=False) if register in r.settings]
            which = np.concatenate([first + np.arange(len(r)) for first, r in users])
            value = np.concatenate([r.settings[register] for _, r in users])
            # Between which tensors a distance is; None for plain numbers.
            kinds = [(r.tensor, r.relative[register]) if register in r.relative else None for _, r in users]
            known = [None, *dict.fromkeys(kind for kind in kinds if kind is not None)]
            kind = np.concatenate([np.full(len(r), known.index(k)) for k, (_, r) in zip(kinds, users, strict=True)])
            sequence = np.argsort(place[which])
            which, value, kind = which[sequence], value[sequence], kind[sequence]
            initial = QUEUE_REGISTERS[register].initial
            changes = (np.diff(value, prepend=initial) != 0) | (np.diff(kind, prepend=0) != 0)
            for k, between in enumerate(known):
                chosen = changes & (kind == k)
                if chosen.any():
                    result.append(_set_rows(register, place[which[chosen]], value[chosen], between))
        return result

    @cached_property
    def order(self) -> Column:
        """The position of each of `all_rows` in the order of the loops."""
        return _by_time(self.all_rows)

    @cached_property
    def conflicts(self) -> Conflicts:
        """Those between `all_rows`, by their indices."""
        return conflicts(self._queues, self._accesses).numbered(inverse(self.order))

    @cached_property
    def _queues(self) -> Column:
        """In the order of the loops."""
        queue = np.concatenate([np.full(len(r), int(r.queue)) for r in self.all_rows])
        return queue[inverse(self.order)]

    @cached_property
    def _placement(self) -> tuple[Column, Flags]:
        """Each row's position in the program, and its flags."""
        queue, place = self._queues, self.order
        flags = token_flags(queue, Pairs(*(place[column] for column in self.conflicts.pairs)))
        return fetch_order(queue, flags, self.config)[place], {name: values[place] for name, values in flags.items()}

    @property
    def _accesses(self) -> Accesses:
        instruction, memory, first, end, writes = [], [], [], [], []
        done = 0
        for r in self.all_rows:
            for touch in r.touches:
                instruction.append(self.order[done : done + len(r)])
                memory.append(np.full(len(r), int(touch.memory)))
                first.append(touch.first)
                end.append(touch.end)
                writes.append(np.full(len(r), touch.writes))
            done += len(r)
        return Accesses(*(np.concatenate(parts) for parts in (instruction, memory, first, end, writes)))

    def emit(self, offsets: Mapping[str, int], registers: Mapping[SetRegister, int] = MappingProxyType({})) -> Program:
        """Encode the program for tensors at given places.

        Parameters
        ----------
        offsets : Mapping
            Byte offset of each tensor, and of the micro-ops under `UOPS`, from the base registers, which are all equal.
        registers : Mapping, optional
            Other values for registers that hold one value throughout the program, and not their initial one.

        Raises
        ------
        CompileError
            If an offset is no whole number of tiles.
        """
        place, flags = self._placement
        rows = self.all_rows
        words, done = [], 0
        for r in rows:
            part = slice(done, done + len(r))
            columns = self.placed_columns(r, offsets, registers)
            words.append(pack(r.cls, self.config, **columns, **{name: f[part] for name, f in flags.items()}))
            done = part.stop
        program = np.empty((done + 1, words[0].shape[1]), np.uint64)
        program[place] = np.concatenate(words)
        program[-1:] = pack(Finish, self.config)
        return Program(program, self.kernels.encoded())

    def placed_columns(
        self, r: Rows, offsets: Mapping[str, int], registers: Mapping[SetRegister, int] = MappingProxyType({})
    ) -> dict[str, Column]:
        """The fields of instructions but their flags, for tensors at given places: see `emit`."""
        columns = dict(r.columns)
        if r.tensor is not None:
            name, memory = r.tensor
            first = self._first_tile(name, memory, offsets[name])
            if r.cls is Set:
                (source,) = r.relative.values()
                distance = self._first_tile(source, memory, offsets[source]) - first
                columns["value"] = columns["value"] + distance & 0xFFFFFFFF
            else:
                columns["dram"] = columns["dram"] + first
        elif r.cls is Set and (register := SetRegister(int(columns["register"][0]))) in registers:
            columns["value"] = np.full(len(r), registers[register] & 0xFFFFFFFF)
        return columns

    def listing(self) -> list[tuple[Instruction, str | None, str | None]]:
        """Every instruction in order, for reading: addresses from their tensors' beginnings, with the tensors' names.

        Returns
        -------
        list of (instruction, tensor, relative)
            The tensor that ``dram`` counts from; of a SET that holds a distance, the tensor that it goes to.
        """
        place, _ = self._placement
        names: list[tuple[str | None, str | None]] = [(None, None)] * (len(place) + 1)
        done = 0
        for r in self.all_rows:
            tensor = r.tensor[0] if r.tensor is not None else None
            source = next(iter(r.relative.values()), None) if r.cls is Set else None
            for position in place[done : done + len(r)]:
                names[position] = tensor, source
            done += len(r)
        offsets = {
            name: 0 for r in self.all_rows if r.tensor is not None for name in (r.tensor[0], *r.relative.values())
        }
        instructions = decode(self.emit(offsets).instructions, self.config)
        return [(i, tensor, source) for i, (tensor, source) in zip(instructions, names, strict=True)]

    def _first_tile(self, tensor: str, memory: Memory, offset: int) -> int:
        size = tile_bytes(memory, self.config)
        if offset % size:
            raise CompileError(
                f"{tensor} at byte {offset} is no multiple of the {size}-byte tiles of {memory.name}; align the buffer"
            )
        return offset // size
