"""onnxruntime as the reference for bytes, in the session that runs QDQ models as fused integer operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


def session(model: bytes) -> onnxruntime.InferenceSession:
    """On one CPU thread."""
    options = onnxruntime.SessionOptions()
    # Without this entry int8 activations stay float.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def reference(model: bytes, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs of a model, in order."""
    return [np.asarray(y) for y in session(model).run(None, dict(inputs))]
