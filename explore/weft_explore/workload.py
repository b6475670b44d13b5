"""The networks that designs are judged by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError

from .errors import ExploreError


@dataclass(frozen=True)
class Workload:
    """One network.

    Parameters
    ----------
    name : str
        For people; no two of an exploration are equal.
    data : bytes
        The ONNX file.
    weight : int
        How much its cycles and energy count.
    """

    name: str
    data: bytes
    weight: int = 1

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def load_workload(text: str) -> Workload:
    """The network ``FILE.onnx``, or ``FILE.onnx=WEIGHT``.

    Raises
    ------
    ExploreError
        If the file cannot be read, or the weight is no number from 1 up.
    """
    name, equals, number = text, "", ""
    if not Path(text).is_file() and "=" in text:
        name, equals, number = text.rpartition("=")
    if equals and not (number.isascii() and number.isdigit() and int(number) > 0):
        raise ExploreError(f"workload {text!r}: {number!r} is no weight; give a whole number from 1 up")
    path = Path(name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExploreError(f"workload {name!r} cannot be read: {error.strerror or error}; check its path") from None
    return Workload(path.stem, data, int(number) if equals else 1)


def check_workload(workload: Workload, base: AcceleratorConfig) -> None:
    """See that the network can be compiled at all, before anything is written.

    Raises
    ------
    ExploreError
        If it cannot.
    """
    from .evaluate import useful_macs

    try:
        useful_macs(workload.data, base)
    except WeftError as error:
        raise ExploreError(f"workload {workload.name!r}: {error}") from None
