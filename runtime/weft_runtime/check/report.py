"""What the check of one program found, in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.disasm import disassemble
from weft_hardware.encoding import Words

from ..diagnosis import ProgramView, fault_message
from .findings import Finding, Kind


@dataclass(frozen=True)
class Report:
    """The findings of one program, none if it is sound.

    Attributes
    ----------
    words : uint64 array, shape (n, instruction_bits / 64)
        The program.
    findings : tuple of Finding
        Queues first, then single instructions, STOREs and pairs, in program order each.
    """

    config: AcceleratorConfig
    words: Words
    findings: tuple[Finding, ...]

    @cached_property
    def _view(self) -> ProgramView:
        return ProgramView(self.words, self.config)

    @property
    def passed(self) -> bool:
        return not self.findings

    def text(self, index: int) -> str:
        """One instruction as `weft_hardware.disasm` shows it, without its index."""
        return next(iter(disassemble(self.words[index : index + 1], self.config)))[8:]

    def sentence(self, finding: Finding) -> str:
        """A finding in one sentence: the instructions, the place, what is wrong, the way out."""
        if finding.fault is not None:
            return fault_message(self.words, self.config, finding.fault)
        if finding.text:
            return finding.text
        names = [self._view.name(index) for index in finding.instructions]
        if finding.kind is Kind.RACE:
            return self._race(finding, names)
        if finding.kind is Kind.PROGRAM_OVERWRITTEN:
            return (
                f"{names[0]} writes {finding.span}, where the program itself lies, which is fetched at no time that "
                "tokens order; store elsewhere"
            )
        if finding.kind is Kind.CONSTANT_OVERWRITTEN:
            return f"{names[0]} writes {finding.span}, which holds constants of later launches; store elsewhere"
        if finding.kind is Kind.OPERAND_OVERWRITTEN:
            return (
                f"{names[0]} writes {finding.span}, where it may still have to read its residual operand; "
                "set register RESIDUAL to 0 without overlapping rows, or store elsewhere"
            )
        if len(names) == 2:
            return (
                f"{names[1]} reads {finding.span}, which {names[0]} wrote, so that nobody can know what it reaches; "
                "load micro-ops that the program does not write"
            )
        return (
            f"{names[0]} runs micro-ops {finding.span}, which the program did not load from memory that is known "
            "before the launch, so that nobody can know what it reaches; load them"
        )

    def _race(self, finding: Finding, names: list[str]) -> str:
        verbs = ["writes" if writes else "reads" for writes in finding.writes]
        first, second = finding.instructions
        steps = [f"from {sender.name.lower()} to {receiver.name.lower()}" for sender, receiver in finding.missing]
        push, pop = f"pushed by instruction {first} or a later one", f"popped by instruction {second} or an earlier one"
        if len(steps) == 1:
            remedy = f"add a token {steps[0]}, {push} and {pop}"
        else:
            remedy = f"add tokens {steps[0]}, {push}, and {steps[1]}, {pop}"
        return f"{names[0]} {verbs[0]} {finding.span} and {names[1]} {verbs[1]} it, in no certain order; {remedy}"

    def to_dict(self, finding: Finding) -> dict[str, Any]:
        """A finding, ready for JSON."""
        span = finding.span
        values: dict[str, Any] = {
            "kind": finding.kind.value,
            "message": self.sentence(finding),
            "instructions": [{"index": k, "text": self.text(k)} for k in finding.instructions],
        }
        if span is not None:
            unit = "bytes" if span.place == "DRAM" else "tiles"
            values |= {"memory": span.place, "first": span.first, "last": span.last, unit: span.count}
        if finding.missing:
            values["missing_tokens"] = [[s.name.lower(), r.name.lower()] for s, r in finding.missing]
        return values
