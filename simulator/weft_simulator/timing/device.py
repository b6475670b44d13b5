"""The timing model as a device: the RTL's cycles without its data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from weft_hardware import latencies
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words
from weft_hardware.isa import Queue, SetRegister, StoreMode, instruction_bytes, uop_bits
from weft_runtime.device import Launch, RunReport
from weft_runtime.dram import Dram

from ..simulated import DRAM_SIZE, SimulatedDevice
from ..tsim.model import MemoryTiming
from . import state
from .machine import launch as launch_machine
from .machine import run
from .program import timed_program
from .state import IDLE, NEVER, Machine, Records

MAX_CYCLES = 1 << 60


def _zeros(dtype: np.dtype[np.void], *shape: int) -> Records:
    return np.zeros(shape or (1,), dtype)


class TimingDevice(SimulatedDevice):
    """Predicts the cycles that the RTL takes, from instructions and micro-ops alone; memory keeps what it holds."""

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        dram_size: int = DRAM_SIZE,
        dram: Dram | None = None,
        memory: MemoryTiming | None = None,
        max_cycles: int = MAX_CYCLES,
    ) -> None:
        super().__init__(config, dram_size, dram)
        self._memory = memory or MemoryTiming()
        self.max_cycles = max_cycles
        self._uop_dst, self._uop_src = np.zeros((2, config.uop_depth), np.int64)

    def launch(self, launch: Launch) -> RunReport:
        program = self.program(launch)
        machine = self._machine(program, launch)
        launch_machine(machine, launch.insn_address, launch.insn_count * instruction_bytes(self.config))
        time = run(machine, 0)
        self.last = machine
        assert time < MAX_CYCLES, "hang"
        return RunReport(cycles=self._done(machine), instructions=len(program))

    def _done(self, machine: Machine) -> int:
        """The cycle in which the last condition of *done* holds."""
        steps = machine.steps[0]
        return int(
            max(
                max(machine.modules["last_retire"]) + 2,
                machine.fetching[0]["last_dispatch"] + 1,
                steps["last_step"] + latencies.DATAPATH_LATENCY,
                steps["finished_at"] + 1,
                machine.port[0]["last_end"] + 1,
            )
        )

    def _parameters(self, launch: Launch) -> Records:
        config = self.config
        size = instruction_bytes(config)
        slots = max(1, config.axi_bytes // size)
        values = {
            "clients": 4 if config.epilogue_lanes else 3,
            "read_latency": self._memory.read_latency,
            "write_latency": self._memory.write_latency,
            "reads_in_flight": config.reads_in_flight,
            "writes_in_flight": config.writes_in_flight,
            "command_depth": config.command_queue_depth,
            "token_depth": config.token_queue_depth,
            "axi_bytes": config.axi_bytes,
            "write_burst": latencies.longest_burst(config),
            # The memory answers in the cycle after the address, at the earliest.
            "grant_to_beat": latencies.GRANT_TO_ADDRESS + 1 + self._memory.read_latency,
            "instruction_parts": max(1, size // config.axi_bytes),
            "instruction_slots": slots,
            "instructions": launch.insn_count,
            "most_room": latencies.MOST_ROOM,
            "blocks_ahead": latencies.BLOCKS_AHEAD,
            "read_stage": latencies.ACC_READ_STAGE,
            "step_latency": latencies.STEP_LATENCY,
            "step_read_latency": latencies.READ_LATENCY,
            "step_to_completion": latencies.STEP_TO_COMPLETION,
            "datapath_latency": latencies.DATAPATH_LATENCY,
            "acc_half": (config.acc_depth + 1) // 2,
            "max_cycles": self.max_cycles,
            "uop_bytes": uop_bits(config) // 8,
            "dst_bits": config.acc_index_bits,
            "src_bits": config.src_index_bits,
            "dram_base": self.dram.base,
            # A register slice, then the memory.
            "beat_to_answer": latencies.GRANT_TO_ADDRESS + 1 + self._memory.write_latency,
            "acc_read_latency": latencies.ACC_READ_LATENCY,
            "tiles_ahead": latencies.TILES_AHEAD,
            "blocks_read": latencies.BLOCKS_READ,
            "blocks_waiting": latencies.BLOCKS_WAITING,
            "residuals_pause": latencies.RESIDUALS_PAUSE,
            "residual_mode": int(StoreMode.RESIDUAL),
            "static_mode": int(latencies.STATIC_MODE),
            "residual_register": int(SetRegister.RESIDUAL),
            "overwrite_register": int(SetRegister.OVERWRITE),
        }
        if config.epilogue_lanes:
            values |= {
                "epilogue_steps": config.batch * config.block_out // config.epilogue_lanes,
                "epilogue_latency": latencies.lanes_latency(config),
                "epilogue_buffer": latencies.epilogue_buffer(config),
            }
        record = _zeros(state.PARAMETERS)
        for name, value in values.items():
            record[name] = value
        return record

    def _readers(self) -> Records:
        config = self.config
        readers = _zeros(state.READER, 4)
        longest, streaming = latencies.longest_burst(config), latencies.streaming_beats(config)
        readers["longest"] = longest
        readers["buffer"] = streaming
        readers[state.FETCH]["longest"] = min(max(1, latencies.FETCH_BURST_BYTES // config.axi_bytes), longest)
        readers[state.FETCH]["buffer"] = latencies.FETCH_BUFFER_BYTES // config.axi_bytes
        readers[state.STORE]["longest"] = min(latencies.EPILOGUE_BURST, longest)
        readers[state.STORE]["buffer"] = max(
            2 * latencies.EPILOGUE_BURST, latencies.EPILOGUE_BUFFER_BYTES // config.axi_bytes
        )
        return readers

    def _machine(self, program: Words, launch: Launch) -> Machine:
        records = timed_program(program, launch.bases, self.config)
        modules = _zeros(state.MODULE, 3)
        order: list[NDArray[np.int64]] = []
        for queue in Queue:
            indices = np.flatnonzero(records["queue"] == queue)
            modules[queue]["count"] = indices.size
            modules[queue]["offset"] = sum(part.size for part in order)
            order.append(indices)
        modules["in_flight"] = latencies.IN_FLIGHT
        modules[Queue.STORE]["in_flight"] = latencies.STORES_IN_FLIGHT
        for name in ("dispatched_at", "at_once", "last_retire"):
            modules[name] = -1
        rows, walks, steps, fetching = (
            _zeros(state.ROWS, 4),
            _zeros(state.WALK, 4),
            _zeros(state.STEPS),
            _zeros(state.FETCHING),
        )
        storing = _zeros(state.STORING)
        storing["state"], storing["last_insn"], storing["last_answer"] = IDLE, -1, -1
        rows["state"], rows["pushed_at"] = IDLE, -1
        walks["last_done"], walks["done_at"] = -100, NEVER
        steps["last_step"], steps["finished_at"] = -100, -1
        fetching["word_at"] = NEVER
        size = instruction_bytes(self.config)
        slots = max(1, self.config.axi_bytes // size)
        fetching["slot"] = launch.insn_address // size % slots
        port = _zeros(state.PORT)
        port["last_end"] = -1
        return Machine(
            parameters=self._parameters(launch),
            wake=np.full(state.UNITS, NEVER, np.int64),
            due=np.zeros(state.UNITS, np.int64),
            program=records,
            order=np.concatenate(order),
            tokens=np.zeros(state.CHANNELS, np.int64),
            token_changes=np.zeros(state.CHANNELS, np.int64),
            port=port,
            ends=np.zeros(state.RING, np.int64),
            readers=self._readers(),
            bursts=_zeros(state.BURST, 4, state.RING),
            releases=_zeros(state.RELEASE, 4, state.RING),
            fetching=fetching,
            modules=modules,
            rows=rows,
            walks=walks,
            ahead=np.zeros((4, 8), np.int64),
            steps=steps,
            completions=np.zeros(16, np.int64),
            presents=_zeros(state.PRESENT, 16),
            uop_dst=self._uop_dst,
            uop_src=self._uop_src,
            dram=self.dram.data,
            storing=storing,
            lengths=np.zeros((state.RING, 3), np.int64),
            answers=np.zeros((state.RING, 2), np.int64),
            results=np.zeros(state.RING, np.int64),
            sent_blocks=np.zeros(8, np.int64),
            path_blocks=np.zeros(8, np.int64),
        )
