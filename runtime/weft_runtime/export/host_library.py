"""A module's host code linked to shared libraries, so that it is loaded without LLVM."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..host_functions import CPU_SYMBOL
from ..host_targets import HOST_TARGETS
from ..module_model import HostCode, HostStep, ModuleContent
from .library import FLAGS, ZIG_TARGETS, c_file, require_zig, run_compiler

_TARGETS = {HOST_TARGETS[name].triple: name for name in ZIG_TARGETS}


def link_host_code(content: ModuleContent) -> ModuleContent:
    """The same module, each of its objects for a Linux beside a library of it.

    Raises
    ------
    ModuleError
        If ziglang is missing, or an object cannot be linked.
    """
    if not content.host_code:
        return content
    compiler = require_zig("linking host code, which --no-link leaves out,")
    names = sorted({step.function for step in content.steps if isinstance(step, HostStep)})
    codes = (
        replace(code, library=_link(compiler, code, names)) if code.triple in _TARGETS else code
        for code in content.host_code
    )
    return replace(content, host_code=tuple(codes))


def _link(compiler: Sequence[str], code: HostCode, names: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="weft-link-") as name:
        folder = Path(name)
        (folder / "host.o").write_bytes(code.object)
        (folder / "weft_math.c").write_text(c_file("weft_math.c"), encoding="utf-8")
        # A pattern: not every object has the variable, and one that is named has to be there.
        shown = "".join(f"{function}; " for function in (*names, f"{CPU_SYMBOL}*"))
        (folder / "symbols.map").write_text(f"{{ global: {shown}local: *; }};\n", encoding="utf-8")
        target = ZIG_TARGETS[_TARGETS[code.triple]]
        options = ["-target", *target, *FLAGS, "-shared", "-s", "-Wl,--version-script=symbols.map"]
        run_compiler([*compiler, *options, "-o", "host.so", "host.o", "weft_math.c", "-lm"], folder)
        return (folder / "host.so").read_bytes()
