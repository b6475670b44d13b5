"""What emission rules have in common: instructions of an operation as rows of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Gemm, GemmOverwrite, Instruction, Load, Memory, Queue, Store

from ..streams import Column
from .dma import TileMove, move_columns
from .expand import Expanded, Row, expand
from .gemm import Mode, ProductPlans, TileProduct
from .kernels import OPERANDS, Kernel, pieces
from .micro_code import MicroKernels
from .operations import Operation
from .stream import Rows, Touch


@dataclass
class Emitter:
    """Collects the instructions of a program and their micro-code."""

    config: AcceleratorConfig
    kernels: MicroKernels
    rows: list[Rows] = field(default_factory=list)
    tensors: dict[str, None] = field(default_factory=dict)

    def append(
        self,
        cls: type[Instruction],
        queue: Queue,
        operation: Operation,
        expanded: Expanded,
        columns: Mapping[str, Column],
        touches: Iterable[Touch],
        **more: object,
    ) -> None:
        """Add the instructions of an operation."""
        if len(expanded.step):
            time = np.concatenate([operation.time[expanded.step], expanded.order[:, None]], axis=1)
            self.rows.append(
                Rows(cls=cls, queue=queue, time=time, columns=columns, touches=tuple(touches), **more)  # type: ignore[arg-type]
            )

    # DMA -----------------------------------------------------------------------------------------------------

    def load(self, operation: Operation, memory: Memory, queue: Queue) -> None:
        """LOADs of a copy from DRAM."""
        (source,) = operation.inputs
        move = TileMove(
            name=source.buffer.name, extents=operation.extents, dram=source.tile, sram=operation.output.tile,
            guards=operation.guards, inside=operation.inside,
        )  # fmt: skip
        self._move(Load, queue, operation, move, memory, source.buffer.name, writes=True)

    def store(self, operation: Operation, memory: Memory, touched: Memory = Memory.ACC) -> None:
        """STOREs of a copy to DRAM."""
        (source,) = operation.inputs
        target = operation.output
        move = TileMove(
            name=target.buffer.name, extents=operation.extents, dram=target.tile, sram=source.tile,
            guards=operation.guards, inside=operation.inside, can_pad=False,
        )  # fmt: skip
        self._move(Store, Queue.STORE, operation, move, memory, target.buffer.name, writes=False, touched=touched)

    def _move(
        self,
        cls: type[Instruction],
        queue: Queue,
        operation: Operation,
        move: TileMove,
        memory: Memory,
        tensor: str,
        *,
        writes: bool,
        touched: Memory | None = None,
    ) -> None:
        step, columns = move_columns(move)
        tiles = columns.pop("tiles")
        if cls is Store:
            columns = {name: values for name, values in columns.items() if "pad" not in name}
        touch = Touch(touched or memory, columns["sram"], columns["sram"] + tiles, writes)
        columns["memory"] = np.full(len(step), int(memory), np.int64)
        expanded = Expanded(step, np.arange(len(step)), {})
        self.append(cls, queue, operation, expanded, columns, [touch], tensor=(tensor, memory))

    # Micro-code ----------------------------------------------------------------------------------------------

    def kernel_rows(self, kernel: Kernel, **more: int) -> list[Row]:
        """The instructions that run a kernel, several where its micro-ops do not fit the buffer."""
        rows = []
        for part in pieces(kernel, self.kernels.capacity):
            row: Row = {"kernel": self.kernels.add(part.uops), **part.columns(), **more}
            for operand, name in enumerate(OPERANDS):
                row[f"{name}_first"], row[f"{name}_end"] = part.span(operand)
            rows.append(row)
        return rows

    def gemm(self, operation: Operation) -> None:
        """GEMMs of a tile product; the first ones of a reduction overwrite."""
        dst, (src, wgt) = operation.output, operation.inputs
        product = TileProduct(
            operation.extents, (dst.tile, src.tile, wgt.tile), operation.guards, operation.zeros
        )
        plans = ProductPlans(product)

        def plan(row: list[int]) -> list[Row]:
            step = plans.plan(row[:-1])
            chosen = step.begin(self.config.gemm_overwrite) if row[-1] else step.accumulate()
            return [r for mode, kernel in chosen for r in self.kernel_rows(kernel, mode=mode.value)]

        columns = [*plans.columns, operation.begins.astype(np.int64)]
        names = ("kernel", "mode", "iter_out", "iter_in", *(f"{o}_{s}" for o in OPERANDS
                 for s in ("out", "in", "first", "end")))  # fmt: skip
        expanded = expand(columns, operation.steps, plan, names)
        mode = expanded.columns["mode"]
        for overwrites, cls in ((False, Gemm), (True, GemmOverwrite)):
            self._gemm_rows(cls, operation, expanded.only((mode == Mode.OVERWRITE.value) == overwrites))

    def _gemm_rows(self, cls: type[Gemm], operation: Operation, rows: Expanded) -> None:
        values = rows.columns
        is_reset: NDArray[np.bool_] = values["mode"] == Mode.RESET.value
        columns = {n: v for n, v in values.items() if n.endswith(("_out", "_in"))}
        if cls is Gemm:
            columns["reset"] = is_reset.astype(np.int64)
        touches = [Touch(Memory.ACC, values["dst_first"], values["dst_end"], writes=True)]
        for name, memory in (("src", Memory.INP), ("wgt", Memory.WGT)):
            first = values[f"{name}_first"]
            touches.append(Touch(memory, first, np.where(is_reset, first, values[f"{name}_end"]), writes=False))
        self.append(cls, Queue.COMPUTE, operation, rows, columns, touches, kernel=values["kernel"])
