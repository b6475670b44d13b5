"""A module's accelerator memory as raw files, for simulators and hardware that know nothing of modules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from weft_runtime.files import write_atomically
from weft_runtime.module import Module

from .errors import UsageError

IMAGE, LAUNCHES = "image.bin", "launches.json"


def write_raw(module: Module, folder: Path) -> None:
    """Write the device's region with all constants in it, and where each program lies.

    Addresses inside programs count from the image's beginning, which is the base register of every memory. What the
    host computes between launches is no part of it: ``reads`` and ``writes`` say where that lies.

    Raises
    ------
    UsageError
        If the folder cannot be written to.
    """
    content = module.content
    image = np.zeros(content.region_bytes["device"], np.uint8)
    for constant in content.constants:
        if constant.buffer.region == "device":
            place = slice(constant.buffer.offset, constant.buffer.offset + constant.buffer.nbytes)
            image[place] = np.frombuffer(constant.data, np.uint8)
    launches = [
        {
            "name": name,
            "insn_addr": step.instructions.offset,
            "insn_count": step.count,
            "reads": [[buffer.offset, buffer.nbytes] for buffer in step.reads],
            "writes": [[buffer.offset, buffer.nbytes] for buffer in step.writes],
        }
        for name, step, _ in content.launches()
    ]
    text = json.dumps({"config": content.config.to_dict(), "launches": launches}, indent=1).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / IMAGE, lambda file: file.write(image.tobytes()))
        write_atomically(folder / LAUNCHES, lambda file: file.write(text))
    except OSError as error:
        raise UsageError(f"folder {folder} cannot be written to: {error.strerror}; choose another one") from None
