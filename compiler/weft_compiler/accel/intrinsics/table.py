"""Every intrinsic by the name of the function that declares it: how IR text names them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeAlias, get_args, get_type_hints

from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, IntegerAttr, StringAttr, f64, i64
from xdsl.ir import Attribute

from ...errors import CompileError
from ...host.intrinsics.byte_product import byte_product
from ...host.intrinsics.float_product import float_product
from ...te.intrinsic import CONFIG, Intrinsic
from .alu import alu, alu_immediate, alu_reduce
from .gemm import gemm
from .load import load, load_widened
from .requantise import load_parameters, load_table, store_requantised
from .store import store, store_narrow

Declared: TypeAlias = Callable[..., Intrinsic]

INTRINSICS: Mapping[str, Declared] = {
    function.__name__: function
    for function in (
        *(alu, alu_immediate, alu_reduce),
        gemm,
        *(load, load_widened),
        *(load_parameters, load_table, store_requantised),
        *(store, store_narrow),
        *(byte_product, float_product),
    )
}


def to_attribute(value: Any) -> Attribute:
    """An argument of a declaration: a number, a text, a member of an enumeration, or a dataclass of such.

    What is None in a dataclass is left out.
    """
    if isinstance(value, Enum):
        return StringAttr(value.name)
    if isinstance(value, float):
        return FloatAttr(value, f64)
    if isinstance(value, int):
        return IntegerAttr(int(value), i64)
    if isinstance(value, str):
        return StringAttr(value)
    assert is_dataclass(value), value
    members = {field.name: getattr(value, field.name) for field in fields(value)}
    return DictionaryAttr({name: to_attribute(member) for name, member in members.items() if member is not None})


def _from_attribute(attribute: Attribute, type_: Any, where: str) -> Any:
    """The argument, of the type that its parameter is annotated with."""
    if isinstance(type_, UnionType):
        (type_,) = (choice for choice in get_args(type_) if choice is not NoneType)
    if isinstance(attribute, StringAttr) and isinstance(type_, type) and issubclass(type_, Enum):
        if attribute.data not in type_.__members__:
            members = ", ".join(type_.__members__)
            raise CompileError(f"{where} = {attribute.data!r} is no {type_.__name__}; choose one of {members}")
        return type_[attribute.data]
    if isinstance(attribute, DictionaryAttr) and is_dataclass(type_) and isinstance(type_, type):
        return type_(**_arguments(attribute.data, type_, where))
    if isinstance(attribute, IntegerAttr) and type_ in (int, bool):
        return type_(attribute.value.data)
    if isinstance(attribute, FloatAttr) and type_ is float:
        return attribute.value.data
    if isinstance(attribute, StringAttr) and type_ is str:
        return attribute.data
    raise CompileError(f"{where} = {attribute} is no {getattr(type_, '__name__', type_)}; correct it")


def _arguments(given: Mapping[str, Attribute], target: Callable[..., Any], where: str) -> dict[str, Any]:
    hints = get_type_hints(target)
    for name in given:
        if name not in hints:
            raise CompileError(f"{where} has no argument {name!r}; leave it out")
    return {name: _from_attribute(value, hints[name], f"{where}.{name}") for name, value in given.items()}


def make(
    function: str,
    arguments: Mapping[str, Attribute],
    config: AcceleratorConfig,
    intrinsics: Mapping[str, Declared] = INTRINSICS,
) -> Intrinsic:
    """The intrinsic that text names.

    Raises
    ------
    CompileError
        If there is none of that name, its arguments are others, or the configuration lacks it.
    """
    if function not in intrinsics:
        raise CompileError(f"intrinsic {function!r} is unknown; use one of {', '.join(intrinsics)}")
    declared = intrinsics[function]
    values = _arguments(arguments, inspect.unwrap(declared), function)
    parameters = inspect.signature(declared).parameters
    for name, parameter in parameters.items():
        if name != CONFIG and name not in values and parameter.default is parameter.empty:
            raise CompileError(f"{function} needs the argument {name!r}; write {{{name} = …}}")
    return declared(config, **values) if CONFIG in parameters else declared(**values)
