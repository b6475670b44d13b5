"""A client's connection to a server; every failure of a call becomes one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from weft_hardware.errors import WeftError

from .address import Address, is_loopback, parse_address
from .credentials import AUTHORIZATION, load_credentials
from .errors import RemoteError, error_from_message
from .messages import ERROR_KEY, METHODS, PROTOCOL, message

MESSAGE_BYTES = 64 << 20
"""Of one message before the server has told its own limit."""

CONNECT_SECONDS = 20.0
"""That the first answer may take."""

_ALWAYS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_http_proxy", 0),
    # A launch must never be sent twice behind our back.
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 1 << 16),
    # A server that is gone without a word is noticed.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.ping_timeout_ms", 20_000),
)


class Connection:
    """A channel to a server that has been asked what it offers.

    Parameters
    ----------
    address : Address or str

    Attributes
    ----------
    address : Address
    offer : DescribeReply
        What the server said.

    Raises
    ------
    RemoteError
        If the server does not answer, refuses the token, or speaks another version of the protocol.
    """

    def __init__(self, address: Address | str) -> None:
        self.address = parse_address(address) if isinstance(address, str) else address
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._channel = self._open()
        self._calls = {
            name: getattr(self._channel, method.kind)(
                method.path, request_serializer=method.encode, response_deserializer=method.reply.FromString
            )
            for name, method in METHODS.items()
        }
        try:
            timeout = min(CONNECT_SECONDS, self.address.timeout)
            self.offer = self.call("Describe", message("DescribeRequest")(), timeout=timeout)
            if self.offer.protocol != PROTOCOL:
                raise RemoteError(
                    f"server {self.address} speaks protocol {self.offer.protocol} (Weft {self.offer.version}), this "
                    f"client {PROTOCOL}; install the same Weft on both sides"
                )
        except BaseException:
            self.close()
            raise

    def call(self, name: str, request: Any, *, timeout: float | None = None) -> Any:
        """One call with one answer; a stream of requests is an iterator.

        Raises
        ------
        WeftError
            What the server answered, or what is wrong with the link.
        """
        limit = self.address.timeout if timeout is None else timeout
        with self.explained(name, limit):
            return self._calls[name](request, timeout=limit, metadata=self._metadata)

    def stream(self, name: str, request: Any) -> Any:
        """One call with many answers, an iterator that can be cancelled; use it within `explained`."""
        return self._calls[name](request, metadata=self._metadata)

    @contextmanager
    def explained(self, name: str, limit: float | None = None) -> Iterator[None]:
        """Turn gRPC's failures of a call into sentences.

        Raises
        ------
        WeftError
            Instead of them.
        """
        try:
            yield
        except grpc.RpcError as error:
            raise self._explain(error, name, limit) from None
        except ValueError as error:  # gRPC's word for a channel that is closed
            if "closed channel" not in str(error):
                raise
            raise RemoteError(f"the connection to {self.address} is closed; open the device again") from None

    def close(self) -> None:
        """End the connection and all its calls."""
        self._channel.close()

    def _open(self) -> grpc.Channel:
        address = self.address
        if address.credentials is None:
            if not is_loopback(address.host):
                raise RemoteError(
                    f"server {address} is not on this machine, which takes its certificate and token; copy both from "
                    f"the server's credentials and open {address}?credentials=FOLDER"
                )
            return grpc.insecure_channel(address.target, list(_ALWAYS))
        credentials = load_credentials(address.credentials, key=False)
        self._metadata = ((AUTHORIZATION, f"Bearer {credentials.token}"),)
        secure = grpc.ssl_channel_credentials(credentials.certificate)
        return grpc.secure_channel(address.target, secure, list(_ALWAYS))

    def _explain(self, error: Any, name: str, limit: float | None) -> WeftError:
        details = (error.details() or "").strip()
        for key, value in error.trailing_metadata() or ():
            if key == ERROR_KEY:
                return error_from_message(details, message("Error").FromString(value))
        return RemoteError(_sentence(error.code(), details, name, str(self.address), limit))


def _sentence(code: grpc.StatusCode, details: str, name: str, server: str, limit: float | None) -> str:
    """What gRPC itself reports, in words."""
    if code is grpc.StatusCode.UNAVAILABLE and ("SSL" in details.upper() or "HANDSHAKE" in details.upper()):
        return (
            f"server {server} and this client do not agree on TLS ({_short(details)}); "
            "use the certificate that the server has, made for the name by which you call it"
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return (
            f"server {server} does not answer ({_short(details)}); "
            "check that it runs, its address, and the network between"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        within = "" if limit is None else f" within {limit:g} s"
        return (
            f"server {server} did not answer {name}{within}; wait longer, as in {server}?timeout=SECONDS, or see "
            "whether the server is busy"
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return f"a message of {name} is too large for server {server} ({_short(details)}); send less at a time"
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return f"server {server} has too many clients ({_short(details)}); try again later"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"server {server} does not know the call {name}; install the same Weft on both sides"
    if code is grpc.StatusCode.CANCELLED:
        return f"server {server} broke off {name}; open the device again"
    return f"server {server} failed at {name} ({code.name}: {_short(details)}); see the server's log"


def _short(details: str) -> str:
    """The last and most specific part of gRPC's chain of reasons."""
    text = " ".join(details.split())
    for mark in ("Failed to connect to remote host: ", "Last error: "):
        if mark in text:
            text = text.rsplit(mark, 1)[1]
    return text[:200] or "no reason given"
