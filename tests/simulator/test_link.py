"""The server of a link: its files, who may be served, and that it ends."""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

import pytest
from weft_hardware.config import AcceleratorConfig
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError
from weft_simulator.functional.device import FunctionalDevice
from weft_simulator.link import LinkServer

CONFIG = AcceleratorConfig()


def opened(dram: Dram) -> FunctionalDevice:
    return FunctionalDevice(CONFIG, dram=dram)


class Client:
    """The protocol, in Python."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))

    def ask(self, kind: int, offset: int = 0, value: int = 0) -> tuple[int, int, int]:
        self.socket.sendall(struct.pack("<IIQ", kind, offset, value))
        return struct.unpack("<IIQ", self.socket.recv(16, socket.MSG_WAITALL))


def test_what_a_client_may_ask(tmp_path):
    with LinkServer(tmp_path / "dev", opened, 1 << 16) as server:
        client = Client(server.path)
        assert client.ask(0, 0, 1) == (0, 0, 0)
        assert client.ask(1, 0) == (1, 0, 0x54464557)
        assert client.ask(4, 0, 100) == (4, 0, 64)
        server.dram.view(64, 4)[:] = [1, 2, 3, 4]
        assert (tmp_path / "dev.memory").read_bytes()[64:68] == b"\1\2\3\4"
        assert client.ask(4, 0, 1 << 16) == (0xFFFFFFFF, 0, 0)
        assert client.ask(0, 0, 2) == (0xFFFFFFFF, 0, 0)
        assert client.ask(9)[0] == 0xFFFFFFFF
        client.socket.close()


def test_both_files_are_the_owners_alone_and_gone_afterwards(tmp_path):
    with LinkServer(tmp_path / "dev", opened):
        assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {
            "dev": 0o600,
            "dev.memory": 0o600,
        }
    assert not list(tmp_path.iterdir())


def test_one_client_at_a_time(tmp_path):
    with LinkServer(tmp_path / "dev", opened) as server:
        first, second = Client(server.path), Client(server.path)
        second.socket.settimeout(0.5)
        assert first.ask(0, 0, 1)[0] == 0
        with pytest.raises(TimeoutError):
            second.ask(0, 0, 1)
        first.socket.close()
        second.socket.settimeout(10)
        assert second.socket.recv(16, socket.MSG_WAITALL) == struct.pack("<IIQ", 0, 0, 0)
        second.socket.close()


def test_closing_disconnects(tmp_path):
    with LinkServer(tmp_path / "dev", opened) as server:
        client = Client(server.path)
        assert client.ask(0, 0, 1)[0] == 0
    assert client.socket.recv(16) == b""


def test_an_abandoned_socket_is_replaced_and_one_in_use_is_not(tmp_path):
    abandoned = socket.socket(socket.AF_UNIX)
    abandoned.bind(str(tmp_path / "dev"))
    abandoned.close()
    with LinkServer(tmp_path / "dev", opened) as server:
        with pytest.raises(DeviceError) as caught:
            LinkServer(tmp_path / "dev", opened)
        assert str(caught.value) == (
            f"socket {tmp_path / 'dev'} cannot be made: a device is served there already; choose another path"
        )
        assert Client(server.path).ask(0, 0, 1)[0] == 0


def test_refusals(tmp_path):
    with pytest.raises(DeviceError, match=r"^memory_bytes = 0 holds nothing; give at least 1$"):
        LinkServer(tmp_path / "dev", opened, 0)
    with pytest.raises(DeviceError, match=r"none/dev cannot be made: .*No such file or directory; choose"):
        LinkServer(tmp_path / "none" / "dev", opened)
    os.mkdir(tmp_path / "dev.memory")
    with pytest.raises(DeviceError, match=r"^memory .*dev\.memory cannot be made: Is a directory; choose"):
        LinkServer(tmp_path / "dev", opened)
    assert [path.name for path in tmp_path.iterdir()] == ["dev.memory"]
