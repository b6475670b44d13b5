"""The import rules of the architecture, read from the source: who may import whom, and what a board can install."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PACKAGES = {
    "weft_hardware": ROOT / "hardware" / "weft_hardware",
    "weft_runtime": ROOT / "runtime" / "weft_runtime",
    "weft_compiler": ROOT / "compiler" / "weft_compiler",
    "weft_simulator": ROOT / "simulator" / "weft_simulator",
    "weft_boards": ROOT / "boards" / "weft_boards",
    "weft_explore": ROOT / "explore" / "weft_explore",
    "weft": ROOT / "weft" / "weft",
}
"""Import package and its folder."""

MAY_IMPORT = {
    "weft_hardware": set(),
    "weft_runtime": {"weft_hardware"},
    "weft_compiler": {"weft_hardware", "weft_runtime"},
    "weft_simulator": {"weft_hardware", "weft_runtime"},
    "weft_boards": {"weft_hardware", "weft_runtime"},
    "weft_explore": {"weft_hardware", "weft_runtime", "weft_compiler", "weft_simulator", "weft_boards"},
    "weft": set(PACKAGES) - {"weft"},
}

RUNTIME_MAY_IMPORT = {
    f"weft_hardware.{name}"
    for name in ("config", "isa", "encoding", "disasm", "registers", "c_header", "errors", "serial_link", "work")
}

BASE = {"numpy", "tomli"}
"""What the base installation brings besides the standard library."""


def sources(package: str) -> list[Path]:
    files = sorted(PACKAGES[package].rglob("*.py"))
    assert files, f"{PACKAGES[package]} holds no Python"
    return files


def module_name(path: Path, package: str) -> str:
    parts = path.relative_to(PACKAGES[package].parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, package: str, everywhere: bool = True) -> Iterator[str]:
    """Full names of the modules that a file imports; without ``everywhere`` those that importing it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parents = module_name(path, package).split(".")
    if path.name != "__init__.py":
        parents = parents[:-1]
    for node in ast.walk(tree) if everywhere else at_import(tree.body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = parents[: len(parents) - node.level + 1]
            yield ".".join([*base, *([node.module] if node.module else [])])
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements that run when the module is imported: not those of functions, nor for type checkers alone."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from at_import(node.orelse)
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from at_import(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from at_import(handler.body)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_lower_layers_only(package):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imports(path, package)
        if (top := name.partition(".")[0]) in PACKAGES and top != package and top not in MAY_IMPORT[package]
    ]
    assert not wrong


def test_runtime_imports_what_a_board_has():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("weft_runtime")
        for name in imports(path, "weft_runtime")
        if name.startswith("weft_hardware") and name not in RUNTIME_MAY_IMPORT
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["weft_hardware", "weft_runtime", "weft_boards", "weft"])
def test_importing_the_base_needs_numpy_alone(package):
    """The command line, what builds networks and remote devices are extras; a board installs everything else."""
    zoo = PACKAGES["weft"] / "zoo"
    excluded = (
        *(PACKAGES["weft_hardware"] / "rtl", PACKAGES["weft"] / "cli"),
        *(zoo / name for name in ("builder.py", "quantiser.py", "sequences.py")),
        PACKAGES["weft_runtime"] / "remote",
    )
    allowed = BASE | set(sys.stdlib_module_names) | PACKAGES.keys()
    heavy = {"weft_compiler", "weft_simulator", "weft_explore"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        if not any(path.is_relative_to(folder) for folder in excluded)
        for name in imports(path, package, everywhere=False)
        if (top := name.partition(".")[0]) not in allowed or top in heavy or name.startswith("weft_hardware.rtl")
    ]
    assert not wrong


def test_nothing_imports_the_face():
    wrong = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        if package != "weft"
        for path in sources(package)
        if any(name.partition(".")[0] == "weft" for name in imports(path, package))
    ]
    assert not wrong
