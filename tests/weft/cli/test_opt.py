"""``weft opt``, ``weft asm``, ``weft disasm --ir`` and ``weft compile --dump-ir``."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from support.command import weft
from weft_compiler import CompileOptions, compile_file, compile_model
from weft_compiler.onnx_import import import_onnx
from weft_compiler.pipeline import extra_passes, passes_for, run_passes
from weft_compiler.text import print_ir
from weft_hardware.presets import VTA
from weft_runtime.module import Module

DIGITS = files("weft.models").joinpath("digits.onnx")


def names() -> list[str]:
    return [step.name for step in (*passes_for(VTA), *extra_passes(VTA))]


def test_the_list_names_every_pass_with_a_line_of_what_it_does():
    result = weft("opt", "--list")
    assert (result.code, result.err) == (0, "")
    lines = [line.split(maxsplit=1) for line in result.out.splitlines() if line.startswith("  ")]
    assert [name for name, _ in lines] == names()
    assert all(what for _, what in lines)


def test_passes_one_by_one_are_the_compilation(tmp_path):
    """A network as text, half of the passes, the other half in another process: the same module."""
    half, whole = tmp_path / "half.mlir", tmp_path / "whole.mlir"
    assert weft("opt", DIGITS, "--stop-after", "quantise", "-o", half).code == 0
    rest = ",".join([step.name for step in passes_for(VTA)][names().index("quantise") + 1 :])
    result = weft("opt", half, "--passes", rest, "-o", whole)
    assert (result.code, result.out, result.err) == (0, "", "")
    module = import_onnx(DIGITS.read_bytes())
    run_passes(module, VTA)
    assert whole.read_text() == print_ir(module)
    assert compile_file(half, VTA).content == compile_model(DIGITS.read_bytes(), VTA).content


def test_print_after_shows_each_pass():
    result = weft("opt", DIGITS, "--passes", "inline,sink-dequantize", "--print-after", "--longest", "8")
    assert result.code == 0, result.err
    headings = [line for line in result.out.splitlines() if line.startswith("//")]
    assert headings == ["// after inline", "// after sink-dequantize"]
    assert "bytes left out" in result.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            (DIGITS, "--passes", "inlne"),
            f"weft: pass 'inlne' does not exist; choose among {', '.join(names())} (did you mean 'inline'?)",
        ),
        (
            (DIGITS, "--passes", "inline", "--stop-after", "place"),
            "weft: --stop-after place is none of the passes to run: inline; add it",
        ),
        ((), "weft: weft opt needs a FILE of IR or an .onnx file; weft opt --list shows the passes"),
        (("missing.mlir",), "weft: file missing.mlir cannot be read: No such file or directory; check its path"),
    ],
)
def test_wrong_options(arguments, sentence):
    result = weft("opt", *arguments)
    assert (result.code, result.out, result.err) == (2, "", f"{sentence}\n")


def test_a_pass_that_finds_something_else_and_text_that_does_not_parse(tmp_path):
    broken = tmp_path / "broken.mlir"
    broken.write_text('builtin.module {\n  func.func @main() {\n    "qgraph.relu"(%x) : () -> ()\n  }\n}\n')
    result = weft("opt", broken)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"weft: {broken}:3:")
    result = weft("opt", DIGITS, "--passes", "inline,sink-dequantize,fold-constants,fuse-bias,quantise,pack-layout")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err == "weft: qgraph.qconv of layer 'conv1' has no placement; run the pass place before\n"


def test_dump_ir_writes_every_level_and_replaces_an_older_one(tmp_path):
    folder = tmp_path / "ir"
    folder.mkdir()
    (folder / "040-old.mlir").write_text("old")
    (folder / "notes.txt").write_text("mine")
    result = weft("compile", DIGITS, "-o", tmp_path / "m.weft", "--dump-ir", folder)
    assert result.code == 0, result.err
    found = sorted(path.name for path in folder.iterdir() if path.name != "notes.txt")
    passes = [f"{name}.mlir" for name in ("import", *(step.name for step in passes_for(VTA)))]
    kernels = [f"{layer}.{level}" for layer in LAYERS for level in KERNEL]
    wanted = [*passes, *kernels, "host.mlir", "host.ll", "host.s"]
    assert found == [f"{k:03}-{name}" for k, name in enumerate(wanted)]
    assert all((folder / name).stat().st_size for name in found)
    assert (folder / "notes.txt").read_text() == "mine"


LAYERS = ("conv1", "conv2", "pool", "conv3", "dense")
KERNEL = ("te.mlir", "accel.mlir", "disassembly.txt")


def test_a_dump_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    result = weft("compile", DIGITS, "-o", tmp_path / "m.weft", "--dump-ir", tmp_path / "file")
    sentence = f"weft: folder {tmp_path / 'file'} cannot be written to: File exists; choose another one\n"
    assert (result.code, result.out, result.err) == (2, "", sentence)
    assert not (tmp_path / "m.weft").exists()


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Every program of the digit reader as IR."""
    folder = tmp_path_factory.mktemp("asm")
    compile_model(DIGITS.read_bytes(), VTA, CompileOptions(overlap=False)).save(folder / "m.weft")
    result = weft("disasm", folder / "m.weft", "--ir")
    assert result.code == 0, result.err
    (folder / "m.mlir").write_text(result.out)
    return folder / "m.mlir"


