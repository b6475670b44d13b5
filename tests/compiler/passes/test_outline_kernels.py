"""Kernels of a network as functions of their own: loops, then programs, the same results."""

import numpy as np
import pytest
from support.qgraph_ir import apply
from weft.models import digits_heldout, digits_onnx
from weft_compiler import compile_model, compile_module
from weft_compiler.errors import CompileError
from weft_compiler.onnx_import import import_onnx
from weft_compiler.passes.lower_accel import LowerAccel
from weft_compiler.passes.outline_kernels import OutlineKernels
from weft_compiler.passes.plan_memory import PlanMemory
from weft_compiler.pipeline import passes_for, run_passes
from weft_compiler.text import parse_ir, print_ir
from weft_hardware.presets import VTA
from xdsl.dialects.builtin import ModuleOp

import weft


def laid_out() -> ModuleOp:
    """The digit reader before its memory is planned."""
    module = import_onnx(digits_onnx())
    run_passes(module, VTA, passes=[step for step in passes_for(VTA) if not isinstance(step, PlanMemory)])
    return module


def test_a_network_of_outlined_kernels_computes_the_same() -> None:
    outlined = apply(OutlineKernels(VTA), laid_out())
    text = print_ir(outlined)
    assert "qgraph.convolve" not in text
    assert text.count("te.func") == text.count("weft.call") == 5
    lowered = apply(LowerAccel(VTA), parse_ir(text))
    direct = compile_model(digits_onnx(), VTA)
    images, _ = digits_heldout()
    with weft.open_device("functional", VTA) as device:
        expected = direct.run(device, images[:1])
        for module in (outlined, lowered):
            made = compile_module(module, VTA)
            assert [layer.macs for layer in made.content.layers] == [layer.macs for layer in direct.content.layers]
            assert np.array_equal(made.run(device, images[:1]), expected)


def test_it_comes_before_memory_is_planned() -> None:
    module = laid_out()
    run_passes(module, VTA, passes=[PlanMemory(VTA)])
    sentence = "^memory is planned already; run the pass outline-kernels before plan-memory$"
    with pytest.raises(CompileError, match=sentence):
        apply(OutlineKernels(VTA), module)


def test_what_the_host_computes_is_left_alone() -> None:
    module = import_onnx(digits_onnx())
    before = print_ir(module)
    assert print_ir(apply(OutlineKernels(VTA), module)) == before
