"""A program as the timing model wants it: of each instruction what time depends on, in numpy columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
Fields = Mapping[str, Any]
"""Columns of `state.INSTRUCTION`, or one value for all."""

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
    """All fields as columns first: records are too wide to be filled field by field."""
    codes, count = opcodes(program), len(program)
    fields = {name: np.zeros(count, np.int64) for name in state.INSTRUCTION.names or ()}
    fields["queue"][:] = command_queues(program, config)
    fields["register"][:] = -1
    for name, column in unpack(Instruction, program, config).items():
        fields[name][:] = column
    for opcode, kind in _KINDS.items():
        fields["kind"][codes == opcode] = kind
    describe = {Load: _block, Store: _block, Gemm: _loops, Alu: _loops, GemmOverwrite: _loops, Set: _set}
    for cls, describes in describe.items():
        chosen = np.flatnonzero(codes == cls.OPCODE)
        columns = {"queue": fields["queue"][chosen], **unpack(cls, program[chosen], config)}
        for name, values in describes(cls, columns, memory, config).items():
            fields[name][chosen] = values
    unknown = ~np.isin(codes, [int(opcode) for opcode in Opcode])
    unknown |= (codes == Opcode.GEMM_OVERWRITE) & (not config.gemm_overwrite)
    fields["fault"][unknown] = state.ILLEGAL
    return _records(list(fields.values()))


def _records(columns: list[NDArray[np.int64]]) -> Records:
    """Columns as records, so many at a time as stay in the CPU's cache."""
    records = np.empty((len(columns[0]), len(columns)), np.int64)
    for begin in range(0, len(records), 1024):
        some = slice(begin, begin + 1024)
        for k, column in enumerate(columns):
            records[some, k] = column[some]
    return records.view(state.INSTRUCTION)[:, 0]


def _loops(cls: type[LoopInstruction], columns: Columns, memory: MemoryMap, config: AcceleratorConfig) -> Fields:
    """Steps of GEMM and ALU, their beats, and what they reach."""
    outer, inner = columns["iter_out"], columns["iter_in"]
    names = ("uop_bgn", "uop_end", "iter_in", "dst_out", "dst_in", "src_out", "src_in")
    found: dict[str, Any] = {name: columns[name] for name in names}
    for operand in ("dst", "src", *(() if cls is Alu else ("wgt",))):
        reach = (outer - 1) * columns[f"{operand}_out"] + (inner - 1) * columns[f"{operand}_in"]
        found[f"{operand}_reach"] = reach
    found["body"] = np.maximum(columns["uop_end"] - columns["uop_bgn"], 0)
    found["beats"] = loop_steps(columns)
    if cls is Alu:
        paired = 1 - columns["use_imm"]
        found["beats"] = found["beats"] * alu_beats(columns)
        known = np.isin(columns["alu_op"], [int(op) for op in alu_operations(config)])
        faults = np.where(known, state.NO_FAULT, state.ILLEGAL)
        return found | {"paired": paired, "reads_acc": 1, "src_depth": config.acc_depth * paired, "fault": faults}
    multiplies = 1 - columns["reset"]
    return found | {
        "overwrites": cls is GemmOverwrite,
        "reads_acc": multiplies,
        "src_depth": config.inp_depth * multiplies,
        "wgt_depth": config.wgt_depth * multiplies,
    }


def _set(cls: type[Set], columns: Columns, memory: MemoryMap, config: AcceleratorConfig) -> Fields:
    number = columns["register"]
    value = np.zeros_like(number)
    for register, declared in QUEUE_REGISTERS.items():
        rows = number == register
        value[rows] = [declared.value(int(held)) for held in columns["value"][rows]]
    known = np.isin(number, [int(register) for register in settable(config)])
    return {
        "register": number,
        "value": value,
        "moving": np.isin(number, [int(register) for register in MOVING]),
        "fault": np.where(known, state.NO_FAULT, state.ILLEGAL),
    }


def _block(cls: type[Load | Store], columns: Columns, memory: MemoryMap, config: AcceleratorConfig) -> Fields:
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
    ranges = np.where(has_data, np.where(merged, 1, y), 0)
    row_tiles = np.where(merged, x * y, x)
    mode = columns.get("mode", np.zeros_like(number))
    found = {
        "tiles": width * rows * (x != 0),
        "ranges": ranges,
        "data_rows": ranges,
        "address": memory.bases[number] + columns["dram"] * size,
        "nbytes": row_tiles * size,
        "row_tiles": row_tiles,
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
        "mode": mode,
        "eight_bit": number == Memory.ACC_8BIT,
        "requantised": (number == Memory.ACC_8BIT) & stores,
        "uop_load": (number == Memory.UOP) & (not stores),
        "extent": ((y - 1) * stride + x) * size,
        "acknowledgements": ranges * stores,
        "last_param": (x - 1) * (mode & StoreMode.PARAM_X != 0) + (y - 1) * (mode & StoreMode.PARAM_Y != 0),
    }
    nothing = ~has_data if stores else (x == 0) & (columns["queue"] == Queue.COMPUTE)
    kind = np.where(nothing, state.NOTHING_KIND, _KINDS[cls.OPCODE])
    return found | {"kind": kind, "fault": _block_faults(found, cls, columns, memory, config)}


def _block_faults(
    block: Fields, cls: type[Load | Store], columns: Columns, memory: MemoryMap, config: AcceleratorConfig
) -> NDArray[np.int64]:
    """Why blocks are refused, the first reason."""
    number = columns["memory"]
    allowed = storable(config) if cls is Store else loadable(config)
    illegal = ~np.isin(number, [int(of) for of in allowed])
    outside = block["sram"] + block["tiles"] > np.array([scratchpad_depth(Memory(k), config) for k in range(8)])[number]
    outside &= block["tiles"] != 0
    if cls is Store:
        illegal |= (columns["y_pad0"] | columns["y_pad1"] | columns["x_pad0"] | columns["x_pad1"]) != 0
        illegal |= (number == Memory.ACC_8BIT) & (columns["mode"] & ~int(store_modes(config)) != 0)
        outside &= block["ranges"] != 0
    first = block["address"]
    leaves = (first < memory.begins[number]) | (first + block["extent"] > memory.ends[number])
    leaves &= block["ranges"] != 0
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
