"""What one server lets its clients take, and the check of a program's length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, opcodes, unpack
from weft_hardware.isa import Alu, Gemm, Opcode
from weft_hardware.work import alu_beats, loop_steps

from .errors import RemoteError

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of size and time; each refusal names its own.

    Parameters
    ----------
    message_bytes : int
        Of one request or reply.
    chunk_bytes : int
        Of one piece of a copy; small enough for gRPC's default limit of 4 MiB in any language.
    memory_bytes : int
        Of a lease with memory of its own.
    module_bytes : int
        Of an uploaded file, and of what it unpacks to; twice that of all uploads at a time.
    modules : int
        Uploaded and kept at a time.
    calls : int
        Calls at a time, of all clients; beyond them gRPC refuses.
    launch_cycles : int
        Cycles that one launch may take.
    read_latency : int
        Cycles until a simulated memory answers.
    idle_seconds : float
        Without a call, after which a lease that others wait for is taken back.
    lease_seconds : float
        After which a lease that others wait for is taken back, busy or not.
    wait_seconds : float
        That a client may wait for a device.
    stream_seconds : float
        That a stream may neither bring the next request nor take the next reply.
    """

    message_bytes: int = 32 * MIB
    chunk_bytes: int = 2 * MIB
    memory_bytes: int = 1024 * MIB
    module_bytes: int = 512 * MIB
    modules: int = 32
    calls: int = 256
    launch_cycles: int = 2_000_000_000
    read_latency: int = 10_000
    idle_seconds: float = 30.0
    lease_seconds: float = 600.0
    wait_seconds: float = 3600.0
    stream_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise RemoteError(f"limit {name} = {value} lets nothing happen; choose more than 0")
        if self.chunk_bytes > self.message_bytes // 2:
            raise RemoteError(
                f"limit chunk_bytes = {self.chunk_bytes} does not fit a message of {self.message_bytes}; "
                "choose half of that at most"
            )


def check_length(program: Words, config: AcceleratorConfig, limits: Limits) -> None:
    """Refuse a program whose loops alone take more cycles than a launch may.

    Copies need no check: a block that does not fit its scratchpad is a fault.

    Raises
    ------
    RemoteError
        If they do.
    """
    codes = opcodes(program)
    gemm = unpack(Gemm, program[np.isin(codes, (Opcode.GEMM, Opcode.GEMM_OVERWRITE))], config)
    alu = unpack(Alu, program[codes == Opcode.ALU], config)
    # Of one instruction at most 2**13 · 2**14 · 2**14 micro-ops: a float cannot overflow, and is exact enough.
    cycles = float(loop_steps(gemm).sum(dtype=np.float64) + (loop_steps(alu) * alu_beats(alu)).sum(dtype=np.float64))
    if cycles > limits.launch_cycles:
        raise RemoteError(
            f"the program's loops take {cycles:.3g} cycles, the server lets a launch take {limits.launch_cycles}; "
            "split the program, or raise the server's --launch-cycles"
        )
