"""Functions that a module calls and does not hold: Python callables and C functions, given by who loads it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

from .errors import ModuleError
from .module_model import ExternalStep, TensorInfo

External: TypeAlias = Callable[..., Any]
"""Takes the inputs, then the outputs, which it writes; a function of `ctypes` takes a pointer for each."""

_C_FUNCTION = ctypes.CFUNCTYPE(None).__mro__[1]
"""What every function of `ctypes` is."""

Bound: TypeAlias = Callable[[], None]


def bind(step: ExternalStep, functions: Mapping[str, External], view: Callable[[TensorInfo], NDArray[Any]]) -> Bound:
    """The call of a step, on memory that stays where it is.

    Parameters
    ----------
    view : callable
        A tensor's memory as an array of its shape and type.

    Raises
    ------
    ModuleError
        If the function is not given. A function of C that is not given is looked for in this process.
    """
    function = functions.get(step.function)
    if function is None and step.language == "c":
        function = getattr(ctypes.CDLL(None), step.function, None)
    if function is None:
        raise ModuleError(
            f"module calls the external function {step.function!r}, which is not given; "
            f"load it with functions={{{step.function!r}: …}}"
        )
    inputs, outputs = [view(tensor) for tensor in step.inputs], [view(tensor) for tensor in step.outputs]
    if step.language == "c":
        if not isinstance(function, _C_FUNCTION):
            raise ModuleError(
                f"external function {step.function!r} is declared in C, given is a {type(function).__name__}; "
                "take it from a ctypes.CDLL"
            )
        return _c_call(function, [*inputs, *outputs])
    for values in inputs:
        values.flags.writeable = False
    return _python_call(step.function, function, inputs, outputs)


def _c_call(function: External, arrays: Iterable[NDArray[Any]]) -> Bound:
    # The arrays stay alive with the pointers.
    kept = list(arrays)
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(kept))(address)  # type: ignore[call-overload]
    return lambda: call(*(values.ctypes.data for values in kept))


def _python_call(name: str, function: External, inputs: list[NDArray[Any]], outputs: list[NDArray[Any]]) -> Bound:
    def call() -> None:
        result = function(*inputs, *outputs)
        if result is not None and not any(result is values for values in outputs):
            raise ModuleError(
                f"external function {name!r} returned a {type(result).__name__}, and results are written into its last "
                f"{len(outputs)} argument(s); write there and return nothing"
            )

    return call
