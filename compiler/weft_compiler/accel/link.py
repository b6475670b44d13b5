"""Programs that follow each other as one: the next one loads while the last tiles of this one drain.

Each part keeps the order of its own instructions. What is new lies between them: buffers move to tiles that are free
early (`arrange`), registers of the queues are put back where the next part relies on their initial value, and tokens
are worked out for all parts at once, so that a LOAD waits for the instructions whose tiles it overwrites and for
nothing else. What it reads in DRAM another part may have stored: `fences`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, pack
from weft_hardware.isa import QUEUE_REGISTERS, Finish, Instruction, Queue, Set, SetRegister, instruction_bits

from .arrange import Occupancy, arrange, moved_cells, moved_rows, moved_uops, shifts
from .columns import Column
from .conflicts import Past
from .fences import order_memory
from .line import BESIDE, STEP, Line, Piece
from .order import fetch_order
from .stream import UOPS, Rows, Stream
from .tokens import token_flags


@dataclass(frozen=True)
class Part:
    """One program with its places in DRAM.

    Parameters
    ----------
    offsets : Mapping
        Byte offset of each tensor from the base registers; micro-ops come later, see `Linked.encode`.
    registers : Mapping
        See `Stream.emit`.
    """

    stream: Stream
    offsets: Mapping[str, int]
    registers: Mapping[SetRegister, int] = field(default_factory=dict)


class Linked:
    """Parts as one program.

    Attributes
    ----------
    uops : list of arrays
        The encoded micro-ops of each part, which have to lie in DRAM before `encode`.
    counts : int64 array (parts, 3)
        Each part's instructions in the load, the compute and the store queue; every queue has them part by part.

    Raises
    ------
    CompileError
        If the token queues are too short.
    """

    def __init__(self, parts: Sequence[Part], config: AcceleratorConfig) -> None:
        self._parts, self._config = parts, config
        self._line, self.uops = _laid_out(parts, config)
        if len(parts) > 1:
            order_memory(self._line, [part.offsets for part in parts], config)
        place, queues = self._line.place(), self._line.queues()
        in_order = np.empty_like(queues)
        in_order[place] = queues
        flags = token_flags(in_order, self._line.conflicts_at(place))
        self._place = fetch_order(in_order, flags, config)[place]
        self._flags = {name: values[place] for name, values in flags.items()}
        self.counts = np.zeros((len(parts), len(Queue)), np.int64)
        np.add.at(self.counts, (self._line.parts(), queues), 1)
        self.counts[-1, Queue.COMPUTE] += 1  # FINISH

    def encode(self, uop_offsets: Sequence[int]) -> Words:
        """The instructions, for micro-ops of each part that lie at these bytes from the base registers.

        Raises
        ------
        CompileError
            If an offset is no whole number of tiles.
        """
        # Instructions of one class are encoded together: there are many pieces, and most are short.
        alike: dict[tuple[type[Instruction], tuple[str, ...]], list[tuple[Column, dict[str, Column]]]] = {}
        done = 0
        for piece in self._line.pieces:
            part, rows = self._parts[piece.part], piece.rows
            offsets = {**part.offsets, UOPS: uop_offsets[piece.part]}
            columns = part.stream.placed_columns(rows, offsets, part.registers)
            numbers = done + np.arange(len(rows))
            alike.setdefault((rows.cls, tuple(sorted(columns))), []).append((numbers, columns))
            done += len(rows)
        program = np.empty((done + 1, instruction_bits(self._config) // 64), np.uint64)
        for (cls, names), pieces in alike.items():
            numbers = np.concatenate([of_piece for of_piece, _ in pieces])
            columns = {name: np.concatenate([columns[name] for _, columns in pieces]) for name in names}
            flags = {name: values[numbers] for name, values in self._flags.items()}
            program[self._place[numbers]] = pack(cls, self._config, **columns, **flags)
        program[-1:] = pack(Finish, self._config)
        return program


def _laid_out(parts: Sequence[Part], config: AcceleratorConfig) -> tuple[Line, list[NDArray]]:
    """Every part's rows on buffers that suit what came before, and its registers as it expects them."""
    line, uops = Line(), []
    occupancy, past, base, number = Occupancy(config), Past(config), 0, 0
    left: dict[SetRegister, int | None] = {}
    for index, part in enumerate(parts):
        stream = part.stream
        copies = arrange(stream, occupancy, config) if index else stream.copies
        shift = shifts(stream.copies, copies)
        uops.append(moved_uops(stream, shift))
        resets = [Piece(index, rows, np.array([base * STEP - BESIDE])) for rows in _resets(part, left)]
        line.pieces += resets
        number += len(resets)
        conflicts = stream.conflicts.numbered(number + np.arange(len(stream.order)))
        line.conflicts += [conflicts.pairs, past.followed_by(moved_cells(conflicts.cells, shift))]
        done = 0
        for rows in stream.all_rows:
            place = base + stream.order[done : done + len(rows)]
            moved = moved_rows(rows, shift)
            occupancy.add(moved, place, copies)
            line.pieces.append(Piece(index, moved, place * STEP))
            done += len(rows)
        base += done
        number += done
    return line, uops


def _resets(part: Part, left: dict[SetRegister, int | None]) -> Iterator[Rows]:
    """SETs of registers whose initial value a part relies on and the parts before left another in; updates ``left``."""
    stream = part.stream
    uses: dict[SetRegister, int] = {}
    sets: dict[SetRegister, list[tuple[int, int | None]]] = {}
    done = 0
    for rows in stream.all_rows:
        place = stream.order[done : done + len(rows)]
        done += len(rows)
        if not len(rows):
            continue
        for register in rows.settings:
            uses[register] = min(uses.get(register, int(place.min())), int(place.min()))
        if rows.cls is Set:
            register = SetRegister(int(rows.columns["register"][0]))
            values = rows.columns["value"].tolist()
            if rows.relative:
                values = [None] * len(values)
            elif register in part.registers:
                values = [part.registers[register] & 0xFFFFFFFF] * len(values)
            sets.setdefault(register, []).extend(zip(place.tolist(), values, strict=True))
    for register, used in uses.items():
        initial = QUEUE_REGISTERS[register].initial & 0xFFFFFFFF
        written = sorted(sets.get(register, []), key=lambda pair: pair[0])
        relies = not written or written[0][0] > used
        if relies and left.get(register, initial) != initial:
            value = np.array([initial], np.int64)
            columns = {"register": np.array([int(register)]), "value": value}
            yield Rows(cls=Set, queue=QUEUE_REGISTERS[register].queue, time=np.zeros((1, 1), np.int64), columns=columns)
        if written:
            left[register] = written[-1][1]
        elif relies:
            left[register] = initial
