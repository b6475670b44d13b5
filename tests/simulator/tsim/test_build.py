"""Building: cached by content, once for many waiters, and whole or not at all."""

import os
import threading
from pathlib import Path

import pytest
from weft_runtime.errors import DeviceError
from weft_simulator.tsim import build
from weft_simulator.tsim.build import Builder


@pytest.fixture
def builder(tmp_path, monkeypatch):
    """A builder whose tools leave a file instead of running; ``builder.calls`` counts builds."""
    builder = Builder(tmp_path)
    builder.calls = 0

    def fake(verilog, harness: Path, directory: Path) -> Path:
        builder.calls += 1
        (directory / "model.so").write_text(verilog())
        return directory / "model.so"

    monkeypatch.setattr(builder, "_build", fake)
    return builder


def test_a_second_request_is_a_cache_hit_that_emits_nothing(builder):
    first = builder.library("design", lambda: "verilog")
    assert builder.library("design", lambda: pytest.fail("emitted again")) == first
    assert first.read_text() == "verilog"


def test_libraries_not_asked_for_the_longest_make_room(builder, monkeypatch):
    monkeypatch.setattr(build, "MAX_BYTES", 2)
    names = ["first", "second"]
    paths = [builder.library(name, lambda: "v") for name in names]
    for age, path in enumerate(paths):
        os.utime(path, (age, age))
    builder.library("first", lambda: pytest.fail("still there"))  # so the second one is the oldest
    builder.library("third", lambda: "v")
    assert [path.exists() for path in paths] == [True, False]


def test_another_source_is_another_library(builder):
    assert builder.library("one", lambda: "") != builder.library("two", lambda: "")


def test_compilers_do_not_share_libraries(tmp_path, monkeypatch):
    monkeypatch.setattr(Builder, "_build", lambda self, verilog, directory: directory / "none")
    keys = set()
    for version in ("one", "two"):
        compiler = build.Compiler(("c++",), version)
        monkeypatch.setattr(build, "find_compiler", lambda choice, compiler=compiler: compiler)
        keys.add(Builder(tmp_path)._tools)
    assert len(keys) == 2


def test_a_failed_build_leaves_nothing_and_the_next_succeeds(builder):
    def fail():
        raise DeviceError("the tool failed")

    with pytest.raises(DeviceError, match=r"^the tool failed$"):
        builder.library("design", fail)
    assert [path.suffix for path in builder.directory.iterdir()] == [".lock"]
    assert builder.library("design", lambda: "verilog").read_text() == "verilog"


def test_parallel_requests_build_once(builder):
    threads = [threading.Thread(target=builder.library, args=("design", lambda: "verilog")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builder.calls == 1


def test_a_tool_that_fails_is_told_with_its_reason(tmp_path):
    with pytest.raises(DeviceError, match=r"^building the RTL simulator: sh ended with exit code 3 \(an error: no\); "):
        build._run(("sh", "-c", "echo fine >&2; echo an error: no >&2; exit 3"), tmp_path)


def test_combinational_loops_are_refused(tmp_path):
    """The harness evaluates everything once a cycle; Verilator would iterate."""
    looped = """module weft_accelerator(input [7:0] a, input s, output [7:0] x);
    wire [7:0] y; assign x = s ? a : y + 1; assign y = x ^ a; endmodule"""
    with pytest.raises(
        DeviceError, match=r"exit code 1 \(%Error-UNOPTFLAT: .*: Circular combinational logic: '[xy]'\);"
    ):
        Builder(tmp_path).library("loop", lambda: looped)


def test_the_harness_and_little_files_and_those_that_run_once_are_compiled_together(tmp_path):
    big, parts = "x" * build.LITTLE, {"a.cpp": "1", "b.cpp": "2", "c__Slow.cpp": "3", "Slow.cpp": "4"}
    for name, text in {**parts, "big.cpp": big, "big__Slow.cpp": big}.items():
        (tmp_path / name).write_text(text)
    compiled = {path.name: path.read_text() for path in build.put_together(tmp_path, Path("/harness.cpp"))}
    assert compiled == {
        "big.cpp": big,
        "Vtop_together.cpp": '#include "a.cpp"\n#include "b.cpp"\n#include "/harness.cpp"\n',
        "Vtop_together_Slow.cpp": '#include "Slow.cpp"\n#include "big__Slow.cpp"\n#include "c__Slow.cpp"\n',
    }


def test_the_harness_ships_with_the_package():
    assert build.HARNESS.exists()
