"""A server of devices: from listening to the last device closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from .address import Address, is_loopback
from .credentials import Credentials
from .errors import RemoteError
from .limits import Limits
from .pool import Pool
from .service import Service
from .sources import Source, Wish

GRACE = 10.0
"""Seconds that running calls get to end when the server stops."""

_METADATA_BYTES = 1 << 16


@dataclass(frozen=True)
class ServerOptions:
    """How a server serves.

    Parameters
    ----------
    host, port
        Where it listens; port 0 is any that is free.
    credentials : Credentials, optional
        Beyond loopback there must be some.
    limits : Limits
    allow_host_code : bool
        Run uploaded modules' host code in this process: whoever may upload can then do here what this process can.
    read_latency : int
        Cycles until the memory answers, of simulated devices that uploaded modules run on.
    grace : float
        Seconds that running calls get to end when the server stops.

    Raises
    ------
    RemoteError
        If others can reach it and it has no credentials.
    """

    host: str = "127.0.0.1"
    port: int = 0
    credentials: Credentials | None = None
    limits: Limits = field(default_factory=Limits)
    allow_host_code: bool = False
    read_latency: int = 0
    grace: float = GRACE

    def __post_init__(self) -> None:
        if self.credentials is None and not is_loopback(self.host):
            raise RemoteError(
                f"listen address {self.host} can be reached from other machines, which takes a certificate and a "
                "token; make them with weft serve --make-credentials FOLDER and serve with --credentials FOLDER, "
                "or listen on 127.0.0.1"
            )


async def serve(
    sources: Sequence[Source],
    options: ServerOptions,
    ready: Callable[[Address], None],
    stop: asyncio.Event,
) -> None:
    """Serve until ``stop`` is set, then drain: running calls end, new ones are refused, devices are closed.

    Parameters
    ----------
    ready : callable
        Told the address as soon as clients can come.

    Raises
    ------
    RemoteError
        If the server cannot listen.
    """
    limits = options.limits
    pool = Pool(sources, Wish(None, options.read_latency, limits.launch_cycles), limits.modules)
    try:
        token = options.credentials.token if options.credentials else ""
        service = Service(pool, limits, token, allow_host_code=options.allow_host_code)
        server = grpc.aio.server(options=_channel_options(limits), maximum_concurrent_rpcs=limits.calls)
        server.add_generic_rpc_handlers((service.handlers(),))
        port = _listen(server, options)
        await server.start()
        try:
            ready(Address(options.host, port))
            await stop.wait()
            await _within(options.grace, service.drain())
        finally:
            await server.stop(0)
            await _within(options.grace, service.drain())
    finally:
        await asyncio.to_thread(pool.close)


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    """Wait for something, but no longer than that."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(work, seconds)


def _channel_options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", limits.message_bytes),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        # Two servers on one port would each get some of the clients.
        ("grpc.so_reuseport", 0),
        # A client that is stopped, or whose network is gone, never says so: ask.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 600_000),
        # Who connects and says nothing, or nothing of HTTP/2.
        ("grpc.server_handshake_timeout_ms", 10_000),
    ]


def _listen(server: grpc.aio.Server, options: ServerOptions) -> int:
    target = Address(options.host, options.port).target
    try:
        if options.credentials is None:
            return server.add_insecure_port(target)
        pair = (options.credentials.key, options.credentials.certificate)
        return server.add_secure_port(target, grpc.ssl_server_credentials([pair]))
    except (RuntimeError, ValueError):
        raise RemoteError(
            f"the server cannot listen on {target}: the port is in use, the address is not this machine's, or the "
            "certificate and key do not fit together; choose another port, or make new credentials"
        ) from None


@contextmanager
def serving(sources: Sequence[Source], options: ServerOptions | None = None) -> Iterator[Address]:
    """A server on a thread of this process, for notebooks and tests; it has drained when the block ends."""
    chosen = options or ServerOptions()
    started: list[Address] = []
    failed: list[BaseException] = []
    event = threading.Event()
    control: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        control.append((asyncio.get_running_loop(), stop))

        def ready(address: Address) -> None:
            started.append(address)
            event.set()

        await serve(sources, chosen, ready, stop)

    def target() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            failed.append(error)
        finally:
            event.set()

    thread = threading.Thread(target=target, name="weft-serve", daemon=True)
    thread.start()
    event.wait()
    if failed:
        raise failed[0]
    try:
        yield started[0]
    finally:
        loop, stop = control[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failed:
        raise failed[0]
