"""The published ``devices.proto`` and the descriptors that client and server use are the same protocol."""

import pytest

pytest.importorskip("google.protobuf", reason="needs the remote extra (protobuf)")

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from weft_runtime.remote.generate import DESCRIPTORS, compiled


def test_descriptors_are_current():
    pytest.importorskip("grpc_tools", reason="needs grpcio-tools (the dev extra)")
    assert FileDescriptorSet.FromString(compiled()) == FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()), (
        "devices.proto has changed; run python -m weft_runtime.remote.generate"
    )
