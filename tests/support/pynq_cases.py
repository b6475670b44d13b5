"""What the tests do with the real pynq: run in its environment, ``python -m support.pynq_cases CASE DIRECTORY``.

Each case prints one JSON object. The directory holds weft.bit, weft.hwh, config.toml, digits.weft, images.npy and
logits.npy, the bytes that onnxruntime gives.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pynq
from pynq.buffer import PynqBuffer
from support.rtl_board import RtlBoard
from weft_hardware.errors import WeftError
from weft_hardware.isa import instruction_bytes
from weft_runtime.device import Launch
from weft_runtime.session import Session
from weft_simulator.tsim.model import Channel, Injection

import weft

HERE = Path(sys.argv[2])


def open_board(**options: Any) -> Any:
    return weft.open_device("pynq", HERE / "config.toml", bitstream=HERE / "weft.bit", **options)


def board_of(device: Any) -> RtlBoard:
    return device.overlay.device


def digits(device: Any) -> dict[str, Any]:
    """How many images' logits differ from onnxruntime's, or the error that ended it."""
    images, logits = np.load(HERE / "images.npy"), np.load(HERE / "logits.npy")
    try:
        with Session(weft.load(HERE / "digits.weft"), device) as session:
            found = [session.run(image[None])[0] for image in images]
            cycles = sum(layer.cycles or 0 for layer in session.last_profile)
    except WeftError as error:
        return {"error": str(error)}
    wrong = sum(a.tobytes() != b.tobytes() for a, b in zip(found, logits, strict=True))
    return {"images": len(images), "wrong": wrong, "cycles": cycles}


def message(function: Any, *arguments: Any, **options: Any) -> str:
    try:
        function(*arguments, **options)
    except WeftError as error:
        return str(error)
    return ""


def overlay() -> dict[str, Any]:
    """What pynq makes of bitstream and handoff."""
    device = open_board()
    ip = device.overlay.ip_dict["accelerator"]
    return {
        "pynq": pynq.__version__,
        "numpy": np.__version__,
        "identity": int(device.overlay.accelerator.register_map.IDENTITY[:]),
        "registers": {name: register["address_offset"] for name, register in ip["registers"].items()},
        "at": ip["phys_addr"],
        "range": ip["addr_range"],
        "type": ip["type"],
        "clock_mhz": board_of(device).clock_mhz,
        "downloads": board_of(device).downloads,
        "read_only_unchanged": device.overlay.accelerator.read(4),
    }


@contextmanager
def forgetting(what: str) -> Any:
    """A driver that forgets to flush or to invalidate."""
    with patch.object(PynqBuffer, what, lambda self: None):
        yield


def network() -> dict[str, Any]:
    """The digit reader with each kind of buffer, and with drivers that forget to look after the cache."""
    results: dict[str, Any] = {}
    for kind, cacheable in (("cached", True), ("uncached", False)):
        with open_board(cacheable=cacheable) as device:
            results[kind] = digits(device)
            results[f"{kind} syncs"] = len(board_of(device).syncs)
            for what in ("flush", "invalidate"):
                with forgetting(what):
                    results[f"{kind} without {what}"] = digits(device)
            results[f"{kind} again"] = digits(device)
    return results


def program_of(device: Any, words: list[int]) -> Launch:
    raw = b"".join(word.to_bytes(instruction_bytes(device.config), "little") for word in words)
    address = device.allocate(len(raw))
    device.write(address, np.frombuffer(raw, np.uint8))
    return Launch(address, len(words))


def trouble() -> dict[str, Any]:
    """Errors in one sentence each, and a board that works after each of them."""
    results: dict[str, Any] = {}
    wrong = weft.load_config("tiny8")
    results["other configuration"] = message(weft.open_device, "pynq", wrong, bitstream=HERE / "weft.bit")
    results["no bitstream"] = message(weft.open_device, "pynq", wrong, bitstream="/nowhere/weft.bit")
    results["no option"] = message(weft.open_device, "pynq", wrong)
    results["no time"] = message(open_board, timeout=0)
    device = open_board(watchdog=20_000, timeout=5)
    results["illegal"] = message(device.launch, program_of(device, [7, 3]))
    results["after illegal"] = digits(device)
    results["outside"] = message(device.read, 64, 4)
    results["not a buffer"] = message(device.launch, Launch(64, 1))
    address = device.allocate(10)
    device.free(address)
    results["freed twice"] = message(device.free, address).replace(hex(address), "ADDRESS")
    launch = program_of(device, [3])
    board_of(device).model.inject(Injection(hang=Channel.R))
    before = board_of(device).downloads
    results["hung"] = message(device.launch, launch)
    results["downloads"] = board_of(device).downloads - before
    results["after hung"] = digits(device)
    return results


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
