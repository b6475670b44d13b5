"""A small exploration that several tests run."""

from __future__ import annotations

from weft.models import digits_onnx
from weft_explore.exploration import Exploration
from weft_explore.objectives import parse_objectives
from weft_explore.plan import Plan
from weft_explore.space import parse_space
from weft_explore.workload import Workload

SPACE = """
base = "pynq"
[space]
block_in = [4, 8, 16]
block_out = { same = "block_in" }
epilogue_lanes = [4, 8, 16]
inp_depth = { low = 64, high = 2048, log = true }
acc_depth = { low = 64, high = 2048, log = true }
axi_data_bits = [64, 128]
"""


def plan(**changes) -> Plan:
    """Cycles and energy of the digit reader, four designs a generation, nothing looked at before."""
    given = {
        "space": parse_space(SPACE),
        "workloads": (Workload("digits", digits_onnx()),),
        "objectives": parse_objectives(["cycles", "energy"]),
        "generation": 4,
        "screened": 0,
    }
    return Plan(**{**given, **changes})


def summary(exploration: Exploration) -> list[tuple]:
    """What must not depend on who evaluated, and when."""
    return [(found.number, found.design.digest, found.state, found.values) for found in exploration.explored]
