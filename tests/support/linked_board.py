"""A board for processes that have numpy alone: registers and memory of a simulator that another process serves.

``python linked_board.py PATH NET.weft`` opens the board at a `weft_simulator.link` server's path as a driver of a board
does, reads images from its input, and writes what the network makes of them. It runs on any processor that has a Python
with numpy, so that tests show what a board needs, and what it does not: compiler, LLVM, simulator.
"""

from __future__ import annotations

import mmap
import socket
import struct
import sys
from pathlib import Path

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import as_words
from weft_hardware.isa import instruction_bytes
from weft_runtime.device import Bytes, Device, Launch, RunReport, check_launch
from weft_runtime.dram import Dram
from weft_runtime.engine import DRAIN_LIMIT, TIMEOUT, WRONG_BITSTREAM, Engine, TimedPort
from weft_runtime.module import Module
from weft_runtime.session import Session

_MESSAGE = struct.Struct("<IIQ")
HELLO, READ, WRITE, WAIT, ALLOCATE = range(5)
VERSION = 1
MEMORY = 8 << 20
"""Bytes that the board takes of the server's memory."""


class _LinkPort(TimedPort):
    def __init__(self, path: Path) -> None:
        super().__init__(TIMEOUT)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))

    def ask(self, kind: int, offset: int, value: int) -> int:
        self._socket.sendall(_MESSAGE.pack(kind, offset, value))
        answer = b""
        while len(answer) < _MESSAGE.size:
            part = self._socket.recv(_MESSAGE.size - len(answer))
            assert part, "the server is gone"
            answer += part
        got, _, value = _MESSAGE.unpack(answer)
        assert got == kind, "the server refuses"
        return value

    def read(self, offset: int) -> int:
        return self.ask(READ, offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.ask(WRITE, offset, value)

    def wait(self, offset: int, mask: int) -> int:
        while not (value := self.read(offset)) & mask:
            self.ask(WAIT, 0, 0)
        return value

    def reset_hardware(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._socket.close()


class LinkedBoard(Device):
    """The accelerator of a link server; memory is copied, as cached memory of a board is."""

    def __init__(self, config: AcceleratorConfig, path: Path) -> None:
        self.config = config
        self._port = _LinkPort(path)
        first = self._port.ask(HELLO, 0, VERSION)
        with Path(f"{path}.memory").open("r+b") as file:
            whole = np.frombuffer(mmap.mmap(file.fileno(), 0), np.uint8)
        base = self._port.ask(ALLOCATE, 0, MEMORY)
        self._dram = Dram(whole[base - first : base - first + MEMORY], base)
        bounds = (base, base + MEMORY)
        self._engine = Engine(config, self._port, bounds, watchdog=0, drain_limit=DRAIN_LIMIT, hint=WRONG_BITSTREAM)
        self._engine.set_up()

    def close(self) -> None:
        self._port.close()

    def allocate(self, nbytes: int) -> int:
        return self._dram.allocate(nbytes)

    def free(self, address: int) -> None:
        self._dram.free(address)

    def write(self, address: int, data: Bytes) -> None:
        self._dram.view(address, data.size)[:] = data

    def read(self, address: int, nbytes: int) -> Bytes:
        return self._dram.view(address, nbytes).copy()

    def launch(self, launch: Launch) -> RunReport:
        check_launch(launch, self.config)
        nbytes = launch.insn_count * instruction_bytes(self.config)
        return self._engine.run(launch, lambda: as_words(self.read(launch.insn_address, nbytes), self.config))


def main(path: str, network: str) -> None:
    module = Module.load(network)
    (info,) = module.content.inputs
    images = np.frombuffer(sys.stdin.buffer.read(), info.numpy_dtype).reshape(-1, *info.shape[1:])
    with LinkedBoard(module.content.config, Path(path)) as board, Session(module, board) as session:
        for image in images:
            outputs = session.run(image[None])
            sys.stdout.buffer.write(np.asarray(outputs).tobytes())
    for name in ("llvmlite", "xdsl", "onnx", "amaranth", "weft_simulator", "weft_compiler"):
        assert name not in sys.modules, f"{name} was imported"


if __name__ == "__main__":
    main(*sys.argv[1:])
