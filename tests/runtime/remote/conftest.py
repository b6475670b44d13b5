"""Remote devices need the ``remote`` extra; without it these tests are skipped."""

import pytest

pytest.importorskip("grpc", reason="needs the remote extra (grpcio)")
