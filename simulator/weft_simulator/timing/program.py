"""A program as the timing model wants it: of each instruction what time depends on, in numpy columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, opcodes, unpack, unpack_uops
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
    StoreMode,
    alu_operations,
    loadable,
    scratchpad_depth,
    settable,
    storable,
    store_modes,
    tile_bytes,
    uop_bits,
)
from weft_hardware.latencies import MOVING, WRITTEN_BY_BEAT
from weft_hardware.work import alu_beats, loop_steps
from weft_runtime.diagnosis import command_queues
from weft_runtime.dram import Dram

from . import state
from .state import Records

Columns = Mapping[str, NDArray[np.int64]]

_KINDS = {
    Opcode.LOAD: state.LOAD_KIND,
    Opcode.STORE: state.STORE_KIND,
    Opcode.GEMM: state.LOOP_KIND,
    Opcode.FINISH: state.FINISH_KIND,
    Opcode.ALU: state.LOOP_KIND,
    Opcode.SET: state.SET_KIND,
    Opcode.GEMM_OVERWRITE: state.LOOP_KIND,
}


@dataclass(frozen=True)
class MemoryMap:
    """Where a launch's memories lie, by memory id: base registers and windows ``[begin, end)``, in bytes."""

    bases: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class TimedProgram:
    """A program by queues.

    Attributes
    ----------
    records : records of `state.INSTRUCTION`
        Queue by queue, each in its order.
    fetched : records of `state.FETCHED`
        In the order of fetching.
    places : int64 array
        Program index of each record.
    loaded_uops : records of `state.UOP`
        What LOADs bring to the micro-op buffer, as memory holds it now.
    """

    records: Records
    fetched: Records
    places: NDArray[np.int64]
    loaded_uops: Records


def timed_program(program: Words, memory: MemoryMap, dram: Dram, config: AcceleratorConfig) -> TimedProgram:
    """Look at every instruction once; one that will fault is marked, not refused, since it may never begin."""
    queues = command_queues(program, config)
    places = np.argsort(queues, kind="stable")
    records = _instructions(program[places], memory, config)
    uops = _loaded_uops(records, dram, config)
    fetched = np.zeros(len(program), state.FETCHED)
    fetched["queue"] = queues
    return TimedProgram(records, fetched, places, uops)


def _instructions(program: Words, memory: MemoryMap, config: AcceleratorConfig) -> Records:
    codes = opcodes(program)
    records = np.zeros(len(program), state.INSTRUCTION)
    records["queue"] = command_queues(program, config)
    records["register"] = -1
    for name, column in unpack(Instruction, program, config).items():
        records[name] = column
    for opcode, kind in _KINDS.items():
        records["kind"][codes == opcode] = kind
    describe = {Load: _block, Store: _block, Gemm: _loops, Alu: _loops, GemmOverwrite: _loops, Set: _set}
    for cls, describes in describe.items():
        chosen = codes == cls.OPCODE
        part, columns = records[chosen], unpack(cls, program[chosen], config)
        describes(part, cls, columns, memory, config)
        records[chosen] = part
    unknown = ~np.isin(codes, [int(opcode) for opcode in Opcode])
    unknown |= (codes == Opcode.GEMM_OVERWRITE) & (not config.gemm_overwrite)
    records["fault"][unknown] = state.ILLEGAL
    return records


def _loops(
    records: Records, cls: type[LoopInstruction], columns: Columns, memory: MemoryMap, config: AcceleratorConfig
) -> None:
    """Steps of GEMM and ALU, their beats, and what they reach."""
    body = np.maximum(columns["uop_end"] - columns["uop_bgn"], 0)
    outer, inner = columns["iter_out"], columns["iter_in"]
    for name in ("uop_bgn", "uop_end", "iter_in", "dst_out", "dst_in", "src_out", "src_in"):
        records[name] = columns[name]
    for operand in ("dst", "src", *(() if cls is Alu else ("wgt",))):
        reach = (outer - 1) * columns[f"{operand}_out"] + (inner - 1) * columns[f"{operand}_in"]
        records[f"{operand}_reach"] = reach
    records["body"] = body
    records["beats"] = loop_steps(columns)
    records["overwrites"] = cls is GemmOverwrite
    if cls is Alu:
        paired = 1 - columns["use_imm"]
        records["paired"] = paired
        records["beats"] *= alu_beats(columns)
        records["reads_acc"] = 1
        records["src_depth"] = config.acc_depth * paired
        known = np.isin(columns["alu_op"], [int(op) for op in alu_operations(config)])
        records["fault"][~known] = state.ILLEGAL
    else:
        multiplies = 1 - columns["reset"]
        records["reads_acc"] = multiplies
        records["src_depth"] = config.inp_depth * multiplies
        records["wgt_depth"] = config.wgt_depth * multiplies


def _set(records: Records, cls: type[Set], columns: Columns, memory: MemoryMap, config: AcceleratorConfig) -> None:
    number = columns["register"]
    records["register"] = number
    for register, declared in QUEUE_REGISTERS.items():
        rows = number == register
        records["value"][rows] = [declared.value(int(value)) for value in columns["value"][rows]]
    records["moving"] = np.isin(number, [int(register) for register in MOVING])
    records["fault"][~np.isin(number, [int(register) for register in settable(config)])] = state.ILLEGAL


