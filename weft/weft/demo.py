"""The main job on real input: the digit reader on both simulators, compared byte for byte with onnxruntime."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_runtime.device import Device
from weft_runtime.module import Module
from weft_runtime.session import LayerProfile, Session

from .extras import needs_extra
from .models import digits_onnx

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What one device made of the images.

    Parameters
    ----------
    images, mismatches, correct : int
        Images run; those whose logits differ from the reference in any byte; those read as the right digit.
    seconds : float
        Wall time of all images, without opening the device.
    layers : list of LayerProfile
        Of the last image: cycles depend on micro-ops, never on tensor values.
    """

    images: int
    mismatches: int
    correct: int
    seconds: float
    layers: list[LayerProfile]

    @property
    def cycles(self) -> int | None:
        """Accelerator cycles of one image; None if nothing told them."""
        told = [layer.cycles for layer in self.layers if layer.cycles is not None]
        return sum(told) if told else None

    def summary(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return {
            "images": self.images,
            "mismatches": self.mismatches,
            "accuracy": self.correct / self.images,
            "seconds": round(self.seconds, 3),
            "cycles_per_image": self.cycles,
        }


def reference_logits(images: NDArray[np.float32]) -> Logits:
    """The logits of onnxruntime's fused session, (N, 10).

    Raises
    ------
    UsageError
        If onnxruntime is not installed.
    """
    with needs_extra("reference", "the comparison with onnxruntime"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    # Without this entry nodes with int8 activations stay float, and differ in a few of a million values.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(digits_onnx(), options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images})
    return np.asarray(logits)


def run_images(
    module: Module,
    device: Device,
    images: NDArray[np.float32],
    reference: Logits,
    labels: NDArray[np.int64],
    advance: Callable[[], None],
) -> Outcome:
    """Run every image by itself and compare.

    Parameters
    ----------
    module : Module
        The digit reader, compiled for batch 1.
    reference : array (N, 10)
        What each image must give, byte for byte.
    advance : callable
        Told when an image is done.
    """
    mismatches = correct = 0
    with Session(module, device) as session:
        begin = time.perf_counter()
        for image, expected, label in zip(images, reference, labels, strict=True):
            logits = session.run(image[None])
            assert isinstance(logits, np.ndarray)
            mismatches += logits[0].tobytes() != expected.tobytes()
            correct += int(logits[0].argmax() == label)
            advance()
        seconds = time.perf_counter() - begin
        return Outcome(len(images), mismatches, correct, seconds, session.last_profile)


def layer_rows(outcome: Outcome, config: AcceleratorConfig) -> list[dict[str, Any]]:
    """The layer table: where each layer ran and why, its MACs, cycles, MACs a cycle and share of the peak."""
    rows = []
    for layer in outcome.layers:
        rate = layer.macs / layer.cycles if layer.cycles else None
        row = asdict(layer)
        del row["host_seconds"], row["activity"]
        peak = None if rate is None else round(100 * rate / config.macs, 1)
        rows.append({**row, "macs_per_cycle": rate and round(rate, 2), "percent_of_peak": peak})
    return rows
