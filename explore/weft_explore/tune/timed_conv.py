"""A convolution measured on the timing model: directly from a schedule, or by the compiler, to the same cycle."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from weft_compiler.accel.convolution import INP, OUT, PARAM, RESIDUAL, WGT, parameter_rows
from weft_compiler.accel.intrinsics.load import PAD_REGISTERS
from weft_compiler.accel.intrinsics.requantise import registers_of
from weft_compiler.accel.micro_code import MicroKernels
from weft_compiler.accel.order import fetch_order
from weft_compiler.conv_task import ConvTask
from weft_compiler.errors import CompileError
from weft_compiler.lowering import LoweredConv, lower_conv
from weft_compiler.memory import alignment_of, round_up
from weft_compiler.tasks import without_numbers
from weft_compiler.tiling import (
    OPERANDS,
    PLACED,
    Tiling,
    buffer_sizes,
    held_tiles,
    image_size,
    image_tile,
    row_step,
)
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import (
    QUEUE_REGISTERS,
    Memory,
    SetRegister,
    StoreMode,
    scratchpad_depth,
    tile_bytes,
    uop_bits,
)
from weft_hardware.latencies import MOVING, WRITTEN_BY_BEAT
from weft_simulator.timing import state
from weft_simulator.timing.device import TimingDevice
from weft_simulator.timing.predict import Predictor
from weft_simulator.timing.program import TimedProgram
from weft_simulator.tsim.model import MemoryTiming

from . import emit, micro_code, pieces
from .fetching import by_queue, fetch_sequence
from .pieces import LOOPS
from .timed_records import FIELD_COUNT, QUEUE

_PROGRAM_BYTES = 64 << 20
"""Room for micro-ops and instructions, pages that are never touched cost nothing."""

_COMPILER = threading.Lock()
"""Of threads one at a time compiles."""


class _Constants(NamedTuple):
    """What `emit.generate` is told of a layer, whatever its schedule."""

    registers: np.ndarray
    depths: np.ndarray
    blocks: np.ndarray
    pad_register: int
    pad_value: int
    mode: int


class TimedConv:
    """One layer on one accelerator, alone in memory: tensors, micro-ops, program, one after another.

    Parameters
    ----------
    memory : MemoryTiming, optional
        How the memory answers: latencies only.
    """

    def __init__(self, task: ConvTask, config: AcceleratorConfig, memory: MemoryTiming | None = None) -> None:
        self.task, self.config, self.memory = without_numbers(task), config, memory or MemoryTiming()
        self._alignment, self._uop_bits = alignment_of(self.config), uop_bits(self.config)
        self._uop_capacity = MicroKernels(self.config).capacity
        self._depths = {memory: scratchpad_depth(memory, self.config) for memory in OPERANDS}
        self.offsets, self.tensors_end = self._laid_out()

    def _laid_out(self) -> tuple[dict[str, int], int]:
        t, how = self.task, self.task.requantisation
        out = Memory.ACC if how is None else Memory.ACC_8BIT
        each = t.parameters * (t.oh * t.ow if t.pixel_parameters else 1)
        tiles = {
            INP: (t.n * t.inputs * t.ih * t.iw, Memory.INP),
            WGT: (t.outputs * t.ic * t.kh * t.kw * t.phase_count, Memory.WGT),
            PARAM: (t.outputs * each, Memory.PARAM),
            RESIDUAL: (t.results if how is not None and how.addition is not None else 0, Memory.ACC_8BIT),
            "table": (1 if how is not None and how.table else 0, Memory.TABLE),
            OUT: (t.results, out),
        }
        offsets, end, alignment = {}, 0, self._alignment
        for name, (count, memory) in tiles.items():
            offsets[name] = end
            end = round_up(end + count * tile_bytes(memory, self.config), alignment)
        return offsets, end

    def program_at(self, uop_bytes: int) -> int:
        """Where instructions lie, for so many bytes of micro-ops at `tensors_end`."""
        return round_up(self.tensors_end + uop_bytes, self._alignment)

    def lowered(self, tiling: Tiling | None = None) -> LoweredConv:
        """What the compiler makes of a schedule."""
        return lower_conv(self.task, self.config, tiling)

    def compiled_cycles(self, tiling: Tiling | None = None) -> int:
        """Cycles of what the compiler makes of a schedule, instruction by instruction.

        Raises
        ------
        CompileError
            If it makes nothing of it.
        """
        from .layer_run import LayerRun

        device = TimingDevice(self.config, dram_size=self.tensors_end + _PROGRAM_BYTES, memory=self.memory)
        return LayerRun(self, device).cycles(tiling)

    # Directly --------------------------------------------------------------------------------------------------

    @property
    def is_direct(self) -> bool:
        """Whether schedules of the layer can be measured without the compiler."""
        t, how = self.task, self.task.requantisation
        stores = self.config.raw_store if how is None else not how.table
        return t.phases is None and stores

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.config, self.memory)

    def cycles(self, tiling: Tiling, most: int | None = None) -> int:
        """Cycles of a schedule, the same as `compiled_cycles`; several threads may ask.

        Parameters
        ----------
        most : int, optional
            A schedule that takes longer need not be measured to its end: the result may be less than it takes then, but
            no less than this.

        Raises
        ------
        CompileError
            If it does not fit the accelerator.
        """
        if not self.is_direct:
            with _COMPILER:
                return self.compiled_cycles(tiling)
        found = self._predictor.cycles(*self.timed(tiling), (0, 1 << 40), state.NEVER if most is None else most)
        assert found is not None, "a program of the compiler's cannot hang"
        return found

    def timed(self, tiling: Tiling) -> tuple[TimedProgram, int]:
        """The program of a layer that `is_direct`, and where its instructions lie."""
        config = self.config
        rec, count, uops, uop_count = emit.generate(_records(), *self._arguments(tiling))
        _OWN.records = rec
        if uop_count > self._uop_capacity:
            rec, count = micro_code.with_loads(rec, count, self._constants.blocks, self._uop_capacity)
        sequence = fetch_sequence(rec, count, config.command_queue_depth // 2, config.token_queue_depth)
        if not len(sequence):
            flags = {name: rec[:count, k] != 0 for name, k in _FLAGS.items()}
            sequence = np.argsort(fetch_order(rec[:count, QUEUE], flags, config))
        records, fetched, places = by_queue(rec, count, sequence, state.FINISH_KIND)
        timed = TimedProgram(
            records.view(state.INSTRUCTION)[:, 0],
            fetched.view(state.FETCHED),
            places,
            uops[:uop_count].copy().view(state.UOP)[:, 0],
        )
        return timed, self.program_at(uop_count * self._uop_bits // 8)

    @cached_property
    def _constants(self) -> _Constants:
        """What does not depend on the schedule."""
        t, config, how = self.task, self.config, self.task.requantisation
        mode = StoreMode(0)
        registers: dict[SetRegister, int] = {}
        if how is not None:
            registers = {SetRegister.PARAM: 0, **registers_of(how)}
            if how.addition is not None:
                size = tile_bytes(Memory.ACC_8BIT, config)
                registers[SetRegister.RESIDUAL] = (self.offsets[RESIDUAL] - self.offsets[OUT]) // size
                mode |= StoreMode.RESIDUAL
                mode |= StoreMode.SWAP if how.addition.swap else StoreMode(0)
                mode |= StoreMode.UNSIGNED if how.addition.dtype == "uint8" else StoreMode(0)
        table = np.zeros((len(registers), 4), np.int64)
        for row, register in zip(table, sorted(registers), strict=True):
            declared = QUEUE_REGISTERS[register]
            value = registers[register]
            initial = declared.initial
            if register is SetRegister.RESIDUAL:
                initial = 1 << 40  # a distance is set even where it is 0
            # What the register says is the model's; whether it changes is the same for both.
            value = declared.value(value & 0xFFFFFFFF)
            row[:] = int(register), int(value), register in MOVING, int(initial)
        pad_register, pad_value = -1, 0
        if any(t.pads) and config.pad_value:
            pad_register, pad_value = int(PAD_REGISTERS[Memory.INP]), t.pad_value
        elif any(t.pads) and t.pad_value:
            raise CompileError(f"the image is padded with {t.pad_value}: pad_value = False pads with zeros only")
        depths = np.array([config.inp_depth, config.wgt_depth, config.acc_depth], np.int64)
        out = Memory.ACC if how is None else Memory.ACC_8BIT
        memories = ((INP, Memory.INP), (WGT, Memory.WGT), (OUT, out), (PARAM, Memory.PARAM), (None, Memory.UOP))
        blocks = np.array([self._block(name, memory) for name, memory in memories], np.int64)
        return _Constants(table, depths, blocks, pad_register, pad_value, int(mode))

    def _block(self, name: str | None, memory: Memory) -> tuple[int, ...]:
        size, bus = tile_bytes(memory, self.config), self.config.axi_bytes
        base = self.offsets[name] if name is not None else self.tensors_end
        beats = max(1, size // bus)
        pad_cost = beats if memory in WRITTEN_BY_BEAT else 1
        return size, base, max(1, bus // size), beats, pad_cost, base // size, int(memory)

    def _arguments(self, tiling: Tiling) -> tuple[Any, ...]:
        t, constants = self.task, self._constants
        held = {m: buffer_sizes(tiling, m) for m in PLACED}
        slots, buffers = self._buffers(tiling, held)
        sizes = {m: tuple([of[loop] for loop in LOOPS]) for m, of in held.items()}
        loads = pieces.inputs(t, sizes[Memory.INP]), pieces.weights(t, sizes[Memory.WGT])
        params = _NOTHING
        if t.pixel_parameters:
            rows = parameter_rows(tiling.sizes(Memory.ACC), self.config)
            stores = pieces.results_by_pixel(t, sizes[Memory.ACC], rows, constants.mode)
        else:
            often = t.requantisation is not None and tiling.levels[Memory.PARAM] == tiling.levels[Memory.ACC]
            stores = pieces.results(t, sizes[Memory.ACC], sizes[Memory.PARAM], constants.mode, often)
            if t.requantisation is not None and not often:
                params = pieces.parameters(t, sizes[Memory.PARAM])
        steps, images = _operand_steps(t, held)
        padded = _padded(t, tiling, held[Memory.INP])
        geometry = (*t.stride, *t.dilation, *padded, int(self.config.gemm_overwrite), self._uop_capacity)
        whole_image = (a == b for a, b in zip(image_tile(t, held[Memory.INP]), image_size(t), strict=True))
        height_pads = (t.stride[0], t.stride[1], t.dilation[0], t.dilation[1], t.pads[0], t.pads[1], t.ih, t.iw)
        return (
            np.array([LOOPS.index(loop) for loop in tiling.order], np.int64),
            np.array([tiling.extents[loop] for loop in LOOPS], np.int64),
            np.array([tiling.tiles[loop] for loop in LOOPS], np.int64),
            np.array([tiling.levels[m] for m in PLACED], np.int64),
            slots, buffers, steps, geometry, constants.depths,
            np.array([*height_pads, *images, *whole_image], np.int64),
            *(part for m in (*loads, stores, params) for part in (m.rows, m.starts, m.trips)),
            constants.blocks, constants.registers, constants.pad_register, constants.pad_value,
        )  # fmt: skip

    def _buffers(self, tiling: Tiling, held: Mapping[Memory, Mapping[str, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Copies of each operand and where they begin: see `accel.scratchpads`."""
        slots, buffers = np.zeros(3, np.int64), np.zeros((3, 2), np.int64)
        for k, memory in enumerate(OPERANDS):
            need, size = held_tiles(self.task, held[memory], memory), self._depths[memory]
            copies = tiling.slots[memory]
            if need * copies > size:
                raise CompileError(f"{memory.name} needs {copies} × {need} tiles, its scratchpad holds {size}")
            half = size // 2
            apart = memory is Memory.ACC and need <= half
            slots[k], buffers[k, 1] = copies, half if apart else need
        if self.task.requantisation is not None and not self.task.pixel_parameters:
            need = held_tiles(self.task, held[Memory.PARAM], Memory.PARAM)
            if need > self.config.param_depth:
                raise CompileError(f"PARAM needs {need} tiles, its scratchpad holds {self.config.param_depth}")
        return slots, buffers


