"""Sessions that share a device: threads, several modules, exact memory, runs in the background, tensors in place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from weft.models import digits_onnx
from weft_runtime.device import Bytes, Device, Launch, RunReport
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError, ModuleError
from weft_runtime.module import Module
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

import weft

RUNS = 30


@pytest.fixture(scope="module")
def single() -> Module:
    return weft.compile(digits_onnx(), "vta")


@pytest.fixture(scope="module")
def pairs() -> Module:
    """The same network for two images at a time: other programs, other places."""
    return weft.compile(digits_onnx(), "vta", batch=2)


@pytest.fixture
def device(single: Module) -> Iterator[Device]:
    with FunctionalDevice(single.content.config, dram_size=1 << 20) as device:
        yield device


@pytest.fixture
def fast_switches() -> Iterator[None]:
    """Threads that change as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=2, size=(count, 1, 8, 8)).astype(np.float32)


class Mirrored(Device):
    """A device whose memory is not this process's: everything is copied."""

    def __init__(self, inner: Device) -> None:
        self.config, self.inner = inner.config, inner
        self.copied = 0

    def allocate(self, nbytes: int) -> int:
        return self.inner.allocate(nbytes)

    def free(self, address: int) -> None:
        self.inner.free(address)

    def write(self, address: int, data: Bytes) -> None:
        self.copied += data.size
        self.inner.write(address, data)

    def read(self, address: int, nbytes: int) -> Bytes:
        self.copied += nbytes
        return self.inner.read(address, nbytes)

    def launch(self, launch: Launch) -> RunReport:
        return self.inner.launch(launch)


@pytest.mark.usefixtures("fast_switches")
@pytest.mark.parametrize("mirrored", [False, True])
def test_threads_never_mix_their_results(single, pairs, device, mirrored):
    shared = Mirrored(device) if mirrored else device
    with Session(single, device) as alone, Session(pairs, device) as pair_alone:
        mine = {seed: images(2, seed) for seed in range(RUNS)}
        ones = {seed: alone.run(x[:1]) for seed, x in mine.items()}
        twos = {seed: pair_alone.run(x) for seed, x in mine.items()}
    wrong: list[int] = []
    ready = threading.Barrier(4)

    def worker(module: Module, expected: dict[int, np.ndarray], count: int) -> None:
        with Session(module, shared) as session:
            ready.wait()
            for seed, y in expected.items():
                if session.run(mine[seed][:count]).tobytes() != y.tobytes():
                    wrong.append(seed)

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(worker, *job) for job in [(single, ones, 1), (pairs, twos, 2)] * 2]
        for job in jobs:
            job.result()
    assert wrong == []
    assert device.memory_use().used == 0


@pytest.mark.usefixtures("fast_switches")
def test_threads_may_share_a_session(single, device):
    mine = images(24, 5)
    with Session(single, device) as session:
        expected = [session.run(x[None]).tobytes() for x in mine]
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda x: session.run(x[None]).tobytes(), mine))
    assert found == expected


def test_runs_in_the_background_keep_their_inputs(single, device):
    mine = images(8, 6)
    with Session(single, device) as session:
        expected = [session.run(x[None]).tobytes() for x in mine]
        buffer, futures = np.empty((1, 1, 8, 8), np.float32), []
        for x in mine:
            buffer[0] = x
            futures.append(session.run_async(buffer))
    assert [future.result().tobytes() for future in futures] == expected


def test_what_a_run_in_the_background_raises(single, device, monkeypatch):
    def broken(launch: Launch) -> RunReport:
        raise DeviceError("the link is down")

    with Session(single, device) as session:
        monkeypatch.setattr(device, "launch", broken)
        future = session.run_async(images(1, 7))
        with pytest.raises(DeviceError, match=r"^the link is down$"):
            future.result()
        with pytest.raises(ModuleError, match=r"has shape \(8, 8\), the module takes"):
            session.run_async(np.zeros((8, 8), np.float32))
    with pytest.raises(ModuleError, match=r"^session is closed; open a new one$"):
        session.run_async(images(1, 7))


def test_resident_modules_are_counted_to_the_byte(single, pairs, device):
    total = device.memory_use().total
    with Session(single, device) as first:
        assert device.memory_use().used == first.device_bytes == single.content.region_bytes["device"]
        with Session(pairs, device) as second:
            use = device.memory_use()
            assert (use.used, use.buffers) == (first.device_bytes + second.device_bytes, 2)
            assert use.largest_free == total - use.used - 64  # the first 64 bytes are never given out
            x = images(2, 8)
            assert np.array_equal(second.run(x)[:1], first.run(x[:1]))
        assert device.memory_use().used == first.device_bytes
    use = device.memory_use()
    assert (use.used, use.buffers, use.largest_free) == (0, 0, total - 64)


def test_a_full_device_refuses_and_keeps_what_it_has(single, device):
    fits = (device.memory_use().total - 64) // single.content.region_bytes["device"]
    sessions = [Session(single, device) for _ in range(fits)]
    with pytest.raises(DeviceError, match=r"^DRAM allocation of \d+ bytes does not fit: the largest free block has"):
        Session(single, device)
    use = device.memory_use()
    assert (use.buffers, use.used) == (fits, fits * sessions[0].device_bytes)
    x = images(1, 9)
    assert len({session.run(x).tobytes() for session in sessions}) == 1
    for session in sessions:
        session.close()
    assert device.memory_use().used == 0


def test_a_simulator_is_worked_on_in_place(single, device):
    mirrored = Mirrored(device)
    x = images(1, 10)
    with Session(single, device) as direct, Session(single, mirrored) as copying:
        assert (direct.zero_copy, copying.zero_copy) == (True, False)
        loaded = mirrored.copied
        assert direct.run(x).tobytes() == copying.run(x).tobytes()
        assert mirrored.copied > loaded >= copying.device_bytes
        direct.inputs["image"][:] = x
        direct.execute()
        assert direct.outputs["logits"].tobytes() == copying.run(x).tobytes()


def test_a_view_that_is_not_aligned_is_not_worked_on(single):
    raw = np.zeros((1 << 20) + 64, np.uint8)
    odd = raw[-raw.ctypes.data % 64 + 16 :]
    device = FunctionalDevice(single.content.config, dram=Dram(odd))
    x = images(1, 11)
    with Session(single, device) as session, FunctionalDevice(single.content.config) as plain:
        assert not session.zero_copy
        assert session.run(x).tobytes() == single.run(plain, x).tobytes()
