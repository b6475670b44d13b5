"""``python -m weft_runtime.remote.generate``: compile ``devices.proto`` to the descriptors that `messages` reads.

Descriptors instead of generated Python: any protobuf reads them, while generated code works with the versions near that
of its compiler only, and a board's packages pin an old one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
PROTO = FOLDER / "devices.proto"
DESCRIPTORS = FOLDER / "devices.binpb"


def compiled() -> bytes:
    """The descriptors of `PROTO`, by the compiler in ``grpcio-tools``."""
    from grpc_tools import protoc  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / DESCRIPTORS.name
        code = protoc.main(["protoc", f"-I{FOLDER}", f"--descriptor_set_out={out}", PROTO.name])
        if code:
            raise SystemExit(code)
        return out.read_bytes()


if __name__ == "__main__":
    DESCRIPTORS.write_bytes(compiled())
