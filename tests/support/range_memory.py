"""What answers a client's read or write port in unit tests, without an AXI bus between; stepped once a cycle."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from weft_hardware.config import AcceleratorConfig


class RangeReader:
    """Answers a `signatures.read_port`, in order, ``latency`` cycles after the request at the earliest.

    Beats hold what was in memory when they were requested.

    Parameters
    ----------
    data : bytes
        Memory from address 0 on; a whole number of beats.
    stall : float
        Probability of withholding a request's acceptance or a beat in a cycle.
    bad_beat : int, optional
        Byte address of a beat that answers with an error.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        data: bytes,
        rng: random.Random,
        *,
        latency: int = 0,
        stall: float = 0.0,
        bad_beat: int | None = None,
    ) -> None:
        self._beat_bytes = config.axi_bytes
        self._data = data
        self._rng = rng
        self._latency = latency
        self._stall = stall
        self._bad_beat = bad_beat
        self._now = 0
        self._beats: deque[tuple[int, int, bytes]] = deque()
        self.requests: list[tuple[int, int]] = []
        """Address and bytes of every burst."""
        self.beats_taken = 0

    @property
    def outstanding(self) -> int:
        """Beats requested and not taken."""
        return len(self._beats)

    def step(self, ctx: Any, port: Any) -> None:
        """Drive the port for this cycle and note what is transferred; the caller ticks afterwards."""
        due = bool(self._beats) and self._beats[0][0] <= self._now and self._rng.random() >= self._stall
        ctx.set(port.beats.valid, due)
        ctx.set(port.request.ready, self._rng.random() >= self._stall)
        if due:
            _, address, word = self._beats[0]
            ctx.set(port.beats.payload.data, int.from_bytes(word, "little"))
            ctx.set(port.beats.payload.error, address == self._bad_beat)
            self._beats.popleft()
            self.beats_taken += 1
        if ctx.get(port.request.valid) and ctx.get(port.request.ready):
            self._accept(ctx.get(port.request.payload.address), ctx.get(port.request.payload.length) + 1)
        self._now += 1

    def _accept(self, address: int, beats: int) -> None:
        nbytes = beats * self._beat_bytes
        assert address % self._beat_bytes == 0
        assert address + nbytes <= len(self._data), f"burst {address:#x} + {nbytes} is outside the memory"
        self.requests.append((address, nbytes))
        for beat in range(address, address + nbytes, self._beat_bytes):
            word = bytes(self._data[beat : beat + self._beat_bytes])
            self._beats.append((self._now + 1 + self._latency, beat, word))


class RangeWriter:
    """Takes what a `signatures.write_port` sends and acknowledges it.

    ``data`` starts as guard bytes, and holds a range when that is acknowledged; a byte written outside the announced
    range fails, and, unless ``rewrites``, one written twice.
    """

    GUARD = 0xA5

    def __init__(
        self, config: AcceleratorConfig, size: int, rng: random.Random, *, stall: float = 0.0, rewrites: bool = False
    ) -> None:
        self._beat_bytes = config.axi_bytes
        self._rng = rng
        self._stall = stall
        self.data = bytearray([self.GUARD] * size)
        self.written: set[int] = set()
        self._ranges: deque[list[int]] = deque()
        self._rewrites = rewrites
        self._present: list[tuple[int, int]] = []
        self._acknowledgements: deque[tuple[int, list[tuple[int, int]]]] = deque()
        self._now = 0
        self.fail_next = False

    def step(self, ctx: Any, port: Any) -> None:
        """Drive the port for this cycle and note what is transferred; the caller ticks afterwards."""
        ctx.set(port.request.ready, self._rng.random() >= self._stall)
        ctx.set(port.beats.ready, bool(self._ranges) and self._rng.random() >= self._stall)
        acknowledged = bool(self._acknowledgements) and self._acknowledgements[0][0] <= self._now
        ctx.set(port.acknowledged, acknowledged)
        ctx.set(port.error, acknowledged and self.fail_next)
        if acknowledged:
            for address, byte in self._acknowledgements.popleft()[1]:
                self.data[address] = byte
        if ctx.get(port.beats.valid) and ctx.get(port.beats.ready):
            self._take(ctx.get(port.beats.payload.data), ctx.get(port.beats.payload.strobe))
        if ctx.get(port.request.valid) and ctx.get(port.request.ready):
            address, nbytes = ctx.get(port.request.payload.address), ctx.get(port.request.payload.nbytes)
            self._ranges.append([address // self._beat_bytes * self._beat_bytes, address, address + nbytes])
        self._now += 1

    def _take(self, word: int, strobe: int) -> None:
        current = self._ranges[0]
        beat, begin, end = current
        lanes = range(self._beat_bytes)
        expected = sum(1 << lane for lane in lanes if begin <= beat + lane < end)
        assert strobe == expected, f"strobes {strobe:#x} at {beat:#x}, the range needs {expected:#x}"
        for lane in lanes:
            if strobe >> lane & 1:
                assert self._rewrites or beat + lane not in self.written, f"byte {beat + lane:#x} is written twice"
                self.written.add(beat + lane)
                self._present.append((beat + lane, word >> 8 * lane & 0xFF))
        current[0] += self._beat_bytes
        if current[0] >= end:
            self._ranges.popleft()
            self._acknowledgements.append((self._now + 1 + self._rng.randrange(5), self._present))
            self._present = []