def test_asm_gives_the_bytes_that_disasm_showed(text, tmp_path):
    launches = {name: data for name, _, data in Module.load(text.with_suffix(".weft")).content.launches()}
    result = weft("asm", text, "--function", "conv2", "-o", tmp_path / "conv2.bin", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["instructions"] * 16 == len(launches["conv2"])
    assert (tmp_path / "conv2.bin").read_bytes() == launches["conv2"]
    raw = weft("disasm", tmp_path / "conv2.bin", "--ir")
    (tmp_path / "raw.mlir").write_text(raw.out)
    assert weft("asm", tmp_path / "raw.mlir", "-o", tmp_path / "again.bin").code == 0
    assert (tmp_path / "again.bin").read_bytes() == launches["conv2"]


OVER_TENSORS = 'accel.func @f(%x: memref<1x16xsi8>) -> (%y: memref<1x16xsi32>) config "vta" {\n  accel.finish\n}\n'


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        (None, (), "{file} has 5 accelerator functions (conv1, conv2, pool, conv3, dense); choose one by --function"),
        (
            None,
            ("--function", "conv9"),
            "{file} has no accelerator function 'conv9'; it has conv1, conv2, pool, conv3, dense",
        ),
        (
            OVER_TENSORS,
            (),
            "@f takes 2 tensors, whose addresses bytes have to know; call it in a module, or write addresses",
        ),
        (
            'accel.func @f() -> () config "vta" {\n  %uops = accel.uops [0, 0, 0]\n  accel.finish\n}\n',
            (),
            "@f has micro-ops; say by --uops which file they go to",
        ),
        (
            'accel.func @f() -> () config "vta" {\n  %0 = accel.load INP gives compute\n  accel.finish\n}\n',
            (),
            "{file} does not verify: @f: the token that instruction 0 (accel.load) gives compute is never taken; "
            "let an instruction wait for it, or do not give it; correct it",
        ),
    ],
)
def test_programs_that_are_refused(text, tmp_path, content, arguments, sentence):
    file = text if content is None else tmp_path / "f.mlir"
    if content is not None:
        file.write_text(content)
    result = weft("asm", file, "-o", tmp_path / "out.bin", *arguments)
    assert (result.code, result.out, result.err) == (2, "", f"weft: {sentence.format(file=file)}\n")
    assert not (tmp_path / "out.bin").exists()


def test_uops_go_to_a_file_of_their_own(tmp_path):
    (tmp_path / "f.mlir").write_text(
        'accel.func @f() -> () config "vta" {\n  %uops = accel.uops [1, 2, 3]\n'
        "  accel.load UOP {y_size = 1, x_size = 1} of %uops : !accel.micro_ops\n  accel.finish\n}\n"
    )
    out, uops = tmp_path / "out.bin", tmp_path / "uops.bin"
    result = weft("asm", tmp_path / "f.mlir", "-o", out, "--uops", uops, "--uop-addr", "0x100")
    assert result.code == 0, result.err
    assert uops.read_bytes() == (1 | 2 << 11 | 3 << 22).to_bytes(4, "little")
    assert "LOAD   UOP dram=64" in weft("disasm", out).out
