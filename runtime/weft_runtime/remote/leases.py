"""Leases: one device for one client, until it gives it back, dies, or keeps others waiting for too long."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from ..device import Device
from .errors import RemoteError
from .limits import Limits
from .pool import Pool, Slot
from .sources import Wish
from .tenant import Tenant

Result = TypeVar("Result")

TICK = 0.1
"""Seconds between two looks at whether a lease is over."""

REMEMBERED = 1024
"""Ended leases whose reason is remembered."""


class Lease:
    """A client's hold on a slot."""

    def __init__(self, slot: Slot, limits: Limits) -> None:
        self.id = secrets.token_hex(16)
        self.slot = slot
        self.calls = 0
        self.since = self.last_call = time.monotonic()
        self.reason: str | None = None
        """Why the lease is over; None as long as it is not."""
        self._limits = limits
        self._device: Device | None = None
        self._tenant: Tenant | None = None

    async def open(self, wish: Wish) -> None:
        """Open the device for the client."""
        await self.slot.call(self._open, wish)

    async def call(self, function: Callable[[Tenant], Result]) -> Result:
        """Run one of the client's calls on the device."""
        self.calls += 1
        try:
            return await self.slot.call(self._run, function)
        finally:
            self.calls -= 1
            self.last_call = time.monotonic()

    def clear(self) -> None:
        """Undo what the client did; on the device's thread."""
        tenant, device = self._tenant, self._device
        self._tenant = self._device = None
        try:
            if tenant is not None:
                tenant.clear()
        finally:
            if device is not None and self.slot.source.fresh:
                device.close()

    def _open(self, wish: Wish) -> None:
        bits = self.slot.source.config.axi_addr_bits
        if wish.memory is not None and sum(wish.memory) > 1 << bits:
            raise RemoteError(
                f"memory at {wish.memory[0]:#x}..{sum(wish.memory):#x} does not fit the {bits}-bit address space; "
                "choose a lower base"
            )
        self._device = self.slot.source.open(wish)
        shared = not self.slot.source.fresh
        self._tenant = Tenant(self._device, self._limits, shared, self.slot.residents.make_room)

    def _run(self, function: Callable[[Tenant], Any]) -> Any:
        if self._tenant is None:  # it ended while the call waited for the device
            raise RemoteError(f"the lease has ended: {self.reason}; open the device again")
        return function(self._tenant)


class Leases:
    """All of them.

    Parameters
    ----------
    pool : Pool
        Whose slots are lent, and where others wait for them.
    limits : Limits
    """

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._leases: dict[str, Lease] = {}
        self._reasons: OrderedDict[str, str] = OrderedDict()
        self._stopping = False

    def add(self, slot: Slot) -> Lease:
        """Begin a lease on a slot whose turn it is."""
        lease = Lease(slot, self._limits)
        self._leases[lease.id] = lease
        return lease

    async def call(self, lease_id: str, function: Callable[[Tenant], Result]) -> Result:
        """Run a call on its lease.

        Raises
        ------
        RemoteError
            If the lease has ended or never was.
        """
        lease = self._leases.get(lease_id)
        if lease is None:
            reason = self._reasons.get(lease_id, "the server does not know it")
            raise RemoteError(f"the lease has ended: {reason}; open the device again")
        return await lease.call(function)

    async def over(self, lease: Lease, gone: Callable[[], bool]) -> str:
        """Wait until a lease must end, or its client has gone; returns why."""
        while (reason := "its client has gone" if gone() else self._why_over(lease)) is None:
            await asyncio.sleep(TICK)
        self.end(lease, reason)
        return reason

    def end(self, lease: Lease, reason: str) -> None:
        """Take no more calls for a lease; the first reason stays."""
        if self._leases.pop(lease.id, None) is None:
            return
        lease.reason = reason
        self._reasons[lease.id] = reason
        while len(self._reasons) > REMEMBERED:
            self._reasons.popitem(last=False)

    async def end_all(self) -> None:
        """End every lease; a call that runs on its device still gets its answer."""
        self._stopping = True
        while self._leases:
            await asyncio.sleep(TICK / 4)

    def _why_over(self, lease: Lease) -> str | None:
        if self._stopping:
            return "the server stops"
        if not self._pool.wanted(lease.slot):
            return None
        now, limits = time.monotonic(), self._limits
        if not lease.calls and now - lease.last_call > limits.idle_seconds:
            return f"it was idle for {limits.idle_seconds:g} s and others wait for the device"
        if now - lease.since > limits.lease_seconds:
            return f"it lasted {limits.lease_seconds:g} s and others wait for the device"
        return None
