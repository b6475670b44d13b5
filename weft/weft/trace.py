"""A timeline in the trace-event format, which Perfetto and chrome://tracing open; a cycle is a microsecond there.

One track a module with its instructions as slices, an arrow for every token from the instruction that pushed it to the
one that popped it, and the memory port's bandwidth as a counter. Instructions of one module overlap in the hardware;
here each begins when the one before has retired, which is also all that anybody else can tell.

Source
------
Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import decode
from weft_hardware.isa import Instruction, Memory, Queue
from weft_runtime.device import Timeline
from weft_runtime.diagnosis import CHANNELS, command_queues

Event = dict[str, Any]

PROCESS = 1
LAUNCH_TRACK = 0
"""Thread of the launches; the modules' follow."""

_TOKENS = ("pop_prev", "pop_next", "push_prev", "push_next")


@dataclass(frozen=True)
class TracedLaunch:
    """One launch of a network, or a raw program."""

    name: str
    cycles: int
    timeline: Timeline


def trace_events(launches: Iterable[TracedLaunch], config: AcceleratorConfig) -> dict[str, Any]:
    """The trace, ready for JSON; launches follow each other as they would without a host between them."""
    events = [_named("process_name", LAUNCH_TRACK, "accelerator"), _named("thread_name", LAUNCH_TRACK, "launches")]
    events += [_named("thread_name", _track(queue), queue.name.lower()) for queue in Queue]
    start, flow = 0, 0
    for launch in launches:
        events.append(_slice(LAUNCH_TRACK, launch.name, start, launch.cycles, {"cycles": launch.cycles}))
        program = decode(launch.timeline.program, config)
        queues = [Queue(queue) for queue in command_queues(launch.timeline.program, config).tolist()]
        begins = _begins(launch.timeline, queues)
        events += _instructions(launch.timeline, program, queues, begins, start)
        arrows = list(_arrows(launch.timeline, program, queues, begins, start, flow))
        flow += len(arrows) // 2
        events += arrows
        events += _bandwidth(launch.timeline, config, start)
        start += launch.cycles
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": {"unit": "1 µs is one clock cycle"}}


def _begins(timeline: Timeline, queues: list[Queue]) -> list[int]:
    """When each instruction's slice begins: issued, and those of its queue before retired."""
    last = dict.fromkeys(Queue, 0)
    begins = []
    for issued, retired, queue in zip(timeline.issued.tolist(), timeline.retired.tolist(), queues, strict=True):
        begins.append(max(issued, last[queue]))
        last[queue] = retired
    return begins


def _instructions(
    timeline: Timeline, program: list[Instruction], queues: list[Queue], begins: list[int], start: int
) -> Iterator[Event]:
    for index, (instruction, queue, begin) in enumerate(zip(program, queues, begins, strict=True)):
        arguments = {"index": index, "issued": start + int(timeline.issued[index]), **_fields(instruction)}
        length = int(timeline.retired[index]) - begin
        yield _slice(_track(queue), _name(instruction), start + begin, length, arguments)


def _arrows(
    timeline: Timeline, program: list[Instruction], queues: list[Queue], begins: list[int], start: int, first: int
) -> Iterator[Event]:
    """Tokens are taken in the order in which they were pushed, so push n of a queue belongs to its pop n."""
    for channel in CHANNELS:
        giver, taker = channel
        push = "push_next" if giver < taker else "push_prev"
        pop = "pop_prev" if giver < taker else "pop_next"
        pushes = deque(k for k, giving in enumerate(program) if queues[k] == giver and getattr(giving, push))
        for k, instruction in enumerate(program):
            if queues[k] != taker or not getattr(instruction, pop):
                continue
            source = pushes.popleft()
            token = {"name": f"{giver.name.lower()} to {taker.name.lower()}", "cat": "token", "id": first}
            pushed = max(begins[source], int(timeline.retired[source]) - 1)
            yield {"ph": "s", "pid": PROCESS, "tid": _track(giver), "ts": start + pushed, **token}
            yield {"ph": "f", "bp": "e", "pid": PROCESS, "tid": _track(taker), "ts": start + begins[k], **token}
            first += 1


def _bandwidth(timeline: Timeline, config: AcceleratorConfig, start: int) -> Iterator[Event]:
    for number, (read, written) in enumerate(timeline.traffic.tolist()):
        rates = {"read": read, "written": written}
        values = {name: round(beats * config.axi_bytes / timeline.span, 3) for name, beats in rates.items()}
        at = start + number * timeline.span
        yield {"ph": "C", "pid": PROCESS, "tid": LAUNCH_TRACK, "ts": at, "name": "DRAM bytes a cycle", "args": values}


def _track(queue: Queue) -> int:
    return LAUNCH_TRACK + 1 + int(queue)


def _named(kind: str, track: int, name: str) -> Event:
    return {"ph": "M", "pid": PROCESS, "tid": track, "name": kind, "args": {"name": name}}


def _slice(track: int, name: str, begin: int, length: int, arguments: dict[str, Any]) -> Event:
    return {"ph": "X", "pid": PROCESS, "tid": track, "name": name, "ts": begin, "dur": length, "args": arguments}


def _name(instruction: Instruction) -> str:
    memory = getattr(instruction, "memory", None)
    return instruction.OPCODE.name + ("" if memory is None else f" {Memory(memory).name}")


def _fields(instruction: Instruction) -> dict[str, int | str]:
    """Fields that are not 0, as the disassembly shows them; tokens in words."""
    values = {field.name: int(getattr(instruction, field.name)) for field in fields(instruction)}
    tokens = ", ".join(name for name in _TOKENS if values.pop(name, 0))
    shown: dict[str, int | str] = {name: value for name, value in values.items() if value}
    return shown | ({"tokens": tokens} if tokens else {})
