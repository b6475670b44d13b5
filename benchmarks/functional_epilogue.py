"""How fast the functional simulator requantises: whole scratchpads at the vta preset's shape, one thread."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish, Instruction, Load, Memory, Set, SetRegister, Store, StoreMode
from weft_hardware.presets import VTA
from weft_runtime.device import Device, Launch
from weft_simulator.functional import FunctionalDevice

STORES = 256
REPEATS = 5
SCALE = 0x38D1B717
"""1e-4, encoded."""


def _place(device: Device, data: np.ndarray) -> int:
    raw = np.frombuffer(data.tobytes(), np.uint8)
    address = device.allocate(raw.size)
    device.write(address, raw)
    return address


def _rate(mode: int) -> float:
    """Elements a microsecond, that is millions a second."""
    config = replace(VTA, epilogue_lanes=4, residual=True, table=True)
    rng = np.random.default_rng(0)
    elements = config.acc_depth * config.batch * config.block_out
    with FunctionalDevice(config, dram_size=16 << 20) as device:
        scales = np.stack([np.zeros(16, np.uint32), np.full(16, SCALE, np.uint32)], axis=-1)
        bases = {
            Memory.ACC: _place(device, rng.integers(-(1 << 20), 1 << 20, elements, np.int32)),
            Memory.PARAM: _place(device, scales),
            Memory.TABLE: _place(device, np.arange(256, dtype=np.uint8)),
            Memory.ACC_8BIT: _place(device, rng.integers(0, 256, 2 * elements, np.uint8)),
        }
        block = {"x_size": config.acc_depth, "y_size": 1, "x_stride": config.acc_depth}
        registers = {
            SetRegister.RESIDUAL: config.acc_depth,
            SetRegister.SCALE: 0x3F19999A,
            SetRegister.RESIDUAL_SCALE: 0x3F333333,
        }
        store = Store(memory=Memory.ACC_8BIT, mode=mode, **block)
        program: list[Instruction] = [
            Load(memory=Memory.ACC, push_next=True, **block),
            Load(memory=Memory.PARAM, x_size=1, y_size=1),
            Load(memory=Memory.TABLE, x_size=1, y_size=1),
            *[Set(register=register, value=value) for register, value in registers.items()],
            replace(store, pop_prev=True),
            *[store] * (STORES - 1),
            Finish(),
        ]
        launch = Launch(_place(device, encode(program, config)), len(program), bases)
        device.launch(launch)
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            device.launch(launch)
            times.append(time.perf_counter() - start)
    return round(STORES * elements / statistics.median(times) / 1e6)


def measure() -> dict[str, float | int | str]:
    """Medians of several launches."""
    return {
        "requantise_melements_per_second": _rate(0),
        "with_table": _rate(StoreMode.TABLE),
        "with_residual": _rate(StoreMode.RESIDUAL),
    }
