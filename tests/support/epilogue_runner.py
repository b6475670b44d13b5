"""Sends accumulators through the epilogue of a device: one program for a whole array of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Finish, Instruction, Load, Memory, Set, SetRegister, Store, StoreMode
from weft_runtime.device import Device, Launch, RunReport
from weft_simulator.lockstep.bits import instructions_to_bytes


@dataclass(frozen=True)
class Epilogue:
    """What to do with accumulators.

    Parameters
    ----------
    bias, scale : int64 arrays (tiles, block_out)
        Of each parameter tile; scales are encoded float32.
    registers : mapping
        SetRegister to value; RESIDUAL is chosen by `send`.
    residual : uint8 array, as many elements as accumulators, optional
    table : 256 bytes, optional
    """

    bias: NDArray[np.int64]
    scale: NDArray[np.int64]
    registers: Mapping[SetRegister, int] = field(default_factory=dict)
    residual: NDArray[np.uint8] | None = None
    table: NDArray[np.uint8] | None = None
    mode: int = 0
    """Bits of `StoreMode` besides RESIDUAL, TABLE and PARAM_X."""


def send(device: Device, config: AcceleratorConfig, acc: NDArray[np.int64], epilogue: Epilogue) -> NDArray[np.uint8]:
    """The bytes that (rows, tiles, batch, block_out) accumulators become, in the same shape.

    The k-th tile of each row takes the k-th parameter tile.
    """
    return send_timed(device, config, acc, epilogue)[0]


def send_timed(
    device: Device, config: AcceleratorConfig, acc: NDArray[np.int64], epilogue: Epilogue
) -> tuple[NDArray[np.uint8], RunReport]:
    """As `send`, with the device's report."""
    rows, tiles, batch, block_out = acc.shape
    assert (batch, block_out) == (config.batch, config.block_out)
    assert rows * tiles <= config.acc_depth
    assert tiles <= config.param_depth
    params = np.stack([epilogue.bias, epilogue.scale], axis=-1).astype(np.uint32)
    mode = epilogue.mode | StoreMode.PARAM_X
    memory: dict[Memory, tuple[int, int]] = {}  # address and bytes
    contents: list[tuple[Memory, NDArray]] = [(Memory.ACC, acc.astype(np.int32)), (Memory.PARAM, params)]
    result = acc.size
    if epilogue.residual is not None:
        mode |= StoreMode.RESIDUAL
    if epilogue.table is not None:
        mode |= StoreMode.TABLE
        contents.append((Memory.TABLE, epilogue.table))
    for kind, data in contents:
        memory[kind] = (place(device, data), data.nbytes)
    out = np.zeros(2 * result, np.uint8)
    if epilogue.residual is not None:
        out[result:] = epilogue.residual.reshape(-1).view(np.uint8)
    memory[Memory.ACC_8BIT] = (place(device, out), out.nbytes)
    registers = dict(epilogue.registers)
    if mode & StoreMode.RESIDUAL:
        registers[SetRegister.RESIDUAL] = rows * tiles
    program: list[Instruction] = [
        Load(memory=int(Memory.ACC), x_size=tiles, y_size=rows, x_stride=tiles, push_next=True),
        Load(memory=int(Memory.PARAM), x_size=tiles, y_size=1),
    ]
    if epilogue.table is not None:
        program.append(Load(memory=int(Memory.TABLE), x_size=1, y_size=1))
    program += [Set(register=int(r), value=int(v) & 0xFFFFFFFF) for r, v in registers.items()]
    block = {"x_size": tiles, "y_size": rows, "x_stride": tiles}
    program += [Store(memory=int(Memory.ACC_8BIT), mode=int(mode), pop_prev=True, **block), Finish()]
    code = np.frombuffer(instructions_to_bytes(program, config), np.uint8)
    memory[Memory.UOP] = (place(device, code), code.nbytes)
    bases = {kind: address for kind, (address, _) in memory.items() if kind is not Memory.UOP}
    report = device.launch(Launch(memory[Memory.UOP][0], len(program), bases))
    raw = device.read(memory[Memory.ACC_8BIT][0], result)
    for address, _ in memory.values():
        device.free(address)
    return np.asarray(raw).view(np.uint8).reshape(acc.shape).copy(), report


def place(device: Device, data: NDArray) -> int:
    raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    address = device.allocate(raw.size)
    device.write(address, raw)
    return address
