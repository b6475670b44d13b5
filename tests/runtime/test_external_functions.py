"""Functions that a module calls and does not hold."""

import ctypes
import re
from math import prod

import numpy as np
import pytest
from weft_runtime.errors import ModuleError
from weft_runtime.external_functions import bind
from weft_runtime.module_model import Buffer, ExternalStep, TensorInfo


def step(language: str = "python", function: str = "mine") -> ExternalStep:
    def tensor(name: str, offset: int) -> TensorInfo:
        return TensorInfo(name, (2, 3), "int32", Buffer("host", offset, 24))

    return ExternalStep(0, function, language, (tensor("a", 0), tensor("b", 64)), (tensor("y", 128),))


class Memory:
    def __init__(self) -> None:
        self.bytes = np.zeros(192, np.uint8)

    def __call__(self, tensor: TensorInfo) -> np.ndarray:
        part = self.bytes[tensor.buffer.offset :][: prod(tensor.shape) * 4]
        return part.view(np.int32).reshape(tensor.shape)


def test_a_python_callable_reads_inputs_and_writes_outputs() -> None:
    memory, bound_to = Memory(), step()
    call = bind(bound_to, {"mine": np.subtract}, memory)
    memory(bound_to.inputs[0])[...], memory(bound_to.inputs[1])[...] = 10, np.arange(6).reshape(2, 3)
    call()
    assert memory(bound_to.outputs[0]).tolist() == [[10, 9, 8], [7, 6, 5]]
    memory(bound_to.inputs[0])[...] = 0
    call()
    assert memory(bound_to.outputs[0]).tolist() == [[0, -1, -2], [-3, -4, -5]]


def test_inputs_cannot_be_written() -> None:
    def spoil(a, b, y):
        a[...] = 1

    with pytest.raises(ValueError, match="read-only"):
        bind(step(), {"mine": spoil}, Memory())()


def test_a_result_that_is_returned_is_refused() -> None:
    call = bind(step(), {"mine": lambda a, b, y: a + b}, Memory())
    sentence = (
        "external function 'mine' returned a ndarray, and results are written into its last 1 argument(s); "
        "write there and return nothing"
    )
    with pytest.raises(ModuleError, match=f"^{re.escape(sentence)}$"):
        call()


@pytest.mark.parametrize("function", ["memcpy", "weft_test_only"])
def test_a_function_that_is_not_given(function: str) -> None:
    """C functions are looked for in the process."""
    way_out = f"load it with functions={{{function!r}: …}}"
    sentence = f"module calls the external function {function!r}, which is not given; {way_out}"
    with pytest.raises(ModuleError, match=f"^{re.escape(sentence)}$"):
        bind(step("python", function), {}, Memory())
    if function != "memcpy":
        with pytest.raises(ModuleError, match=f"^{re.escape(sentence)}$"):
            bind(step("c", function), {}, Memory())
    else:
        bind(step("c", function), {}, Memory())


def test_a_c_function_gets_a_pointer_for_each_tensor() -> None:
    pointer = ctypes.POINTER(ctypes.c_int32)

    @ctypes.CFUNCTYPE(None, pointer, pointer, pointer)
    def last_of_both(a, b, y):
        y[5] = a[5] * b[5]

    memory, bound_to = Memory(), step("c")
    call = bind(bound_to, {"mine": last_of_both}, memory)
    memory(bound_to.inputs[0])[...], memory(bound_to.inputs[1])[...] = 6, 7
    call()
    assert memory(bound_to.outputs[0]).tolist() == [[0, 0, 0], [0, 0, 42]]


def test_a_python_callable_for_a_c_function_is_refused() -> None:
    sentence = "external function 'mine' is declared in C, given is a function; take it from a ctypes.CDLL"
    with pytest.raises(ModuleError, match=f"^{re.escape(sentence)}$"):
        bind(step("c"), {"mine": lambda *_: None}, Memory())
