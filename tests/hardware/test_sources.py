"""The files that caches of verilated and synthesised accelerators are named by."""

import ast
from pathlib import Path

import weft_hardware
from weft_hardware.config import AcceleratorConfig
from weft_hardware.sources import rtl_sources

PACKAGE = Path(weft_hardware.__file__).parent


def imported(path: Path) -> set[Path]:
    """The files of the package that a file of it imports."""
    files = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            names = [base, *(base / alias.name for alias in node.names)]
            files |= {name.with_suffix(".py") for name in names if name.with_suffix(".py").is_file()}
    return files


def test_nothing_that_shapes_the_verilog_is_left_out():
    reached, new = set(), {PACKAGE / "rtl" / "verilog.py", PACKAGE / "rtl" / "timing.py"}
    while new:
        reached |= new
        new = {file for path in new for file in imported(path)} - reached
    assert {"config.py", "isa.py", "latencies.py", "registers.py", "signatures.py"} <= {path.name for path in reached}
    assert reached <= set(rtl_sources())


def test_configurations_have_names_of_their_own():
    assert AcceleratorConfig(inp_depth=100).digest != AcceleratorConfig().digest
