"""The timing model before its first cycle: what configuration, memory timing and RTL say, and everything at rest."""

from __future__ import annotations

import numpy as np
from weft_hardware import latencies
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Queue, SetRegister, StoreMode, instruction_bytes
from weft_hardware.registers import Activity

from ..tsim.model import MemoryTiming
from . import state

FIRST = 1
"""The first cycle that counts."""


def machine_at_rest(config: AcceleratorConfig, memory: MemoryTiming) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """One record of `state.MACHINE`, before any launch."""
    machine = np.zeros(1, state.MACHINE)
    s = machine[0]
    for name, value in _parameters(config, memory).items():
        s["parameters"][name] = value
    _set_readers(s["readers"], config)
    s["wake"] = state.NEVER
    s["port"]["last_end"] = -1
    s["fetching"]["word_at"] = state.NEVER
    modules = s["modules"]
    modules["in_flight"] = latencies.IN_FLIGHT
    modules["in_flight"][Queue.STORE] = latencies.STORES_IN_FLIGHT
    for name in ("dispatched_at", "at_once", "last_retire"):
        modules[name] = -1
    s["accounts"]["since"], s["accounts"]["lasting"] = FIRST, Activity.QUEUE
    s["rows"]["state"] = state.IDLE
    s["rows"]["pushed_at"] = -1
    s["walks"]["last_done"] = -latencies.DATAPATH_LATENCY
    s["walks"]["done_at"] = state.NEVER
    s["steps"]["last_step"] = -latencies.DATAPATH_LATENCY
    s["steps"]["finished_at"] = -1
    storing = s["storing"]
    storing["state"], storing["last_insn"], storing["last_answer"] = state.IDLE, -1, -1
    return machine


def _parameters(config: AcceleratorConfig, memory: MemoryTiming) -> dict[str, int]:
    size = instruction_bytes(config)
    values = {
        "clients": len(Queue) + (1 if config.epilogue_lanes else 0),
        "reads_in_flight": config.reads_in_flight,
        "writes_in_flight": config.writes_in_flight,
        "command_depth": config.command_queue_depth,
        "token_depth": config.token_queue_depth,
        "axi_shift": config.axi_bytes.bit_length() - 1,
        "write_burst": latencies.longest_burst(config),
        # The memory answers in the cycle after the address or the last beat, at the earliest.
        "grant_to_beat": latencies.SLICE_LATENCY + 1 + memory.read_latency,
        "beat_to_answer": latencies.SLICE_LATENCY + 1 + memory.write_latency,
        "instruction_parts": max(1, size // config.axi_bytes),
        "instruction_slots": max(1, config.axi_bytes // size),
        "most_room": latencies.MOST_ROOM,
        "blocks_ahead": latencies.BLOCKS_AHEAD,
        "read_stage": latencies.ACC_READ_STAGE,
        "step_latency": latencies.STEP_LATENCY,
        "step_read_latency": latencies.READ_LATENCY,
        "step_to_completion": latencies.STEP_TO_COMPLETION,
        "datapath_latency": latencies.DATAPATH_LATENCY,
        "acc_half": (config.acc_depth + 1) // 2,
        "acc_depth": config.acc_depth,
        "uop_depth": config.uop_depth,
        "acc_read_latency": latencies.ACC_READ_LATENCY,
        "tiles_ahead": latencies.TILES_AHEAD,
        "blocks_read": latencies.BLOCKS_READ,
        "blocks_waiting": latencies.BLOCKS_WAITING,
        "residuals_pause": latencies.RESIDUALS_PAUSE,
        "residual_mode": int(StoreMode.RESIDUAL),
        "static_mode": int(latencies.STATIC_MODE),
        "residual_register": int(SetRegister.RESIDUAL),
        "overwrite_register": int(SetRegister.OVERWRITE),
        "param_register": int(SetRegister.PARAM),
        "param_depth": config.param_depth,
        "counts": 1,
    }
    if config.epilogue_lanes:
        values |= {
            "epilogue_steps": config.batch * config.block_out // config.epilogue_lanes,
            "epilogue_latency": latencies.lanes_latency(config),
            "epilogue_buffer": latencies.epilogue_buffer(config),
        }
    return values


def _set_readers(readers: state.Records, config: AcceleratorConfig) -> None:
    readers["longest"] = latencies.longest_burst(config)
    readers["buffer"] = latencies.streaming_beats(config)
    for client, burst, buffer in (
        (state.FETCH, latencies.fetch_burst(config), latencies.FETCH_BUFFER_BYTES // config.axi_bytes),
        (state.STORE, latencies.epilogue_burst(config), latencies.epilogue_reader_beats(config)),
    ):
        readers["longest"][client] = burst
        readers["buffer"][client] = buffer
