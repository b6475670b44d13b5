"""How long the digit model takes from its ONNX file to a module, in a warm process."""

from __future__ import annotations

import statistics
import time
from importlib.resources import as_file, files

from weft_compiler import compile_model
from weft_hardware.presets import load_config

REPEATS = 5


def measure() -> dict[str, float]:
    """Median of several compiles; the first, which also warms LLVM up, is quoted apart."""
    config = load_config("vta")
    seconds = []
    with as_file(files("weft") / "models" / "digits.onnx") as path:
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            compile_model(path, config)
            seconds.append(time.perf_counter() - start)
    return {"first_seconds": round(seconds[0], 3), "median_seconds": round(statistics.median(seconds[1:]), 3)}
