"""Turns: who waits longest comes first, whoever leaves gives way, and what no device fulfils is refused."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

pytest.importorskip("google.protobuf", reason="needs the remote extra (protobuf)")

from support.remote import CONFIG, Board
from weft_hardware.presets import PRESETS
from weft_runtime.remote.errors import RemoteError
from weft_runtime.remote.pool import Pool, Want
from weft_runtime.remote.sources import FreshDevices, KeptDevice, Wish

ANY = Want()


def with_pool(test: Callable[[Pool], Awaitable[None]], *sources) -> None:
    async def run() -> None:
        pool = Pool(sources or [KeptDevice("board", Board())], Wish(), 4)
        try:
            await test(pool)
        finally:
            pool.close()

    asyncio.run(run())


def test_first_come_first_served():
    async def test(pool: Pool) -> None:
        first, second, third = (pool.enqueue(ANY, name) for name in "abc")
        assert first.turn.done()
        assert [pool.ahead(ticket) for ticket in (second, third)] == [0, 1]
        pool.release(first.turn.result())
        assert second.turn.done()
        assert not third.turn.done()

    with_pool(test)


def test_one_clients_many_calls_do_not_push_the_other_back():
    async def test(pool: Pool) -> None:
        tickets = [pool.enqueue(ANY, "greedy") for _ in range(5)] + [pool.enqueue(ANY, "modest") for _ in range(2)]
        order = []
        while waiting := [ticket for ticket in tickets if ticket not in order]:
            (served,) = [ticket for ticket in waiting if ticket.turn.done()]
            order.append(served)
            pool.release(served.turn.result())
        # The greedy one's second ticket is older than the modest one's first.
        assert "".join(ticket.client[0] for ticket in order) == "ggmgmgg"

    with_pool(test)


def test_newcomers_do_not_push_back_who_was_served_before():
    async def test(pool: Pool) -> None:
        old = pool.enqueue(ANY, "old")
        slot = old.turn.result()
        pool.release(slot)
        holder = pool.enqueue(ANY, "holder")
        old = pool.enqueue(ANY, "old")
        newcomers = [pool.enqueue(ANY, f"new {k}") for k in range(9)]
        pool.release(slot)
        assert holder.turn.done()
        assert old.turn.done()
        assert not any(ticket.turn.done() for ticket in newcomers)

    with_pool(test)


def test_who_withdraws_gives_way():
    async def test(pool: Pool) -> None:
        first, second, third = (pool.enqueue(ANY, name) for name in "abc")
        pool.withdraw(second)
        pool.withdraw(first)  # its turn had come already
        assert third.turn.done()
        assert not pool.wanted(pool.slots[0])

    with_pool(test)


def test_devices_are_handed_out_by_what_is_wanted():
    vta = PRESETS["vta"]

    async def test(pool: Pool) -> None:
        assert [slot.name for slot in pool.slots] == ["board-0", "tsim-0", "board-1"]
        wide = pool.enqueue(Want(vta.digest), "a")
        kind = pool.enqueue(Want(CONFIG.digest, "board"), "b")
        fresh = pool.enqueue(Want("", "", True), "c")
        assert wide.turn.result().name == "board-1"
        assert kind.turn.result().name == "board-0"
        assert fresh.turn.result().name == "tsim-0"
        again = pool.enqueue(Want(vta.digest), "d")
        assert [pool.waiting(slot) for slot in pool.slots] == [0, 0, 1]
        pool.release(kind.turn.result())
        assert not again.turn.done()

    tsim = FreshDevices("tsim", CONFIG, lambda wish: Board())
    with_pool(test, KeptDevice("board", Board()), tsim, KeptDevice("board", Board(vta)))


@pytest.mark.parametrize(
    ("want", "what"),
    [
        (Want("0123456789"), "configuration 01234567"),
        (Want(CONFIG.digest, "tsim"), f"configuration {CONFIG.digest[:8]} and kind 'tsim'"),
        (Want("", "", True), "memory of the client's own"),
    ],
)
def test_what_no_device_fulfils(want, what):
    async def test(pool: Pool) -> None:
        with pytest.raises(RemoteError) as caught:
            pool.enqueue(want, "a")
        assert str(caught.value) == (
            f"the server has no device with {what}; it has board-0 ({CONFIG.digest[:8]}): "
            "compile for one of these, or serve another device"
        )

    with_pool(test)


def test_a_failed_device_is_out_of_service():
    async def test(pool: Pool) -> None:
        pool.slots[0].failure = "the link is down"
        with pytest.raises(RemoteError) as caught:
            pool.enqueue(ANY, "a")
        assert str(caught.value) == "device board-0 is out of service (the link is down); restart the server"
        pool.slots[0].failure = None

    with_pool(test)


def test_closing_closes_the_devices():
    board = Board()

    async def test(pool: Pool) -> None:
        assert not board.closed

    with_pool(test, KeptDevice("board", board))
    assert board.closed
