"""``python remote_worker.py ADDRESS MODULE IMAGES.npy EXPECTED.npy SEED``: a client that runs until it is killed.

A line on standard output for each run: ``right``, ``wrong``, or what was refused.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import numpy as np
from weft_runtime.errors import DeviceError
from weft_runtime.module import Module
from weft_runtime.remote.client import Server
from weft_runtime.remote.device import RemoteDevice
from weft_runtime.session import Session


def leased(address: str, module: Module, images: np.ndarray, order: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Host steps here, launches there; sometimes with buffers that nobody frees."""
    with RemoteDevice(address, module.content.config) as device, Session(module, device) as session:
        for _ in range(order[0] % 3):
            device.write(device.allocate(1 << 16), np.zeros(1 << 16, np.uint8))
        for k in order:
            yield k, session.run(images[k])  # type: ignore[misc]


def by_name(address: str, module: Module, images: np.ndarray, order: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Everything there."""
    with Server(address) as server:
        runs = server.upload(module, "digits").stream(images[k] for k in order)
        for k, run in zip(order, runs, strict=True):
            yield k, run.outputs  # type: ignore[misc]


def main(address: str, module_file: str, images_file: str, expected_file: str, seed: str) -> None:
    rng = random.Random(int(seed))
    module, images, expected = Module.load(module_file), np.load(images_file), np.load(expected_file)
    while True:
        order = [rng.randrange(len(images)) for _ in range(rng.randint(1, 12))]
        try:
            for k, logits in rng.choice((leased, by_name))(address, module, images, order):
                print("right" if logits.tobytes() == expected[k].tobytes() else "wrong", flush=True)
        except DeviceError as error:
            print(f"refused: {error}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
