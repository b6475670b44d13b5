"""Addresses of servers: ``grpc://host:port``, with what the client needs to know behind a question mark."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from .errors import RemoteError

SCHEME = "grpc"
PORT = 7350
"""Where a server listens if nothing else is said."""

_OPTIONS = ("device", "credentials", "timeout", "wait")


@dataclass(frozen=True)
class Address:
    """Where a server is and how to talk to it.

    Parameters
    ----------
    host, port
    device : str
        The kind of device that is wanted; empty for any of the configuration.
    credentials : Path, optional
        The folder with the server's certificate and token.
    timeout : float
        Seconds that a call may take.
    wait : float
        Seconds to wait for a device; 0 for as long as the server lets a client wait.
    """

    host: str
    port: int
    device: str = ""
    credentials: Path | None = None
    timeout: float = 600.0
    wait: float = 0.0

    @property
    def target(self) -> str:
        """``host:port``, as gRPC wants it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{SCHEME}://{self.target}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host's address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_address(text: str) -> Address:
    """Read ``grpc://host:port?device=KIND&credentials=FOLDER&timeout=SECONDS&wait=SECONDS``; all but the host may be
    left out.

    Raises
    ------
    RemoteError
        If it is something else.
    """
    form = "write grpc://host:port, options behind it as in ?device=tsim&credentials=FOLDER&timeout=60&wait=60"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise RemoteError(f"address {text!r} cannot be read ({error}); {form}") from None
    if parts.scheme != SCHEME or not host or parts.path not in ("", "/") or parts.fragment or parts.username:
        raise RemoteError(f"address {text!r} is no server's; {form}")
    values = dict(options)
    if unknown := sorted(values.keys() - set(_OPTIONS)):
        raise RemoteError(f"address {text!r} has an option {unknown[0]!r}, which is none; {form}")
    credentials = values.get("credentials")
    return Address(
        host,
        PORT if port is None else port,
        values.get("device", ""),
        Path(credentials).expanduser() if credentials else None,
        _seconds(text, "timeout", values, Address.timeout),
        _seconds(text, "wait", values, Address.wait),
    )


def _seconds(text: str, name: str, values: dict[str, str], default: float) -> float:
    try:
        seconds = float(values.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9 or (name == "timeout" and not seconds):
        raise RemoteError(f"address {text!r}: {name} = {values[name]!r} is no time; write seconds, such as {name}=60")
    return seconds


def parse_listen(text: str) -> tuple[str, int]:
    """Read ``host:port`` where a server is to listen; port 0 means any that is free.

    Raises
    ------
    RemoteError
        If it is something else.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.path or parts.query or parts.username:
        raise RemoteError(f"listen address {text!r} is no host:port; write one such as 127.0.0.1:{PORT}")
    return host, PORT if port is None else port