_OWN = threading.local()


def _records() -> np.ndarray:
    """Where this thread writes records, with room for its largest program: fresh pages cost more than the writing.

    Those that are never touched cost nothing.
    """
    if not hasattr(_OWN, "records"):
        _OWN.records = np.empty((1 << 16, FIELD_COUNT), np.int64)
    return _OWN.records


_FLAGS = {name: k for k, name in enumerate(state.INSTRUCTION.names or ()) if name[:4] in ("pop_", "push")}
_NOTHING = pieces.Moves(np.zeros((0, len(pieces.FIELDS)), np.int64), np.zeros(1, np.int64), np.ones(8, np.int64))


def _padded(task: ConvTask, tiling: Tiling, sizes: Mapping[str, int]) -> tuple[int, int]:
    """Whether products leave out taps above or below, and left or right of the image: if it is known to have such."""
    if not any(task.pads) or task.pad_value:
        return 0, 0
    tiles, step = image_tile(task, sizes), row_step(task)
    around, found = tiling.around(Memory.INP), []
    for axis, (p, k, scale) in enumerate((("y", "ky", step), ("x", "kx", 1))):
        last = tiles[axis] - 1
        for loop, moves in ((p, task.stride[axis] // scale), (k, task.dilation[axis])):
            last += (tiling.trips(loop) - 1) * tiling.tiles[loop] * moves if loop in around else 0
        size = task.iw if axis else task.ih
        found.append(int(task.pads[axis] > 0 or last * scale - task.pads[axis] >= size))
    return found[0], found[1]


def _operand_steps(task: ConvTask, held: Mapping[Memory, Mapping[str, int]]) -> tuple[np.ndarray, tuple[int, int]]:
    """Tiles from one iteration to the next of dst, src and wgt, by own loop; and of dst and src by image."""
    acc, inp, wgt = held[Memory.ACC], held[Memory.INP], held[Memory.WGT]
    rows, columns = image_tile(task, inp)
    down = task.stride[0] // row_step(task)
    dst = {"x": 1, "y": acc["x"], "oc": acc["y"] * acc["x"], "g": acc["oc"] * acc["y"] * acc["x"]}
    src = {
        "x": task.stride[1], "kx": task.dilation[1], "y": down * columns, "ky": task.dilation[0] * columns,
        "ic": rows * columns, "g": inp["ic"] * rows * columns,
    }  # fmt: skip
    taps = wgt["ky"] * wgt["kx"]
    weights = {"kx": 1, "ky": wgt["kx"], "ic": taps, "oc": wgt["ic"] * taps, "g": wgt["oc"] * wgt["ic"] * taps}
    own = LOOPS[1:]
    table = np.array([[d.get(loop, 0) for d in (dst, src, weights)] for loop in own], np.int64)
    return table, (acc["g"] * dst["g"], inp["g"] * src["g"])
