import re

from support.convolution import CONFIGS
from weft_compiler.conv_task import ConvTask
from weft_compiler.lowering import lower_conv
from weft_compiler.passes.insert_tokens import InsertTokens
from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp


def tokens(task: ConvTask, config: AcceleratorConfig) -> str:
    return str(lower_conv(task, config).stages["insert-tokens"])


def found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    assert match, f"{pattern!r} not found in\n{text}"
    return match.groups()


def test_a_single_tile_waits_for_its_operands_only():
    text = tokens(ConvTask(ic=1, oc=1, ih=4, iw=4, kh=3, kw=3), CONFIGS["vta"])
    (ready,) = found(r"(%\d+) = accel.ready", text)
    (wgt,) = found(rf"%wgt, (%\w+) = accel.load .* after {ready} ", text)
    (inp,) = found(rf"%inp, (%\w+) = accel.load .* after {ready} ", text)
    (reset,) = found(rf"(%\w+) = accel.reset %acc after {ready} ", text)
    waits = found(r"(%\w+) = accel.gemm .* after (%\w+), (%\w+), (%\w+) ", text)
    assert set(waits[1:]) == {wgt, inp, reset}
    (store,) = found(rf"(%\w+) = accel.store .* after {waits[0]} ", text)
    found(rf"accel.finish after ({store}) ", text)
    assert "iter_args" not in text


def test_two_slots_come_round_in_turn():
    config = AcceleratorConfig(inp_depth=64, wgt_depth=16, acc_depth=16)
    text = tokens(ConvTask(ic=12, oc=1, ih=1, iw=1, kh=1, kw=1), config)
    # The last GEMM, then two slots of weights, then two of inputs, in the order of the loads.
    carried = found(r"iter_args\((.*?)\) ->", text)[0]
    names = re.findall(r"(%\w+) =", carried)
    loads = re.findall(r"accel.load .* after (%\w+) ", text)
    yielded = found(r"scf.yield (.*?) :", text)[0].split(", ")
    (gemm,) = found(r"(%\w+) = accel.gemm", text)
    assert len(names) == 5
    assert loads == [names[1], names[3]]
    assert yielded == [gemm, names[2], gemm, names[4], gemm]


def test_a_store_frees_its_slot_for_the_reset_after_next():
    config = AcceleratorConfig(inp_depth=64, wgt_depth=64, acc_depth=8)
    text = tokens(ConvTask(ic=1, oc=16, ih=1, iw=1, kh=1, kw=1), config)
    (reset,) = found(r"accel.reset .* after (%\w+) ", text)
    (store,) = found(r"(%\w+) = accel.store", text)
    names = re.findall(r"(%\w+) =", found(r"iter_args\((.*?)\) ->", text)[0])
    yielded = found(r"scf.yield (.*?) :", text)[0].split(", ")
    position = names.index(reset)
    assert yielded[position : position + 2] == [names[position + 1], store]


def test_a_module_without_functions_is_left_alone():
    module = ModuleOp([])
    InsertTokens().apply(Context(), module)
    assert str(module) == str(ModuleOp([]))
