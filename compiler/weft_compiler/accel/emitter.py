"""What emission rules have in common: the instructions of an operation as rows of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Instruction, Load, Memory, Queue, SetRegister, declared_fields

from .columns import Column
from .dma import TileMove, move_columns
from .expand import Expanded, Row, expand
from .gemm import Mode, ProductPlans, TileProduct
from .kernels import OPERANDS, Kernel, pieces
from .micro_code import MicroKernels
from .operations import Operation
from .stream import Rows, Touch

ROW_NAMES = (
    *("kernel", "mode", "iter_out", "iter_in"),
    *(f"{operand}_{what}" for operand in OPERANDS for what in ("out", "in", "first", "end")),
)
"""What is known of an instruction that runs micro-ops: its list, its `Mode`, its loops, the tiles of each operand."""

Moved: TypeAlias = Mapping[str, Column | int]
Settings: TypeAlias = Mapping[SetRegister, Column | int]

FIELDS = frozenset(declared_fields(Load))


@dataclass
class Emitter:
    """Collects the instructions of a program and their micro-code; ``macs`` counts multiply-accumulates."""

    config: AcceleratorConfig
    kernels: MicroKernels
    rows: list[Rows] = field(default_factory=list)
    macs: int = 0

    def append(
        self,
        cls: type[Instruction],
        queue: Queue,
        operation: Operation,
        expanded: Expanded,
        touches: Iterable[Touch],
        columns: Mapping[str, Column],
        **more: Any,
    ) -> None:
        """Add instructions of an operation: ``expanded`` says of which steps, ``columns`` are their fields."""
        if len(expanded.step):
            time = np.concatenate([operation.time[expanded.step], expanded.order[:, None]], axis=1)
            self.rows.append(Rows(cls=cls, queue=queue, time=time, columns=columns, touches=tuple(touches), **more))

    def move(
        self,
        cls: type[Instruction],
        queue: Queue,
        operation: Operation,
        move: TileMove,
        memory: Memory,
        more: Callable[[Moved], tuple[Moved, Settings]] = lambda _: ({}, {}),
        relative: Mapping[SetRegister, str] = MappingProxyType({}),
    ) -> None:
        """Add the LOADs or STOREs of a copy between a tensor and a scratchpad.

        Parameters
        ----------
        memory : Memory
            As whose tiles the tensor lies in DRAM.
        more : callable, optional
            Further fields of the instructions, and what registers of the queue have to hold, from what `move_columns`
            gives; numbers or columns.
        relative : mapping, optional
            The tensor from whose first tile such a register counts, less that of the tensor moved.
        """
        step, moved = move_columns(move)
        fields, settings = more(moved)
        columns = {name: values for name, values in moved.items() if name in FIELDS}
        if not move.can_pad:
            columns = {name: values for name, values in columns.items() if "pad" not in name}
        scratchpad = Memory.ACC if memory in (Memory.OUT, Memory.ACC_8BIT) else memory
        touch = Touch(scratchpad, columns["sram"], columns["sram"] + moved["tiles"], writes=move.can_pad)
        columns |= {name: _column(value, step) for name, value in {"memory": int(memory), **fields}.items()}
        held = {register: _column(value, step) for register, value in settings.items()}
        order = Expanded(step, _within(step), {})
        self.append(cls, queue, operation, order, [touch], columns, tensor=(move.name, memory), settings=held,
                    relative=relative)  # fmt: skip

    def products(self, product: TileProduct, operation: Operation, overwrites: bool) -> Expanded:
        """The micro-coded instructions of every step, with the names of `ROW_NAMES`.

        Parameters
        ----------
        overwrites : bool
            Whether the first sum of an accumulator can overwrite it; otherwise it is reset before.
        """
        plans = ProductPlans(product)

        def plan(row: list[int]) -> list[Row]:
            step = plans.plan(row[:-1])
            chosen = step.begin(overwrites) if row[-1] else step.accumulate()
            return [r for mode, kernel in chosen for r in self._kernel_rows(kernel, mode)]

        return expand([*plans.columns, operation.begins.astype(np.int64)], operation.steps, plan, ROW_NAMES)

    def accumulations(self, product: TileProduct, operation: Operation) -> Expanded:
        """The same for what never begins a reduction."""
        return self.products(product, replace(operation, begins=np.zeros_like(operation.begins)), overwrites=False)

    def _kernel_rows(self, kernel: Kernel, mode: Mode) -> Sequence[Row]:
        """The instructions that run a kernel, several where its micro-ops do not fit the buffer."""
        rows = []
        for part in pieces(kernel, self.kernels.capacity):
            row: Row = {"kernel": self.kernels.add(part.uops), "mode": mode.value, **part.columns()}
            for operand, name in enumerate(OPERANDS):
                row[f"{name}_first"], row[f"{name}_end"] = part.span(operand)
            rows.append(row)
        return rows


def _within(step: Column) -> Column:
    """The position of each among those of its step; steps rise."""
    position = np.arange(len(step))
    return position - np.maximum.accumulate(np.where(np.diff(step, prepend=-1) != 0, position, 0))


def _column(value: int | Column, step: Column) -> Column:
    return np.broadcast_to(np.asarray(value, np.int64), step.shape)


def loop_columns(rows: Expanded, operands: Sequence[str]) -> dict[str, Column]:
    """The loop fields of instructions over some of the operands."""
    names = ["iter_out", "iter_in", *(f"{operand}_{loop}" for operand in operands for loop in ("out", "in"))]
    return {name: rows.columns[name] for name in names}