def _block(
    records: Records, cls: type[Load | Store], columns: Columns, memory: MemoryMap, config: AcceleratorConfig
) -> None:
    """What a LOAD or STORE reads or writes, as rows and ranges."""
    number = columns["memory"]
    size = np.array([tile_bytes(Memory(k), config) for k in range(8)])[number]
    x, y, stride = columns["x_size"], columns["y_size"], columns["x_stride"]
    rows = columns["y_pad0"] + y + columns["y_pad1"]
    pads = columns["x_pad0"] + columns["x_pad1"] + columns["y_pad0"] + columns["y_pad1"]
    merged = (stride == x) & (pads == 0)
    has_data = (x != 0) & (y != 0)
    width = columns["x_pad0"] + x + columns["x_pad1"]
    in_beat = np.maximum(1, config.axi_bytes // size)
    beats = np.maximum(1, size // config.axi_bytes)
    by_beat = np.isin(number, [int(written) for written in WRITTEN_BY_BEAT])
    stores = cls is Store
    values = {
        "tiles": width * rows * (x != 0),
        "ranges": np.where(has_data, np.where(merged, 1, y), 0),
        "address": memory.bases[number] + columns["dram"] * size,
        "row_tiles": np.where(merged, x * y, x),
        "step_bytes": stride * size,
        "width": np.where(merged, x * y, width),
        "merged": merged,
        "pads_before": columns["x_pad0"],
        "rows_before": columns["y_pad0"],
        "rows_after": columns["y_pad1"],
        "beats_per_tile": beats,
        "tiles_per_beat": in_beat,
        "pad_cost": np.where(by_beat, beats, 1),
        "slot": columns["dram"] % in_beat,
        "slot_step": stride % in_beat,
        "tile_bytes": size,
        "sram": columns["sram"],
        "mode": columns.get("mode", 0),
        "eight_bit": number == Memory.ACC_8BIT,
        "requantised": (number == Memory.ACC_8BIT) & stores,
        "uop_load": (number == Memory.UOP) & (not stores),
        "extent": ((y - 1) * stride + x) * size,
    }
    for name, value in values.items():
        records[name] = value
    records["data_rows"] = records["ranges"]
    records["nbytes"] = records["row_tiles"] * size
    records["acknowledgements"] = records["ranges"] * stores
    records["last_param"] = (x - 1) * (records["mode"] & StoreMode.PARAM_X != 0)
    records["last_param"] += (y - 1) * (records["mode"] & StoreMode.PARAM_Y != 0)
    nothing = ~has_data if stores else (x == 0) & (records["queue"] == Queue.COMPUTE)
    records["kind"][nothing] = state.NOTHING_KIND
    records["fault"] = _block_faults(records, cls, columns, memory, config)


def _block_faults(
    records: Records, cls: type[Load | Store], columns: Columns, memory: MemoryMap, config: AcceleratorConfig
) -> NDArray[np.int64]:
    """Why blocks are refused, the first reason."""
    number = columns["memory"]
    allowed = storable(config) if cls is Store else loadable(config)
    illegal = ~np.isin(number, [int(of) for of in allowed])
    outside = (
        records["sram"] + records["tiles"] > np.array([scratchpad_depth(Memory(k), config) for k in range(8)])[number]
    )
    outside &= records["tiles"] != 0
    if cls is Store:
        illegal |= (columns["y_pad0"] | columns["y_pad1"] | columns["x_pad0"] | columns["x_pad1"]) != 0
        illegal |= (number == Memory.ACC_8BIT) & (columns["mode"] & ~int(store_modes(config)) != 0)
        outside &= records["ranges"] != 0
    first = records["address"]
    leaves = (first < memory.begins[number]) | (first + records["extent"] > memory.ends[number])
    leaves &= records["ranges"] != 0
    reasons = (state.ILLEGAL, state.OUT_OF_SCRATCHPAD, state.OUT_OF_WINDOW)
    return np.select([illegal, outside, leaves], reasons, state.NO_FAULT)


def _loaded_uops(records: Records, dram: Dram, config: AcceleratorConfig) -> Records:
    """The micro-ops that LOADs bring, one after another, padding as zeros; tells each LOAD where its own begin."""
    loads = np.flatnonzero((records["uop_load"] == 1) & (records["fault"] == state.NO_FAULT))
    counts = records["tiles"][loads]
    begins = np.cumsum(counts) - counts
    records["uops_at"][loads] = begins
    encoded = np.zeros(int(counts.sum()), f"<u{uop_bits(config) // 8}")
    for load, begin, count in zip(records[loads], begins, counts, strict=True):
        if not load["ranges"]:
            continue
        rows, width = int(load["data_rows"]), int(load["width"])
        block = encoded[begin : begin + count].reshape(-1, width)[load["rows_before"] :]
        for row in range(rows):
            data = dram.view(int(load["address"] + row * load["step_bytes"]), int(load["nbytes"]))
            block[row, load["pads_before"] :][: load["row_tiles"]] = data.view(encoded.dtype)
    uops = np.zeros(encoded.size, state.UOP)
    for name, column in unpack_uops(encoded, config).items():
        uops[name] = column
    return uops
