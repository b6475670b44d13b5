"""The protocol's messages as classes, and its calls, from the descriptors that `generate` compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from .generate import DESCRIPTORS

PROTOCOL = 1
"""Version of the protocol; a client refuses a server of another one."""

_PACKAGE = "weft.remote.v1"
SERVICE = f"{_PACKAGE}.Devices"

ERROR_KEY = "weft-error-bin"
"""Trailing metadata of a call that failed: an ``Error``."""


def _load() -> descriptor_pool.DescriptorPool:
    """A pool of its own, so that nothing else in the process can be in the way."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.Add(file)
    return pool


_POOL = _load()


def message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@dataclass(frozen=True)
class Method:
    """One call of the service."""

    name: str
    request: Any
    reply: Any
    streams_requests: bool
    streams_replies: bool

    @property
    def path(self) -> str:
        return f"/{SERVICE}/{self.name}"

    @property
    def kind(self) -> str:
        """As in the names of gRPC's functions: ``unary_unary``, ``unary_stream``, …"""
        words = ("unary", "stream")
        return f"{words[self.streams_requests]}_{words[self.streams_replies]}"

    def decode(self, data: bytes) -> Any:
        """The request, or None if the bytes are none."""
        try:
            return self.request.FromString(data)
        except DecodeError:
            return None

    @property
    def encode(self) -> Callable[[Any], bytes]:
        return lambda value: value.SerializeToString()


def _methods() -> dict[str, Method]:
    described = descriptor_pb2.ServiceDescriptorProto()
    service = _POOL.FindServiceByName(SERVICE)
    service.CopyToProto(described)
    return {
        method.name: Method(
            method.name,
            message_factory.GetMessageClass(service.methods_by_name[method.name].input_type),
            message_factory.GetMessageClass(service.methods_by_name[method.name].output_type),
            method.client_streaming,
            method.server_streaming,
        )
        for method in described.method
    }


METHODS = _methods()
"""Every call, by its name."""
