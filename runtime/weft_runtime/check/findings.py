"""What the check can find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..diagnosis import Channel
from ..errors import Fault


class Kind(Enum):
    """Why a program is refused; the value is its name in tables and JSON."""

    RACE = "race"
    """Two instructions of different queues touch the same place, one writes it, and tokens do not order them."""
    DEADLOCK = "deadlock"
    """A token that is never pushed, a cycle of waits, or a queue that stays full."""
    TOKENS_LEFT = "tokens left"
    """Tokens that nobody takes."""
    FAULT = "fault"
    """An illegal instruction, an index or address outside, or no FINISH."""
    PROGRAM_OVERWRITTEN = "program overwritten"
    """A STORE reaches the instruction stream, which is fetched at no time that tokens order."""
    CONSTANT_OVERWRITTEN = "constant overwritten"
    """A STORE reaches what has to stay as it is for the launches to come: weights, micro-ops, programs."""
    OPERAND_OVERWRITTEN = "operand overwritten"
    """A STORE writes over the residual operand that it may still have to read."""
    UNKNOWN_MICRO_OPS = "unknown micro-ops"
    """Micro-ops that nobody can know before the program runs, and so nobody what they reach."""


@dataclass(frozen=True)
class Span:
    """Where: ``count`` tiles of a scratchpad or bytes of DRAM, the first and the last among them."""

    place: str
    first: int
    last: int
    count: int

    def __str__(self) -> str:
        if self.place == "DRAM":
            ends = f"DRAM {self.first:#x}..{self.last:#x}"
            unit = "bytes"
        else:
            ends = f"{self.place} {self.first}..{self.last}" if self.last > self.first else f"{self.place} {self.first}"
            unit = "tiles"
        return ends if self.count == self.last - self.first + 1 else f"{ends} ({self.count} {unit} of it)"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    kind : Kind
    instructions : tuple of int
        Program indices of those concerned; of a race, the one that has to push the missing token comes first.
    span : Span, optional
        The tiles or bytes that they collide in.
    writes : tuple of bool
        Of a race: whether the first one writes, and whether the second one does.
    missing : tuple of Channel
        Of a race: the token queues that would have to order the two; two of them lead through Compute.
    fault : Fault, optional
        What the accelerator's fault registers would say.
    text : str
        The sentence of a deadlock or of tokens left.
    """

    kind: Kind
    instructions: tuple[int, ...] = ()
    span: Span | None = None
    writes: tuple[bool, bool] = (False, False)
    missing: tuple[Channel, ...] = ()
    fault: Fault | None = None
    text: str = ""
