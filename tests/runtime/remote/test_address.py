"""Addresses of servers, and what is refused in them."""

from pathlib import Path

import pytest
from weft_runtime.remote.address import PORT, Address, is_loopback, parse_address, parse_listen
from weft_runtime.remote.errors import RemoteError

FORM = "write grpc://host:port, options behind it as in ?device=tsim&credentials=FOLDER&timeout=60&wait=60"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("grpc://board.lan", Address("board.lan", PORT)),
        ("grpc://127.0.0.1:80/", Address("127.0.0.1", 80)),
        ("grpc://[::1]:81", Address("::1", 81)),
        (
            "grpc://board:1?device=tsim&credentials=a%20b/c&timeout=2.5&wait=3",
            Address("board", 1, "tsim", Path("a b/c"), 2.5, 3.0),
        ),
    ],
)
def test_reads_addresses(text, address):
    assert parse_address(text) == address


def test_prints_as_it_is_read():
    assert str(parse_address("grpc://[::1]:81?timeout=3")) == "grpc://[::1]:81"
    assert str(parse_address("grpc://board.lan:81")) == "grpc://board.lan:81"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://board", f"address 'http://board' is no server's; {FORM}"),
        ("grpc://", f"address 'grpc://' is no server's; {FORM}"),
        ("grpc://me@board", f"address 'grpc://me@board' is no server's; {FORM}"),
        ("grpc://board/path", f"address 'grpc://board/path' is no server's; {FORM}"),
        ("grpc://board?token=x", f"address 'grpc://board?token=x' has an option 'token', which is none; {FORM}"),
        (
            "grpc://board?timeout=0",
            "address 'grpc://board?timeout=0': timeout = '0' is no time; write seconds, such as timeout=60",
        ),
        (
            "grpc://board?wait=soon",
            "address 'grpc://board?wait=soon': wait = 'soon' is no time; write seconds, such as wait=60",
        ),
        (
            "grpc://board:99999",
            f"address 'grpc://board:99999' cannot be read (Port out of range 0-65535); {FORM}",
        ),
    ],
)
def test_refuses_what_is_no_address(text, message):
    with pytest.raises(RemoteError) as caught:
        parse_address(text)
    assert str(caught.value) == message


def test_listen_addresses():
    assert parse_listen("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_listen("[::1]:0") == ("::1", 0)
    assert parse_listen("localhost") == ("localhost", PORT)


@pytest.mark.parametrize("text", ["", ":80", "host:port", "grpc://host:1", "a/b"])
def test_refuses_what_nobody_can_listen_on(text):
    with pytest.raises(RemoteError) as caught:
        parse_listen(text)
    assert str(caught.value) == f"listen address {text!r} is no host:port; write one such as 127.0.0.1:7350"


def test_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "board.lan", "localhost.evil.org")))
