"""Verilog to a shared library: Verilator writes C++, which is compiled and linked with ``harness.cpp``.

Libraries are kept in the user's cache under a name made from everything that shapes them, so a second device of the
same configuration opens in milliseconds, and an edit of the RTL, the harness or a tool builds a new one.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from weft_hardware.config import AcceleratorConfig
from weft_hardware.sources import rtl_sources
from weft_runtime.errors import DeviceError

from . import activity, vectors
from .activity import UnsupportedModelError, skip_what_rests
from .cache import (
    cache_directory,
    content_key,
    cpu_identity,
    exclusive,
    keep_within,
    source_key,
    touched,
    work_directory,
)
from .fst_compressor import INCLUDE as FST_HEADERS
from .toolchain import Compiler, Verilator, find_compiler, find_verilator, require_hdl

Progress = Callable[[str, int, int], None]
"""Told the stage's name, the steps done and the steps there are."""

TOP = "weft_accelerator"
"""The top module of every design."""

HARNESS = Path(__file__).with_name("harness.cpp")
ANY_DESIGN = HARNESS.with_name("any_design.cpp")
"""The same for designs of others and for waveforms: Verilator decides what a cycle evaluates."""

COMMON_FLAGS = ("-std=c++17", "-fPIC", "-w", "-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0")
TRACE_FLAGS = ("-DVM_TRACE=0", "-DVM_TRACE_FST=0", "-DVM_TRACE_VCD=0", "-DVM_TRACE_SAIF=0")
WAVE_FLAGS = {
    "vcd": ("-DVM_TRACE=1", "-DVM_TRACE_FST=0", "-DVM_TRACE_VCD=1", "-DVM_TRACE_SAIF=0"),
    "fst": ("-DVM_TRACE=1", "-DVM_TRACE_FST=1", "-DVM_TRACE_VCD=0", "-DVM_TRACE_SAIF=0", f"-I{FST_HEADERS}"),
}
"""For builds that can write a waveform, by its kind; libraries of their own: the other pays nothing for it."""
FAST_FLAGS = ("-O3", "-march=native", "-fno-semantic-interposition", "-fno-plt")
SLOW_FLAGS = ("-O0",)
"""For code that runs once, at creation."""

VERILATOR_FLAGS = (
    *("--cc", "--prefix", "Vtop", "--top-module", TOP, "--no-timing", "--noassert"),
    *("-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--quiet"),
    # The harness runs each part of a cycle once, which is right for logic without loops only.
    "-Werror-UNOPTFLAT",
    # Wide values as calls on whole words, not as a statement a word: less code, and code is what a cycle costs.
    "-fno-expand",
    # Registers of different units under one condition would rest or run together; see `activity`.
    "-fno-merge-cond",
)
RUNTIME_SOURCES = ("verilated.cpp", "verilated_threads.cpp")


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody follows."""


def _run(command: Sequence[str], directory: Path, environment: dict[str, str] | None = None) -> None:
    result = subprocess.run(
        command, cwd=directory, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        output = (result.stderr or result.stdout).strip().splitlines()
        reason = next((line for line in output if "rror" in line), output[-1] if output else "it printed nothing")
        raise DeviceError(
            f"building the RTL simulator: {Path(command[0]).name} ended with exit code {result.returncode} "
            f"({reason.strip()}); check the tool, or choose another compiler"
        )


LITTLE = 1 << 17
"""Bytes of a source file below which what it includes, a second of compiling, is most of its work."""


def put_together(directory: Path, harness: Path) -> list[Path]:
    """The model's source files, but one in place of the harness and all little ones, and one of all that run once."""
    files = sorted(directory.glob("*.cpp"))
    slow = [file for file in files if "Slow" in file.name]
    little = [file for file in files if file not in slow and file.stat().st_size < LITTLE]
    kept = [file for file in files if file not in slow and file not in little]
    # The harness comes last: what it defines is none of the model's business.
    together = {"Vtop_together_Slow.cpp": slow, "Vtop_together.cpp": [*little, harness]}
    for name, parts in together.items():
        kept.append(directory / name)
        paths = (part.name if part.parent == directory else part for part in parts)
        kept[-1].write_text("".join(f'#include "{path}"\n' for path in paths))
    return kept


MAX_BYTES = 4 << 30
"""What all libraries together may take, some hundreds; those that were not asked for the longest make room."""


