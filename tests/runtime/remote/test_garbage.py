"""Whatever comes in at the port, the server goes on serving and the device stays clean."""

import random
import socket
import struct
import threading
import time

import grpc
import numpy as np
import pytest
from support.remote import Board, eventually, program
from weft_hardware.isa import Memory
from weft_runtime.device import Launch
from weft_runtime.remote.connection import Connection
from weft_runtime.remote.device import RemoteDevice
from weft_runtime.remote.limits import Limits
from weft_runtime.remote.messages import METHODS, Method, message
from weft_runtime.remote.server import ServerOptions, serving
from weft_runtime.remote.sources import KeptDevice

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)
EXTREMES = (0, 1, 63, 64, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63), (1 << 64) - 1)

UNEXPECTED = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def address(board, capfd):
    """A server that has said nothing of a failure of its own when the test ends, and has nothing left on its device."""
    limits = Limits(wait_seconds=0.2, stream_seconds=0.5)
    with serving([KeptDevice("board", board)], ServerOptions(limits=limits)) as address:
        yield address
        assert eventually(lambda: not Connection(address).offer.devices[0].in_use)
        with RemoteDevice(address) as device:
            place = device.allocate(64)
            device.write(place, program())
            assert device.launch(Launch(place, 1)).cycles == 7
        assert eventually(lambda: not board.buffers)
    assert "weft serve" not in capfd.readouterr().err


def frame(rng: random.Random) -> bytes:
    """A frame of HTTP/2 of any type, whose length is mostly right."""
    payload = rng.randbytes(rng.choice((0, 1, 5, 8, 40)))
    length = len(payload) if rng.random() < 0.8 else rng.randrange(1 << 24)
    kind, flags = rng.randrange(12), rng.randrange(256)
    return struct.pack(">I", length)[1:] + bytes((kind, flags)) + struct.pack(">I", rng.choice((0, 1, 3, 7))) + payload


