"""What cocotb benches drive and watch a design with: pauses, streams, token queues, rules of AXI."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cocotb.triggers import RisingEdge
from weft_hardware.config import AcceleratorConfig
from weft_hardware.latencies import MOST_ROOM, PAGE_BYTES

PAUSES: dict[str, Callable[[random.Random], Iterator[bool]]] = {
    "none": lambda rng: itertools.repeat(False),
    "every other cycle": lambda rng: itertools.cycle([True, False]),
    "random": lambda rng: (rng.random() < 0.7 for _ in itertools.count()),
    "long": lambda rng: _long_pauses(rng),
}
"""Whether to pause, cycle after cycle."""


def _long_pauses(rng: random.Random) -> Iterator[bool]:
    """A latency of 20 to 120 cycles now and then, and full speed between."""
    while True:
        yield from itertools.repeat(False, rng.randint(1, 40))
        yield from itertools.repeat(True, rng.randint(20, 120))


def pause_memory(memory: Any, idle: str, backpressure: str, rng: random.Random) -> None:
    """``idle`` holds back the answers of a cocotbext-axi memory, ``backpressure`` what it takes."""
    answers, taken = [], []
    if hasattr(memory, "write_if"):
        answers.append(memory.write_if.b_channel)
        taken += [memory.write_if.aw_channel, memory.write_if.w_channel]
    read = memory.read_if if hasattr(memory, "read_if") else memory
    for channel in (*answers, read.r_channel):
        channel.set_pause_generator(PAUSES[idle](rng))
    for channel in (*taken, read.ar_channel):
        channel.set_pause_generator(PAUSES[backpressure](rng))


class Source:
    """Sends a stream's payloads; call `step` after each clock edge. Valid does not fall before a transfer."""

    def __init__(self, dut: Any, name: str, pause: Iterator[bool]) -> None:
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload", None)
        self._pause = pause
        self._offered = False
        self.left: deque[int] = deque()
        self._valid.value = 0

    def step(self) -> bool:
        """Drive the next cycle; returns whether the one that ended was a transfer."""
        moved = self._offered and int(self._ready.value) == 1
        if moved:
            self.left.popleft()
        if moved or not self._offered:
            offered = bool(self.left) and not next(self._pause)
            if offered != self._offered:
                self._valid.value = int(offered)
            self._offered = offered
            if offered and self._payload is not None:
                self._payload.value = self.left[0]
        return moved


class Sink:
    """Takes a stream's payloads unless it pauses; call `step` after each clock edge."""

    def __init__(self, dut: Any, name: str, pause: Iterator[bool]) -> None:
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self._pause = pause
        self._takes = False
        self._ready.value = 0

    def step(self) -> int | None:
        """Drive the next cycle; returns what the one that ended transferred."""
        taken = int(self._payload.value) if self._takes and int(self._valid.value) else None
        takes = not next(self._pause)
        if takes != self._takes:
            self._ready.value = int(takes)
        self._takes = takes
        return taken


class TokenSide:
    """A neighbour: gives tokens, and takes what fits its queue, which says truly how much room is left."""

    def __init__(self, dut: Any, name: str, rng: random.Random, idle: str, backpressure: str) -> None:
        self._give = Source(dut, f"{name}__pop", PAUSES[idle](rng))
        self._valid, self._ready = getattr(dut, f"{name}__push__valid"), getattr(dut, f"{name}__push__ready")
        self._room = getattr(dut, f"{name}__room")
        self._drain = PAUSES[backpressure](rng)
        self._depth = rng.choice((1, 2, 8))
        self._free = 0
        self._tell(self._depth)
        self.popped = 0

    def give(self, tokens: int) -> None:
        self._give.left.extend([0] * tokens)

    def _tell(self, free: int) -> None:
        if free != self._free:
            self._ready.value, self._room.value = int(free > 0), min(free, MOST_ROOM)
        self._free = free

    def step(self) -> bool:
        """Drive the next cycle; returns whether the one that ended pushed a token."""
        self.popped += self._give.step()
        pushed = self._free > 0 and int(self._valid.value) == 1
        held = self._depth - self._free + pushed
        drained = held > 0 and not next(self._drain)
        self._tell(self._depth - held + drained)
        return pushed


_ADDRESS = ("addr", "len", "size", "burst", "id")
_FIELDS = {"ar": _ADDRESS, "aw": _ADDRESS, "w": ("data", "strb", "last")}


class AxiWatch:
    """What AXI asks of a manager and a memory does not check: A3.2.1 (stable), A3.4.1 (bursts), A3.2.2 (data).

    Attributes
    ----------
    reads, writes : list of (address, beats)
        Bursts whose address was taken, in order.
    answered : int
        Bursts written and acknowledged.
    """

    def __init__(self, dut: Any, prefix: str, config: AcceleratorConfig) -> None:
        self._clock = dut.clk
        self._config = config
        self._channels = {
            channel: (
                getattr(dut, f"{prefix}_{channel}valid"),
                getattr(dut, f"{prefix}_{channel}ready"),
                [getattr(dut, f"{prefix}_{channel}{field}") for field in fields],
            )
            for channel, fields in _FIELDS.items()
            if hasattr(dut, f"{prefix}_{channel}valid")
        }
        self._answer = [getattr(dut, f"{prefix}_b{n}", None) for n in ("valid", "ready")]
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int]] = []
        self.answered = 0

    async def run(self) -> None:
        """Check every cycle, for ever."""
        held: dict[str, tuple[int, ...]] = {}
        sent: list[int] = [0]
        while True:
            await RisingEdge(self._clock)
            if all(signal is not None and int(signal.value) for signal in self._answer):
                self.answered += 1
                beats = self.writes[self.answered - 1][1]
                assert sent[self.answered - 1] == beats, f"{sent[self.answered - 1]} of {beats} beats were sent"
            for channel, (valid, ready, fields) in self._channels.items():
                if not int(valid.value):
                    assert channel not in held, f"{channel}valid fell before it was taken"
                    continue
                payload = tuple(int(field.value) for field in fields)
                assert payload == held.pop(channel, payload), f"{channel} changed before it was taken"
                if not int(ready.value):
                    held[channel] = payload
                elif channel == "w":
                    sent[-1] += 1
                    if payload[2]:
                        sent.append(0)
                else:
                    self._burst(channel, payload)

    def _burst(self, channel: str, payload: tuple[int, ...]) -> None:
        address, length, size, kind, _ = payload
        beat = self._config.axi_bytes
        assert (1 << size, kind, address % beat) == (beat, 1, 0)
        assert length < self._config.max_burst
        assert address // PAGE_BYTES == (address + length * beat) // PAGE_BYTES, (
            f"{channel}: {address:#x} crosses a page"
        )
        (self.reads if channel == "ar" else self.writes).append((address, length + 1))

    def beats_read(self) -> set[int]:
        """Addresses of all beats asked for."""
        beat = self._config.axi_bytes
        return {address + k * beat for address, beats in self.reads for k in range(beats)}


def beats_of(ranges: Iterable[tuple[int, int]], config: AcceleratorConfig) -> set[int]:
    """Addresses of the beats that hold byte ranges, each a begin and an end."""
    beat = config.axi_bytes
    return {k for begin, end in ranges for k in range(begin // beat * beat, end, beat)}
