"""A program as the timing model wants it: of each instruction what time depends on, in numpy columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, opcodes, unpack
from weft_hardware.isa import (
    QUEUE_REGISTERS,
    Alu,
    Gemm,
    GemmOverwrite,
    Instruction,
    Load,
    LoopInstruction,
    Memory,
    Opcode,
    Queue,
    Set,
    Store,
    tile_bytes,
)
from weft_hardware.latencies import MOVING, WRITTEN_BY_BEAT
from weft_runtime.diagnosis import command_queues

from .state import FINISH_KIND, INSTRUCTION, LOAD_KIND, LOOP_KIND, NOTHING_KIND, SET_KIND, STORE_KIND, Records

Columns = Mapping[str, NDArray[np.int64]]

_KINDS = {
    Opcode.LOAD: LOAD_KIND,
    Opcode.STORE: STORE_KIND,
    Opcode.GEMM: LOOP_KIND,
    Opcode.FINISH: FINISH_KIND,
    Opcode.ALU: LOOP_KIND,
    Opcode.SET: SET_KIND,
    Opcode.GEMM_OVERWRITE: LOOP_KIND,
}


def timed_program(program: Words, bases: Mapping[Memory, int], config: AcceleratorConfig) -> Records:
    """Records of `state.INSTRUCTION`, one an instruction; all of them are legal."""
    codes = opcodes(program)
    records = np.zeros(len(program), INSTRUCTION)
    records["queue"] = command_queues(program, config)
    for name, column in unpack(Instruction, program, config).items():
        records[name] = column
    for opcode, kind in _KINDS.items():
        records["kind"][codes == opcode] = kind
    for cls in (Load, Store):
        chosen = np.flatnonzero(codes == cls.OPCODE)
        columns = unpack(cls, program[chosen], config)
        records[chosen] = _block(records[chosen], columns, bases, config)
    for cls in (Gemm, Alu, GemmOverwrite):
        chosen = np.flatnonzero(codes == cls.OPCODE)
        columns = unpack(cls, program[chosen], config)
        _loops(records, chosen, cls, columns)
    chosen = np.flatnonzero(codes == Opcode.SET)
    columns = unpack(Set, program[chosen], config)
    records["register"] = -1
    for number, register in QUEUE_REGISTERS.items():
        rows = columns["register"] == number
        records["register"][chosen[rows]] = number
        records["value"][chosen[rows]] = [register.value(int(value)) for value in columns["value"][rows]]
    records["moving"] = np.isin(records["register"], [int(number) for number in MOVING])
    return records


def _loops(records: Records, chosen: NDArray[np.int64], cls: type[LoopInstruction], columns: Columns) -> None:
    """What GEMM and ALU instructions read of the accumulators, and when."""
    records["beats"][chosen] = _beats(cls, columns)
    records["body"][chosen] = np.maximum(columns["uop_end"] - columns["uop_bgn"], 0)
    for name in ("uop_bgn", "iter_in", "dst_out", "dst_in", "src_out", "src_in"):
        records[name][chosen] = columns[name]
    records["overwrites"][chosen] = cls is GemmOverwrite
    if cls is Alu:
        records["paired"][chosen] = 1 - columns["use_imm"]
        records["reads_acc"][chosen] = 1
    else:
        records["reads_acc"][chosen] = 1 - columns["reset"]


def _beats(cls: type[LoopInstruction], columns: Columns) -> NDArray[np.int64]:
    """Cycles of a loop nest: its steps, each of two beats if the ALU has two operands in registers."""
    body = np.maximum(columns["uop_end"] - columns["uop_bgn"], 0)
    steps = columns["iter_out"] * columns["iter_in"] * body
    return steps * (2 - columns["use_imm"]) if cls is Alu else steps


def _block(records: Records, columns: Columns, bases: Mapping[Memory, int], config: AcceleratorConfig) -> Records:
    """What a LOAD or STORE reads or writes, as rows and ranges."""
    memory = columns["memory"]
    sizes = np.array([tile_bytes(Memory(k), config) for k in range(8)])
    size = sizes[memory]
    base = np.array([bases.get(Memory(k), 0) for k in range(8)])[memory]
    x, y, stride = columns["x_size"], columns["y_size"], columns["x_stride"]
    pads = columns["x_pad0"] + columns["x_pad1"] + columns["y_pad0"] + columns["y_pad1"]
    merged = (stride == x) & (pads == 0)
    width = np.where(merged, x * y, columns["x_pad0"] + x + columns["x_pad1"])
    data = (x != 0) & (y != 0)
    records["tiles"] = np.where(merged, x * y, width * (columns["y_pad0"] + y + columns["y_pad1"])) * (x != 0)
    records["ranges"] = np.where(data, np.where(merged, 1, y), 0)
    records["address"] = base + columns["dram"] * size
    records["row_tiles"] = np.where(merged, x * y, x)
    records["nbytes"] = records["row_tiles"] * size
    records["step_bytes"] = stride * size
    records["width"] = width
    records["merged"] = merged
    records["pads_before"] = columns["x_pad0"]
    records["data_rows"] = records["ranges"]
    records["rows_before"] = columns["y_pad0"]
    records["rows_after"] = columns["y_pad1"]
    records["beats_per_tile"] = np.maximum(1, size // config.axi_bytes)
    records["tiles_per_beat"] = in_beat = np.maximum(1, config.axi_bytes // size)
    by_beat = np.isin(memory, [int(m) for m in WRITTEN_BY_BEAT])
    records["pad_cost"] = np.where(by_beat, records["beats_per_tile"], 1)
    records["slot"] = columns["dram"] % in_beat
    records["slot_step"] = stride % in_beat
    records["tile_bytes"] = size
    records["sram"] = columns["sram"]
    records["mode"] = columns.get("mode", 0)
    records["eight_bit"] = memory == Memory.ACC_8BIT
    records["requantised"] = records["eight_bit"] * (records["kind"] == STORE_KIND)
    records["acknowledgements"] = records["ranges"] * (records["kind"] == STORE_KIND)
    records["uop_load"] = memory == Memory.UOP
    in_compute = records["queue"] == Queue.COMPUTE
    records["kind"][in_compute & (x == 0)] = NOTHING_KIND
    stored = records["kind"] == STORE_KIND
    records["kind"][stored & ~data] = NOTHING_KIND
    return records
