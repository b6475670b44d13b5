"""Exported C without a system, on small processors that share registers and memory with a simulated accelerator."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import exported
from weft.demo import reference_logits
from weft.models import digits_heldout, digits_onnx
from weft_hardware.latencies import PAGE_BYTES
from weft_runtime.dram import ALIGNMENT, Dram
from weft_runtime.errors import ModuleError
from weft_runtime.export.bare_metal import SOURCES, export_bare_metal, scratch_bytes
from weft_runtime.module import Module
from weft_runtime.session import Session
from weft_simulator.ports import port_of

import weft

CORES = {
    "riscv32": ("riscv32-freestanding-none", "-mcpu=generic_rv32+m", "-mabi=ilp32"),
    "cortex-m4": ("thumb-freestanding-eabi", "-mcpu=cortex_m4"),
}
"""What zig calls them."""


@pytest.fixture(scope="module")
def module() -> Module:
    return weft.compile(digits_onnx(), "vta")


@pytest.fixture(scope="module")
def folder(module: Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    module.export_bare_metal(folder)
    return folder


def build(core: str, folder: Path) -> Path:
    """The program of tests/support/export, by a freestanding compiler."""
    exported.need_zig()
    program = folder / f"{core}.elf"
    sources = [exported.SOURCES / f"start_{core}.S", exported.SOURCES / "bare_main.c", *sorted(folder.glob("*.c"))]
    flags = ["-std=c99", "-O2", "-ffreestanding", "-fno-sanitize=all", "-Wall", "-Wextra", "-Werror"]
    target, *options = CORES[core]
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *options, *flags, "-I", str(folder)]
    command += ["-T", str(exported.SOURCES / "bare.ld"), *map(str, sources), str(folder / f"host-{core}.o")]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


class Board:
    """A processor beside an accelerator."""

    def __init__(self, core: str, kind: str, module: Module) -> None:
        pytest.importorskip("unicorn", reason="needs unicorn, which runs small processors and is not installed")
        from support import bare_processor as bare

        self.bare = bare
        self.memory = np.frombuffer(mmap.mmap(-1, bare.DEVICE_MEMORY_BYTES), np.uint8)
        dram = Dram(self.memory, bare.DEVICE_MEMORY)
        self.device = weft.open_device(kind, module.content.config, dram=dram)
        self.processor = bare.Processor(core, port_of(self.device), self.memory)

    def run(self, program: Path, images: np.ndarray) -> tuple[int, bytes, int, str]:
        """What main returned, the logits of the images that were done, their cycles, and what failed."""
        box, processor = self.bare.MAILBOX, self.processor
        processor.put(box, struct.pack("<I", len(images)) + bytes(60) + images.tobytes())
        result = processor.run(program)
        _, done, _, cycles, words = struct.unpack("<5I", processor.get(box, 20))
        text = processor.get(words, 100).split(b"\0")[0].decode() if words else ""
        return result, processor.get(box + 64 + 64 * 256, 40 * done), cycles, text


@pytest.fixture
def board(request: pytest.FixtureRequest, module: Module) -> Iterator[Board]:
    core, kind = request.param
    made = Board(core, kind, module)
    yield made
    made.device.close()


PAIRS = [
    pytest.param((core, kind), id=f"{core} {kind}", marks=[pytest.mark.rtl, pytest.mark.slow] if kind == "tsim" else ())
    for kind in ("functional", "tsim")
    for core in CORES
]


@pytest.mark.parametrize("board", PAIRS, indirect=True)
def test_results_are_onnxruntimes(board: Board, module: Module, folder: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    core, kind = request.node.callspec.params["board"]
    images = digits_heldout()[0][:30]
    result, logits, cycles, words = board.run(build(core, folder), images)
    assert (result, words) == (0, "")
    assert logits == reference_logits(images).tobytes()
    if kind == "tsim":
        with weft.open_device("tsim", module.content.config) as device:
            # At the same place in a page of 4 KiB, which bursts do not cross.
            device.allocate(PAGE_BYTES - ALIGNMENT)
            with Session(module, device) as session:
                session.run(images[:1])
            assert cycles == len(images) * sum(layer.cycles or 0 for layer in session.last_profile)


@pytest.mark.parametrize("board", [("riscv32", "functional")], indirect=True)
def test_another_configuration_is_refused(board: Board, module: Module, folder: Path) -> None:
    other = replace(module.content.config, inp_depth=1024)
    board.device.config = other
    board.processor = board.bare.Processor("riscv32", port_of(board.device), board.memory)
    assert board.run(build("riscv32", folder), digits_heldout()[0][:1]) == (
        *(1, b"", 0),
        "the device has another configuration than the network was compiled for",
    )


def test_every_file_is_c99(folder: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not installed")
    for name in (*SOURCES, "network.c", "constants.c"):
        options = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fsyntax-only"]
        done = subprocess.run([compiler, *options, str(folder / name)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_nothing_of_a_c_library_is_included(folder: Path) -> None:
    allowed = {"<stddef.h>", "<stdint.h>"}
    for path in [*folder.glob("*.c"), *folder.glob("*.h")]:
        lines = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("#include <")]
        assert set(lines) <= allowed, path


def test_scratch_memory_is_what_one_function_takes(module: Module) -> None:
    assert scratch_bytes(module.content) == 128
    (code,) = module.content.host_code
    unknown = replace(code, ir=code.ir.replace(b"inttoptr (i64 128 to ptr))", b"%n)"))
    with pytest.raises(ModuleError, match=r"^module's host code allocates memory of unknown size; compile the model"):
        scratch_bytes(replace(module.content, host_code=(unknown,)))


def test_refusals(module: Module, tmp_path: Path) -> None:
    with pytest.raises(ModuleError, match=r"^target 'z80' does not exist; choose among x86_64, aarch64,"):
        export_bare_metal(module.content, tmp_path / "out", ["z80"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ModuleError, match=r"file cannot be written: File exists; choose another path$"):
        export_bare_metal(module.content, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