class Builder:
    """Builds simulators with one compiler into one cache.

    Parameters
    ----------
    cache_dir : Path, optional
        Where libraries are kept; see `cache.cache_directory`.
    compiler : {"auto", "zig", "system"}
        See `toolchain.find_compiler`.
    progress : Progress, optional
        Called at each step of a build, never when the library is in the cache.
    wave : {"vcd", "fst"}, optional
        Build what can write waveforms of this kind: slower, every unit runs in every cycle.
    rests : bool
        Let units rest in which nothing changes, see `activity`; False for a design that is busy as a whole.

    Raises
    ------
    DeviceError
        If a tool is missing or the cache cannot be written.
    """

    def __init__(
        self,
        cache_dir: Path | str | None = None,
        compiler: str = "auto",
        progress: Progress | None = None,
        wave: str | None = None,
        rests: bool = True,
    ) -> None:
        self.wave, self.rests = wave, rests
        self._flags = (*COMMON_FLAGS, *(WAVE_FLAGS[wave] if wave else TRACE_FLAGS))
        self._runtime = (*RUNTIME_SOURCES, *((f"verilated_{wave}_c.cpp",) if wave else ()))
        self.compiler: Compiler = find_compiler(compiler)
        self.verilator: Verilator = find_verilator()
        self.directory = cache_directory(cache_dir) / "tsim"
        self.directory.mkdir(exist_ok=True)
        self.progress = progress or _silent
        self._tools = content_key(
            self.compiler.version,
            self.verilator.version,
            *self._flags,
            *FAST_FLAGS,
            *SLOW_FLAGS,
            *VERILATOR_FLAGS,
            *(Path(str(module.__file__)).read_bytes() for module in (activity, vectors)),
            cpu_identity(),
        )

    def library(self, source: str, verilog: Callable[[], str], harness: Path = HARNESS) -> Path:
        """The shared library of one design.

        Parameters
        ----------
        source : str
            Names the Verilog: equal only where the text would be equal.
        verilog : Callable[[], str]
            Writes it, top module ``weft_accelerator``; called only when the library is not in the cache.
        harness : Path
            The C++ around it.
        """
        # Other harnesses may include ours.
        code = (harness.read_bytes(), HARNESS.read_bytes())
        code += tuple(path.read_bytes() for path in sorted(FST_HEADERS.iterdir())) if self.wave == "fst" else ()
        key = content_key(source, self._tools, *code, *(() if self.rests else ("restless",)))
        library = self.directory / f"{key}.so"
        if not touched(library):
            with exclusive(self.directory / f"{key}.lock"):
                if not touched(library):
                    with work_directory(self.directory / f"{key}.build") as directory:
                        os.replace(self._build(verilog, harness, directory), library)
                    keep_within(self.directory, "*.so", MAX_BYTES)
        return library

    def _build(self, verilog: Callable[[], str], harness: Path, directory: Path) -> Path:
        self.progress("emit Verilog", 0, 1)
        (directory / "top.v").write_text(verilog())
        self.progress("verilate", 0, 1)
        flags = (*VERILATOR_FLAGS, *((f"--trace-{self.wave}",) if self.wave else ()), "--Mdir", str(directory))
        _run((str(self.verilator.binary), *flags, "top.v"), directory, self.verilator.environment)
        if self.rests and not self.wave:
            with suppress(UnsupportedModelError):  # it runs, only slower
                skip_what_rests(directory, TOP)
        sources = put_together(directory, harness)
        # The biggest first, so that no core idles at the end.
        sources.sort(key=lambda path: ("Slow" not in path.name, path.stat().st_size), reverse=True)
        with ThreadPoolExecutor(1) as beside:
            runtime = beside.submit(self._runtime_objects)
            objects = [*self._compile_all(sources, directory, self.progress), *runtime.result()]
        self.progress("link", 0, 1)
        library = directory / "model.so"
        self._invoke(("-shared", *FAST_FLAGS, *map(str, objects), "-o", str(library), "-lpthread"), directory)
        return library

    def _runtime_objects(self) -> list[Path]:
        """Verilator's own run-time library, compiled once for each set of tools."""
        directory = self.directory / f"runtime-{self._tools}"
        with exclusive(self.directory / f"runtime-{self._tools}.lock"):
            if not directory.exists():
                with work_directory(directory.with_suffix(".build")) as building:
                    sources = [self.verilator.root / "include" / name for name in self._runtime]
                    self._compile_all(sources, building, _silent)
                    os.rename(building, directory)
        return [directory / f"{Path(name).stem}.o" for name in self._runtime]

    def _compile_all(self, sources: list[Path], directory: Path, progress: Progress) -> list[Path]:
        """Compile on all cores; the objects lie in ``directory``."""
        objects = [directory / f"{source.stem}.o" for source in sources]
        progress("compile", 0, len(sources))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(partial(self._compile, directory), sources, objects)
            for done, _ in enumerate(results, start=1):
                progress("compile", done, len(sources))
        return objects

    def _compile(self, directory: Path, source: Path, target: Path) -> None:
        flags = (*self._flags, *(SLOW_FLAGS if "Slow" in source.name else FAST_FLAGS))
        include = self.verilator.root / "include"
        paths = (f"-I{directory}", f"-I{include}", f"-I{include / 'vltstd'}")
        self._invoke((*flags, *paths, "-c", str(source), "-o", str(target)), directory)

    def _invoke(self, arguments: Sequence[str], directory: Path) -> None:
        _run((*self.compiler.command, *self.compiler.flags, *arguments), directory)


def accelerator_library(config: AcceleratorConfig, builder: Builder, packed_multipliers: bool = False) -> Path:
    """The shared library of our accelerator in one configuration, with the build options of `rtl.verilog.emit`.

    Raises
    ------
    DeviceError
        If a tool is missing.
    """
    versions = require_hdl()

    def verilog() -> str:
        from weft_hardware.rtl.verilog import emit

        return emit(config, packed_multipliers)

    source = f"{config.digest} {packed_multipliers} {source_key(rtl_sources())} {versions}"
    return builder.library(source, verilog, ANY_DESIGN if builder.wave else HARNESS)
