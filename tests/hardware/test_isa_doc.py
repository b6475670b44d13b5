"""docs/isa.md: up to date, and saying what VTA's encoding is."""

from pathlib import Path

import pytest
from weft_hardware.isa_doc import COMMAND, render
from weft_hardware.registers import REGISTERS, Cause

DOCUMENT = Path(__file__).parents[2] / "docs" / "isa.md"


def test_document_is_current():
    assert DOCUMENT.read_text(encoding="utf-8") == render(), f"docs/isa.md is stale; run `{COMMAND}`"


@pytest.mark.parametrize(
    "row",
    [
        "| 9:7 | `memory` |  | memory id |",
        "| 57:26 | `dram` | tiles |",
        "| 95:80 | `x_size` | tiles |",
        "| 34:21 | `uop_end` | micro-ops |",
        "| 117:108 | `wgt_out` | tiles |",
        "| 110:108 | `alu_op` |",
        "| 127:112 | `imm` |  | immediate operand, two's complement |",
        "| 31:22 | `wgt` | tiles | weight tile |",
    ],
)
def test_bit_ranges_are_vtas(row):
    assert row in render()


def test_every_register_and_cause_is_listed():
    text = render()
    assert all(f"| {register.name} |" in text for register in REGISTERS)
    assert all(f"| {cause.value} | {cause.name} |" in text for cause in Cause)
