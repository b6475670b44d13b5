"""Which files shape the accelerator's Verilog: what every cache of things made from it has to look at."""

from __future__ import annotations

from pathlib import Path

DECLARATIONS = ("config.py", "errors.py", "garbage.py", "isa.py", "latencies.py", "registers.py")
"""What the RTL imports from beside its own package."""


def rtl_sources() -> list[Path]:
    """The accelerator's modules and the declarations that they are derived from; not what boards put around it."""
    root = Path(__file__).parent
    return [*(root / name for name in DECLARATIONS), *sorted((root / "rtl").glob("*.py"))]
