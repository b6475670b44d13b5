from support.onnx_models import random_conv
from weft_compiler.onnx_import import import_onnx
from weft_compiler.passes.plan_memory import main_function
from weft_compiler.pipeline import passes_for, run_passes
from weft_hardware.config import AcceleratorConfig

CONFIG = AcceleratorConfig()


def test_the_observer_sees_every_pass_in_order() -> None:
    seen: list[tuple[str, int]] = []
    module = import_onnx(random_conv(0).model)
    run_passes(module, CONFIG, lambda name, ir: seen.append((name, len(main_function(ir).body.block.ops))))
    assert [name for name, _ in seen] == [step.name for step in passes_for(CONFIG)]
    assert all(operations > 0 for _, operations in seen)


def test_pass_names_are_unique() -> None:
    names = [step.name for step in passes_for(CONFIG)]
    assert len(set(names)) == len(names)
