"""Many clients, some of which are killed at any moment: no wrong result, and no buffer left behind."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.command import served
from support.remote import eventually

pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")
pytest.importorskip("grpc", reason="needs the remote extra (grpcio)")

import weft as face

MODEL = Path(face.__file__).parent / "models" / "digits.onnx"
WORKER = Path(__file__).parents[1] / "support" / "remote_worker.py"


class Worker:
    """A client in a process of its own; what it says is counted."""

    def __init__(self, arguments: list[str], counts: Counter[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(counts,))
        self._reader.start()

    def _read(self, counts: Counter[str]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # the last one may be cut off by the kill
                counts[line.strip()] += 1

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it without a chance to say goodbye."""
        self.process.send_signal(how)
        self.process.wait()
        self._reader.join()


def load(folder: Path, clients: int, runs: int, seed: int, *, stop_some: bool) -> tuple[Counter[str], int]:
    """Let clients run until so many results are there, killing one every now and then; the server must end clean.

    With ``stop_some`` some clients are stopped instead, holding what they hold, and killed at the end.

    Returns
    -------
    counts, kills
        What the clients said, and how many were killed or stopped on the way.
    """
    rng = random.Random(seed)
    module = face.compile(MODEL, "vta", cache=True)
    with np.load(MODEL.parent / "digits_heldout.npz") as held:
        images = held["images"][:40, np.newaxis, np.newaxis].astype(np.float32)
    from weft_runtime.session import Session

    with face.open_device("functional", "vta") as device, Session(module, device) as session:
        expected = np.stack([session.run(image) for image in images])
    paths = [folder / name for name in ("digits.weft", "images.npy", "expected.npy")]
    module.save(paths[0])
    np.save(paths[1], images)
    np.save(paths[2], expected)

    counts: Counter[str] = Counter()
    stopped: list[Worker] = []
    kills = 0
    options = ["--device", "functional", "--device", "functional", "--shared", "--allow-host-code", "--idle-limit", "3"]
    with served(*options) as (process, address), face.connect(address) as server:

        def start() -> Worker:
            return Worker([address, *map(str, paths), str(rng.randrange(1 << 30))], counts)

        workers = [start() for _ in range(clients)]
        try:
            end = time.monotonic() + 900
            while counts["right"] + counts["wrong"] < runs and time.monotonic() < end:
                before = counts["right"]
                assert eventually(lambda before=before: counts["right"] > before, 60), counts
                time.sleep(rng.random())
                victim = workers.pop(rng.randrange(len(workers)))
                kills += 1
                if stop_some and rng.random() < 0.2:
                    victim.process.send_signal(signal.SIGSTOP)
                    stopped.append(victim)
                else:
                    victim.kill()
                workers.append(start())
        finally:
            for worker in (*workers, *stopped):
                worker.kill()

        def clean() -> bool:
            return all(x.memory is not None and x.memory.buffers == 0 for x in server.devices())

        for name in server.modules():
            server.remove(name)
        assert eventually(clean, 30), [(x.name, x.in_use, x.memory) for x in server.devices()]
        assert len(os.listdir(f"/proc/{process.pid}/fd")) < 40
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        _, err = process.communicate()
        assert err == ""
    return counts, kills


def check(counts: Counter[str], runs: int) -> None:
    refused = {text: count for text, count in counts.items() if text not in ("right", "wrong")}
    assert counts["wrong"] == 0
    assert counts["right"] >= runs
    # An idle client's device goes to who waits; no other refusal is in order.
    assert all("it was idle for 3 s and others wait" in text for text in refused), refused


def test_clients_that_are_killed(tmp_path):
    counts, kills = load(tmp_path, clients=3, runs=40, seed=1, stop_some=False)
    check(counts, 40)
    assert kills >= 1


@pytest.mark.slow
def test_many_clients_that_are_killed_or_stopped(tmp_path):
    counts, kills = load(tmp_path, clients=8, runs=2000, seed=2, stop_some=True)
    print(f"{counts['right']} right, {counts['wrong']} wrong, {kills} killed or stopped, {sum(counts.values())} in all")
    check(counts, 2000)
    assert kills >= 20
