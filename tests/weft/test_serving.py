"""Pools in files, and what is wrong with them."""

import pytest
from support.remote import Board
from weft.errors import UsageError
from weft.serving import Served, from_file, from_options
from weft_runtime.errors import DeviceError
from weft_runtime.remote.sources import Wish

from weft import serving


def test_options_pair_up():
    assert from_options(["tsim", "functional"], ["vta", "base"]) == [
        Served("tsim", "vta"),
        Served("functional", "base"),
    ]
    assert from_options(["tsim", "functional"], ["base"]) == [Served("tsim", "base"), Served("functional", "base")]
    assert from_options(["tsim"], []) == [Served("tsim", "vta")]


def test_configurations_lie_beside_the_pool(tmp_path):
    pool = tmp_path / "pool.toml"
    pool.write_text('[[device]]\ndevice = "tsim"\nconfig = "own.toml"\ncount = 3\n[[device]]\ndevice = "pynq"\n')
    assert from_file(pool) == [Served("tsim", str(tmp_path / "own.toml"), 3), Served("pynq", "vta", 1)]


def test_one_configuration_for_all_or_one_for_each():
    with pytest.raises(UsageError) as caught:
        from_options(["functional"], ["vta", "base"])
    assert str(caught.value) == (
        "1 --device and 2 --config do not go together; give one --config for all, or one for each"
    )


def test_nothing_to_serve():
    with pytest.raises(UsageError) as caught:
        from_options([], [])
    assert str(caught.value) == "nothing to serve; give --device functional, or --pool FILE.toml"


def test_a_pool_that_is_not_there(tmp_path):
    with pytest.raises(UsageError) as caught:
        from_file(tmp_path / "no.toml")
    assert str(caught.value) == (
        f"pool {tmp_path / 'no.toml'} cannot be read: No such file or directory; check its path"
    )


def test_boards_are_opened_once_with_what_is_their_own(tmp_path, monkeypatch):
    pytest.importorskip("grpc", reason="needs the remote extra (grpcio)")
    opened = []

    def opener(name, config, **options):
        opened.append((name, options))
        return Board(config)

    monkeypatch.setattr(serving, "open_device", opener)
    pool = tmp_path / "pool.toml"
    pool.write_text(
        '[[device]]\ndevice = "pynq"\nconfig = "pynq"\nbitstream = "a/weft.bit"\n'
        '[[device]]\ndevice = "uart"\nconfig = "ecp5"\nport = "/dev/ttyUSB0"\n'
    )
    sources = serving.open_sources(from_file(pool))
    assert [(source.kind, source.fresh) for source in sources] == [("pynq", False), ("uart", False)]
    assert opened == [("pynq", {"bitstream": str(tmp_path / "a/weft.bit")}), ("uart", {"port": "/dev/ttyUSB0"})]
    boards = [source.open(Wish()) for source in sources]
    for source in sources:
        source.close()
    assert all(isinstance(board, Board) and board.closed for board in boards)
    assert from_options(["pynq", "uart", "tsim"], ["vta"], "x.bit", "tty") == [
        Served("pynq", bitstream="x.bit"),
        Served("uart", port="tty"),
        Served("tsim"),
    ]


def test_a_board_that_cannot_be_opened_closes_those_before(monkeypatch):
    pytest.importorskip("grpc", reason="needs the remote extra (grpcio)")
    boards = []

    def opener(name, config, **options):
        if boards:
            raise DeviceError("the link is down")
        boards.append(Board(config))
        return boards[0]

    monkeypatch.setattr(serving, "open_device", opener)
    with pytest.raises(DeviceError, match="the link is down"):
        serving.open_sources([Served("uart", count=2)])
    assert boards[0].closed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not consist of tables [[device]]; write one for each device"),
        ("[[board]]\n", "does not consist of tables [[device]]; write one for each device"),
        ("device = []\n", "does not consist of tables [[device]]; write one for each device"),
        ("device = [1]\n", ": a table [[device]] has no key 'device'; name a kind such as \"tsim\""),
        ("[[device]]\n", ": a table [[device]] has no key 'device'; name a kind such as \"tsim\""),
        ("[[device]]\ndevice = 1\n", ": device = 1 is no str; correct it"),
        ('[[device]]\ndevice = "tsim"\ncount = true\n', ": count = True is no int; correct it"),
        ('[[device]]\ndevice = "tsim"\ncount = 0\n', ": count = 0 is outside 1..64; correct it"),
        (
            '[[device]]\ndevice = "tsim"\nspeed = 1\n',
            ": 'speed' is no key of [[device]]; use device, config, count, bitstream, port",
        ),
        ("[[device\n", " is not TOML"),
    ],
)
def test_what_is_no_pool(tmp_path, text, message):
    pool = tmp_path / "pool.toml"
    pool.write_text(text)
    with pytest.raises(UsageError) as caught:
        from_file(pool)
    said = str(caught.value).removeprefix(f"pool {pool}")
    assert said.strip().startswith(message.strip()) if "TOML" in message else said.strip() == message.strip()
