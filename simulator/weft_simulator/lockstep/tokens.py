"""Who takes a token from whom, and gives one to whom."""

from __future__ import annotations

from weft_hardware.isa import Instruction, Queue

LOAD, COMPUTE, STORE = Queue.LOAD, Queue.COMPUTE, Queue.STORE

Channel = tuple[Queue, Queue]
"""A token queue: from whom, to whom."""

CHANNELS: tuple[Channel, ...] = ((LOAD, COMPUTE), (COMPUTE, LOAD), (COMPUTE, STORE), (STORE, COMPUTE))


def popped(insn: Instruction) -> list[Channel]:
    """The channels an instruction takes a token from; a flag that names no neighbour does nothing."""
    queue = insn.queue
    channels = []
    if insn.pop_prev and queue is not LOAD:
        channels.append((Queue(queue - 1), queue))
    if insn.pop_next and queue is not STORE:
        channels.append((Queue(queue + 1), queue))
    return channels


def pushed(insn: Instruction) -> list[Channel]:
    """The channels an instruction gives a token to."""
    queue = insn.queue
    channels = []
    if insn.push_prev and queue is not LOAD:
        channels.append((queue, Queue(queue - 1)))
    if insn.push_next and queue is not STORE:
        channels.append((queue, Queue(queue + 1)))
    return channels


def pop_flag(channel: Channel) -> str:
    """The flag with which the receiver takes from a channel."""
    return "pop_prev" if channel[0] < channel[1] else "pop_next"


def push_flag(channel: Channel) -> str:
    """The flag with which the sender gives to a channel."""
    return "push_next" if channel[0] < channel[1] else "push_prev"
