"""The devices of a server, handed out in turns: the client that was served longest ago comes first.

Everything here but the slots' threads runs on the server's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from weft_hardware.config import AcceleratorConfig

from .errors import RemoteError
from .residents import Residents
from .sources import Source, Wish

Result = TypeVar("Result")


class Slot:
    """One device of the pool, its thread, which alone touches the device, and the modules that stay on it."""

    def __init__(self, name: str, source: Source, wish: Wish, residents: int) -> None:
        self.name = name
        self.source = source
        self.holder: Ticket | None = None
        self.failure: str | None = None
        """Why the device is out of service."""
        self.residents = Residents(source, wish, residents)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"weft-{name}")

    async def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run a function on the device's thread, after those that were called before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def close(self) -> None:
        """Release the device; waits for what its thread still does."""
        self._thread.submit(self.residents.close).result()
        self._thread.submit(self.source.close).result()
        self._thread.shutdown()


@dataclass(frozen=True)
class Want:
    """Which devices will do.

    Parameters
    ----------
    config_digest, kind : str
        Empty for any.
    memory : bool
        Whether it must be one with memory of its own.
    """

    config_digest: str = ""
    kind: str = ""
    memory: bool = False

    def fits(self, source: Source) -> bool:
        return (
            self.config_digest in ("", source.config.digest)
            and self.kind in ("", source.kind)
            and (source.fresh or not self.memory)
        )


@dataclass(eq=False)
class Ticket:
    """A client's place in the queue; ``turn`` becomes its slot."""

    want: Want
    client: str
    number: int
    turn: asyncio.Future[Slot] = field(repr=False)


class Pool:
    """All slots and who waits for them.

    Parameters
    ----------
    sources : iterable of Source
    wish : Wish
        Of the devices that uploaded modules run on.
    residents : int
        Modules that stay on one device.
    """

    def __init__(self, sources: Iterable[Source], wish: Wish, residents: int) -> None:
        self.slots = [Slot(name, source, wish, residents) for name, source in _named(sources)]
        self._waiting: list[Ticket] = []
        self._served: dict[str, int] = {}
        self._tickets = 0

    def check(self, want: Want, config: AcceleratorConfig | None = None) -> None:
        """Refuse what no device here will ever fulfil.

        Raises
        ------
        RemoteError
            The sentence says what there is.
        """
        fitting = [slot for slot in self.slots if want.fits(slot.source)]
        if not fitting:
            there = ", ".join(f"{slot.name} ({slot.source.config.digest[:8]})" for slot in self.slots)
            wanted = [f"configuration {want.config_digest[:8]}"] if want.config_digest else []
            wanted += [f"kind {want.kind!r}"] if want.kind else []
            wanted += ["memory of the client's own"] if want.memory else []
            raise RemoteError(
                f"the server has no device with {' and '.join(wanted)}; it has {there}: compile for one of these, "
                "or serve another device",
                "NOT_FOUND",
            )
        if all(slot.failure for slot in fitting):
            raise RemoteError(
                f"device {fitting[0].name} is out of service ({fitting[0].failure}); restart the server", "UNAVAILABLE"
            )

    def enqueue(self, want: Want, client: str) -> Ticket:
        """Wait for a slot: the ticket's ``turn``. Who no longer wants it withdraws."""
        self.check(want)
        self._tickets += 1
        ticket = Ticket(want, client, self._tickets, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._hand_out()
        return ticket

    def ahead(self, ticket: Ticket) -> int:
        """How many wait for the same kind of device since before."""
        return sum(other.want == ticket.want and other.number < ticket.number for other in self._waiting)

    def wanted(self, slot: Slot) -> bool:
        """Whether somebody waits for what this slot would do."""
        return any(ticket.want.fits(slot.source) for ticket in self._waiting)

    def waiting(self, slot: Slot) -> int:
        """How many that are."""
        return sum(ticket.want.fits(slot.source) for ticket in self._waiting)

    def withdraw(self, ticket: Ticket) -> None:
        """Leave the queue, or give back a turn that came meanwhile."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        elif ticket.turn.done() and not ticket.turn.cancelled() and ticket.turn.result().holder is ticket:
            self.release(ticket.turn.result())

    def release(self, slot: Slot) -> None:
        """Give a slot to the next."""
        slot.holder = None
        self._hand_out()

    def _hand_out(self) -> None:
        for slot in self.slots:
            if slot.holder is not None or slot.failure:
                continue
            fitting = [ticket for ticket in self._waiting if ticket.want.fits(slot.source)]
            if not fitting:
                continue
            # Who never had a turn counts from when he came, so that newcomers cannot push everybody else back.
            ticket = min(fitting, key=lambda ticket: (self._served.get(ticket.client, ticket.number), ticket.number))
            self._waiting.remove(ticket)
            if ticket.turn.cancelled():
                continue
            self._serve(ticket.client)
            slot.holder = ticket
            ticket.turn.set_result(slot)

    def _serve(self, client: str) -> None:
        """Remember when a client had its turn, for as many clients as are around."""
        self._served.pop(client, None)
        self._tickets += 1
        self._served[client] = self._tickets
        while len(self._served) > 4096:
            del self._served[next(iter(self._served))]

    def close(self) -> None:
        """Release all devices."""
        for slot in self.slots:
            slot.close()


def _named(sources: Iterable[Source]) -> Iterable[tuple[str, Source]]:
    """``tsim-0``, ``tsim-1``, ``functional-0``, …"""
    counts: dict[str, int] = {}
    for source in sources:
        number = counts.get(source.kind, 0)
        counts[source.kind] = number + 1
        yield f"{source.kind}-{number}", source