def send_bytes(address, count: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        with socket.create_connection((address.host, address.port), timeout=5) as link:
            data = rng.choice((b"", PREFACE, PREFACE + SETTINGS, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"))
            data += b"".join(frame(rng) if rng.random() < 0.7 else rng.randbytes(rng.randrange(200)) for _ in range(5))
            try:
                link.sendall(data)
                if rng.random() < 0.3:
                    link.settimeout(0.05)
                    link.recv(1000)
            except OSError:
                pass  # the server may close whenever it likes


def test_bytes_of_any_kind(address):
    send_bytes(address, 150, seed=11)


@pytest.mark.slow
def test_bytes_of_any_kind_for_longer(address):
    send_bytes(address, 20_000, seed=12)


def status(channel: grpc.Channel, method: Method, request: bytes) -> tuple[grpc.StatusCode, str]:
    """How a call with this request ends; one that streams replies is cancelled after the first."""
    call = getattr(channel, method.kind)(method.path, lambda raw: raw, lambda raw: raw)
    try:
        answer = call(iter([request, request]) if method.streams_requests else request, timeout=10)
        if method.streams_replies:
            next(iter(answer), None)
            answer.cancel()
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def call_all(address, data: bytes) -> set[grpc.StatusCode]:
    """The statuses of all calls with these bytes as their request."""
    with grpc.insecure_channel(address.target) as channel:
        answers = [status(channel, method, data) for method in METHODS.values()]
    assert all(sentence for code, sentence in answers if code is not grpc.StatusCode.OK)
    return {code for code, _ in answers}


def test_requests_that_are_no_messages(address):
    """0x0b opens a group, which nothing closes."""
    assert call_all(address, b"\x0b") == {grpc.StatusCode.INVALID_ARGUMENT}


def calls_of_any_bytes(address, count: int, seed: int) -> set[grpc.StatusCode]:
    rng, seen = random.Random(seed), set()
    for _ in range(count):
        seen |= call_all(address, rng.randbytes(rng.randrange(40)))
    return seen


def test_requests_of_any_bytes(address):
    seen = calls_of_any_bytes(address, 40, seed=3)
    assert grpc.StatusCode.INVALID_ARGUMENT in seen
    assert not seen & UNEXPECTED


def anything(kind, rng: random.Random, lease: str, places: list[int]):
    """A message whose fields hold extremes; the lease is right, and addresses sometimes are."""
    value = kind()
    for field in kind.DESCRIPTOR.fields:
        if rng.random() < 0.3:
            continue
        if field.name == "lease":
            value.lease = lease
        elif field.name in ("bases", "windows"):
            names = [rng.choice(list(Memory)).name, rng.choice(("", "XYZ", "inp"))][: rng.randrange(3)]
            for name in names:
                if field.name == "bases":
                    value.bases[name] = rng.choice((*EXTREMES, *places))
                else:
                    value.windows[name].begin, value.windows[name].end = rng.choice(EXTREMES), rng.choice(places)
        elif field.cpp_type in (field.CPPTYPE_UINT64, field.CPPTYPE_UINT32):
            if field.name != "shape":
                most = 64 if field.cpp_type == field.CPPTYPE_UINT64 else 32
                setattr(value, field.name, rng.choice((*EXTREMES, *places)) % (1 << most))
        elif field.type == field.TYPE_BYTES:
            setattr(value, field.name, rng.randbytes(rng.choice((0, 1, 64, 5000))))
        elif field.type == field.TYPE_STRING:
            setattr(value, field.name, rng.choice(("", "board", "\x00\n", "n" * 10_000, "ö")))
        elif field.cpp_type == field.CPPTYPE_DOUBLE:
            setattr(value, field.name, rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e-9)))
        elif field.cpp_type == field.CPPTYPE_MESSAGE and field.name == "memory":
            value.memory.base, value.memory.size = rng.choice(EXTREMES), rng.choice(EXTREMES)
        elif field.cpp_type == field.CPPTYPE_MESSAGE and field.name == "inputs":
            tensor = value.inputs.add(name="x", dtype=rng.choice(("int8", "object", "")), data=rng.randbytes(3))
            tensor.shape.extend(rng.choice(EXTREMES) for _ in range(rng.randrange(20)))
    return value


def test_requests_with_any_values(board, address):
    rng, seen = random.Random(8), {}
    with RemoteDevice(address) as device, grpc.insecure_channel(address.target) as channel:
        places = [device.allocate(100) for _ in range(2)]
        theirs = board.allocate(64)
        board.write(theirs, np.full(64, 7, np.uint8))
        for _ in range(60):
            for method in METHODS.values():
                request = anything(method.request, rng, device._lease, places)
                code, sentence = status(channel, method, request.SerializeToString())
                assert code not in UNEXPECTED, (method.name, request, sentence)
                seen.setdefault(method.name, set()).add(code)
        assert board.read(theirs, 64).tobytes() == bytes([7]) * 64
        board.free(theirs)
    assert grpc.StatusCode.OK in seen["Write"] | seen["Read"] | seen["Free"]
    assert all(len(codes) >= 1 for codes in seen.values())


def test_leases_that_are_cancelled_at_any_moment(address):
    """Also at the one when the device is handed over."""
    rng, method = random.Random(4), METHODS["Lease"]
    with grpc.insecure_channel(address.target) as channel:
        call = channel.unary_stream(method.path, method.encode, method.reply.FromString)
        for _ in range(150):
            stream = call(method.request())
            if rng.random() < 0.5:
                next(iter(stream), None)
            time.sleep(rng.random() * 0.003)
            stream.cancel()


def test_streams_that_stall(address):
    """Each ends in time, and says so."""
    for name in ("Upload", "Run"):
        method, hold = METHODS[name], threading.Event()

        def requests(method=method, hold=hold):
            if method.name == "Upload":
                yield method.request(name="m", size=100)
            hold.wait(20)

        with grpc.insecure_channel(address.target) as channel:
            call = getattr(channel, method.kind)(method.path, method.encode, method.reply.FromString)
            answer = (lambda *given, call=call: list(call(*given))) if method.streams_replies else call
            with pytest.raises(grpc.RpcError) as caught:
                answer(requests(), 10)
            hold.set()
        assert caught.value.details() == "nothing came for 0.5 s; open another stream"


def test_uploads_that_lie(address):
    request = message("UploadRequest")
    with grpc.insecure_channel(address.target) as channel:
        method = METHODS["Upload"]
        call = channel.stream_unary(method.path, method.encode, method.reply.FromString)
        for size, chunks in ((10, [b"12345"]), (3, [b"12345"]), (3, [b"12", b"34", b"56"]), (5, [])):
            with pytest.raises(grpc.RpcError) as caught:
                call(iter([request(name="m", size=size), *(request(chunk=chunk) for chunk in chunks)]), timeout=10)
            assert caught.value.details().startswith(f"upload of {size} bytes has ")


def test_a_message_that_is_too_large(board):
    limits = Limits(message_bytes=4096, chunk_bytes=1024)
    with serving([KeptDevice("board", board)], ServerOptions(limits=limits)) as address:
        with RemoteDevice(address) as device:
            place = device.allocate(8192)
            data = np.arange(8192, dtype=np.uint16).view(np.uint8)[:8192]
            device.write(place, data)
            assert np.array_equal(device.read(place, 8192), data)
            device._chunk = 8192
            with pytest.raises(Exception, match="a message of Write is too large for server") as caught:
                device.write(place, data)
        assert str(caught.value).endswith("; send less at a time")
