"""What the system says of the processor, against what LLVM finds out by itself."""

from __future__ import annotations

import sys

import pytest
from weft_runtime import host_cpu
from weft_runtime.host_functions import CPU_FEATURES
from weft_runtime.host_targets import X86_64


@pytest.fixture(autouse=True)
def _asked_anew():
    host_cpu.features.cache_clear()
    yield
    host_cpu.features.cache_clear()


def test_this_processor() -> None:
    llvm = pytest.importorskip("llvmlite.binding", reason="llvmlite is not installed")
    if host_cpu.architecture() != "x86_64":
        pytest.skip("needs an x86-64 processor, whose features llvmlite tells reliably")
    known = llvm.get_host_cpu_features()
    names = {*CPU_FEATURES, *X86_64.features}
    assert {name for name in names if known.get(name)} == names & host_cpu.features()


@pytest.mark.parametrize(
    ("machine", "wide", "expected"),
    [
        ("x86_64", True, "x86_64"),
        ("AMD64", True, "x86_64"),
        ("x86_64", False, ""),
        ("armv7l", False, "armv7"),
        ("aarch64", False, "armv7"),
        ("aarch64", True, "aarch64"),
        ("riscv64", True, "riscv64"),
        ("s390x", True, ""),
    ],
)
def test_architectures(monkeypatch: pytest.MonkeyPatch, machine: str, wide: bool, expected: str) -> None:
    monkeypatch.setattr(host_cpu.platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "maxsize", (1 << 63) - 1 if wide else (1 << 31) - 1)
    assert host_cpu.architecture() == expected


@pytest.mark.parametrize(
    ("here", "bits", "expected"),
    [
        ("armv7", 1 << 12 | 1 << 4, {"neon"}),
        ("armv7", 1 << 4, set()),
        ("aarch64", 1 << 1 | 1 << 20, {"neon", "dotprod"}),
        ("aarch64", 1 << 1, {"neon"}),
        ("riscv64", 1 << 0 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 8 | 1 << 12, {"a", "c", "d", "f", "i", "m"}),
    ],
)
def test_features_of_others(monkeypatch: pytest.MonkeyPatch, here: str, bits: int, expected: set[str]) -> None:
    monkeypatch.setattr(host_cpu, "architecture", lambda: here)
    monkeypatch.setattr(host_cpu, "_hardware_capabilities", lambda: bits)
    assert host_cpu.features() == expected


def test_another_system_has_no_code_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert (host_cpu.architecture(), host_cpu.features()) == ("", frozenset())
