"""What processor this process runs on, asked of the system alone."""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from functools import cache
from pathlib import Path

_AT_HWCAP = 16

_ARM_BITS = {"armv7": {"neon": 12}, "aarch64": {"neon": 1, "dotprod": 20}}
"""Bits of AT_HWCAP by LLVM's names of features."""

_X86_NAMES = {"bmi1": "bmi", "abm": "lzcnt", "avx512_vnni": "avx512vnni"}
"""Flags of /proc/cpuinfo that LLVM calls otherwise."""


def architecture() -> str:
    """The first part of the triples whose code this process can run; empty where that is unknown.

    A 32-bit process on a 64-bit processor runs 32-bit code.
    """
    if not sys.platform.startswith("linux"):
        return ""
    machine, wide = platform.machine().lower(), sys.maxsize > 1 << 32
    if machine in ("x86_64", "amd64"):
        return "x86_64" if wide else ""
    if machine in ("aarch64", "arm64", "armv7l", "armv8l"):
        return "aarch64" if wide else "armv7"
    return machine if machine == "riscv64" else ""


@cache
def features() -> frozenset[str]:
    """What the processor has that host code may ask for, by LLVM's names.

    Source
    ------
    Linux: getauxval(3) and arch/*/include/uapi/asm/hwcap.h; for x86-64 the flags in /proc/cpuinfo, from which the
    kernel takes what it does not keep the registers of.
    """
    here = architecture()
    if here == "x86_64":
        found = re.search(r"^flags\s*:(.*)$", _cpuinfo(), re.MULTILINE)
        return frozenset(_X86_NAMES.get(flag, flag) for flag in (found[1].split() if found else ()))
    if not here:
        return frozenset()
    bits = _hardware_capabilities()
    if here == "riscv64":
        return frozenset(chr(ord("a") + k) for k in range(26) if bits >> k & 1)
    return frozenset(name for name, k in _ARM_BITS[here].items() if bits >> k & 1)


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _hardware_capabilities() -> int:
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype = ctypes.c_ulong
    return getauxval(ctypes.c_ulong(_AT_HWCAP))
