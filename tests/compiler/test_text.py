"""IR as text: wrong text is refused with its place."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.onnx_models import random_conv
from support.operator_cases import CASES, operators
from weft.models import digits_onnx
from weft_compiler import CompileOptions, compile_model
from weft_compiler.dialects import qgraph
from weft_compiler.errors import CompileError
from weft_compiler.onnx_import import import_onnx
from weft_compiler.pipeline import run_passes
from weft_compiler.text import parse_ir, print_ir, read_ir
from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import DenseArrayBase, FloatAttr, ModuleOp


@pytest.mark.parametrize(
    "model", [random_conv(0).model, operators(0, len(CASES)).model()], ids=["convolution", "operators"]
)
def test_a_network_comes_back_after_every_pass(model: bytes) -> None:
    texts: dict[str, str] = {}
    module = import_onnx(model)
    run_passes(module, AcceleratorConfig(), lambda name, ir: texts.update({name: print_ir(ir)}))
    assert len(texts) > 5
    for name, text in texts.items():
        assert print_ir(parse_ir(text)) == text, name


def test_every_level_below_the_graph_comes_back(tmp_path: Path) -> None:
    compile_model(digits_onnx(), AcceleratorConfig(), CompileOptions(dump=tmp_path))
    files = [path for path in tmp_path.glob("*.mlir") if re.search(r"\.(te|accel)\.mlir|host\.mlir", path.name)]
    assert {path.name.split(".", 1)[1] for path in files} == {"te.mlir", "accel.mlir", "mlir"}
    for path in files:
        assert print_ir(read_ir(path)) == path.read_text(), path.name


@pytest.mark.parametrize("values", [np.frombuffer(b"text", np.int8), np.arange(256).astype(np.uint8)])
def test_constants_come_back_whatever_their_bytes(values: np.ndarray) -> None:
    back = parse_ir(print_ir(ModuleOp([qgraph.ConstantOp(values)]))).body.block.first_op
    assert isinstance(back, qgraph.ConstantOp)
    assert back.values.tolist() == values.tolist()


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan, -0.0, 1e-45, 3.4e38, 0.1])
def test_floats_come_back_bit_by_bit(number: float) -> None:
    attributes = {"array": qgraph.floats([number, 1]), "one": qgraph.number(number)}
    back = parse_ir(print_ir(ModuleOp([], attributes))).attributes
    array, one = back["array"], back["one"]
    assert isinstance(array, DenseArrayBase)
    assert isinstance(one, FloatAttr)
    assert qgraph.array(array).tobytes() == np.array([number, 1], "<f4").tobytes()
    assert np.float32(one.value.data).tobytes() == np.float32(number).tobytes()


def test_long_constants_can_be_left_out() -> None:
    module = ModuleOp([qgraph.ConstantOp(np.zeros(9, np.int8)), qgraph.ConstantOp(np.ones(8, np.int8))])
    assert print_ir(module, longest=1 << 40) == print_ir(module)
    text = print_ir(module, longest=8)
    assert '"9 bytes left out" : tensor<9xsi8>' in text
    assert '"0101010101010101" : tensor<8xsi8>' in text
    sentence = "the IR:2:24: '9 bytes left out' are no bytes in hexadecimal; correct the text"
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        parse_ir(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("builtin.module {\n  te.for %i in two {}\n}", "f.mlir:2:16: Expected integer literal; correct the text"),
        (
            "func.func @main() {\n  func.retrun\n}",
            "f.mlir:2:3: Operation func.retrun is not registered; correct the text",
        ),
        ("te.func @f() -> () on host {\n}", "f.mlir does not verify: @f writes 0 of 0 arguments; correct it"),
        (
            "te.func @f() -> (%y: memref<4xf64>) on host {\n}",
            "f.mlir does not verify: f64 is no element type; use one of i1, si8, ui8, si16, si32, index, f32; "
            "correct it",
        ),
    ],
)
def test_wrong_text(text: str, sentence: str) -> None:
    with pytest.raises(CompileError, match=f"^{re.escape(sentence)}$"):
        parse_ir(text, "f.mlir")


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    missing, binary = tmp_path / "a.mlir", tmp_path / "b.mlir"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        CompileError, match=f"^file {missing} cannot be read: No such file or directory; check its path$"
    ):
        read_ir(missing)
    with pytest.raises(CompileError, match=f"^file {binary} is no text; give a file of IR$"):
        read_ir(binary)
