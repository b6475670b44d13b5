"""`weft`: how functions of different levels call each other in one module.

A graph function (`func.func` over tensors) calls other graph functions, tensor functions (`te.func`), accelerator
functions (`accel.func`) and functions that the module only declares (`weft.external`). A call has tensors as operands
and results; what is called gets their memory: inputs first, then outputs, which it writes. A function of the host
(`func.func` over memrefs) says by its attribute `SIGNATURE` what tensors these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from xdsl.dialects.builtin import (
    FlatSymbolRefAttrConstr,
    FunctionType,
    IndexType,
    IntegerType,
    MemRefType,
    ModuleOp,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Dialect, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from . import accel, te

LANGUAGES = ("python", "c")
"""Whose callables external functions are."""


SIGNATURE = "weft.signature"
"""Attribute of a ``func.func`` over memrefs that calls may name: the tensors that it takes and gives."""


@irdl_op_definition
class ExternalOp(IRDLOperation):
    """A function that who loads the module gives: a Python callable on numpy arrays, or a C symbol."""

    name = "weft.external"
    sym_name = prop_def(SymbolNameConstraint())
    function_type = prop_def(FunctionType)
    language = prop_def(StringAttr)
    assembly_format = "$sym_name $function_type `in` $language attr-dict"

    traits = traits_def(SymbolOpInterface())

    def __init__(self, name: str, function_type: FunctionType, language: str):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "function_type": function_type,
                "language": StringAttr(language),
            }
        )

    def verify_(self) -> None:
        if self.language.data not in LANGUAGES:
            raise VerifyException(f"language {self.language.data!r} is none of {', '.join(LANGUAGES)}")
        for type_ in (*self.function_type.inputs, *self.function_type.outputs):
            if not isinstance(type_, TensorType):
                raise VerifyException(f"@{self.sym_name.data} takes or gives {type_}; it may only tensors")
        if not self.function_type.outputs.data:
            raise VerifyException(f"@{self.sym_name.data} gives nothing; an external function writes a tensor")


@irdl_op_definition
class CallOp(IRDLOperation):
    """A call of a function of the same module, at any level."""

    name = "weft.call"
    callee = prop_def(FlatSymbolRefAttrConstr)
    inputs = var_operand_def(TensorType)
    outputs = var_result_def(TensorType)
    assembly_format = "$callee `(` $inputs `)` attr-dict `:` functional-type($inputs, $outputs)"

    def __init__(self, callee: str, inputs: Sequence[SSAValue], outputs: Sequence[Attribute]):
        super().__init__(
            operands=[list(inputs)], properties={"callee": SymbolRefAttr(callee)}, result_types=[list(outputs)]
        )

    @property
    def function_name(self) -> str:
        return self.callee.root_reference.data

    def verify_(self) -> None:
        module = module_of(self)
        if module is None:
            return
        function = find(module, self.function_name)
        if function is None:
            raise VerifyException(f"weft.call of @{self.function_name}, which the module does not hold")
        signature = signature_of(function)
        if signature is None:
            raise VerifyException(f"weft.call of @{self.function_name}, which is no function")
        if is_host_function(function):
            _check_buffers(function)
        taken, given = signature
        for what, mine, theirs in (("input", self.inputs.types, taken), ("output", self.outputs.types, given)):
            if len(mine) != len(theirs):
                raise VerifyException(f"@{self.function_name} has {len(theirs)} {what}s, the call has {len(mine)}")
            for k, (here, there) in enumerate(zip(mine, theirs, strict=True)):
                if here != there:
                    raise VerifyException(f"@{self.function_name}: {what} {k} is {there}, the call has {here}")


def module_of(op: Operation) -> ModuleOp | None:
    """The module around an operation."""
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, ModuleOp):
        parent = parent.parent_op()
    return parent


def find(module: ModuleOp, name: str) -> Operation | None:
    """What a module calls so."""
    for op in module.body.block.ops:
        symbol = op.get_attr_or_prop("sym_name")
        if isinstance(symbol, StringAttr) and symbol.data == name:
            return op
    return None


def callee_of(op: CallOp) -> Operation:
    """The function that a verified call names."""
    module = module_of(op)
    assert module is not None
    function = find(module, op.function_name)
    assert function is not None
    return function


def _tensor(type_: Attribute) -> TensorType:
    assert isinstance(type_, MemRefType)
    return TensorType(type_.element_type, type_.get_shape())


def is_graph_function(op: Operation) -> TypeGuard[FuncOp]:
    """Whether it is a function over tensors."""
    return isinstance(op, FuncOp) and SIGNATURE not in op.attributes


def is_host_function(op: Operation) -> TypeGuard[FuncOp]:
    """Whether it is a function over memory that calls may name."""
    return isinstance(op, FuncOp) and SIGNATURE in op.attributes


def as_host_function(function: FuncOp, taken: Sequence[Attribute], given: Sequence[Attribute]) -> FuncOp:
    """A function over memory, made known as one of these tensors."""
    function.attributes[SIGNATURE] = FunctionType.from_lists(taken, given)
    return function


def _check_buffers(function: FuncOp) -> None:
    """That a host function takes the memory of the tensors that it says it takes."""
    signature, name = signature_of(function), function.sym_name.data
    assert signature is not None
    if function.is_declaration:
        raise VerifyException(f"@{name} is only declared; write out what it computes")
    wanted = [_memory(type_, name) for type_ in (*signature[0], *signature[1])]
    found = list(function.function_type.inputs)
    if found != wanted or function.function_type.outputs.data:
        raise VerifyException(
            f"@{name} takes {', '.join(map(str, found))}; its {SIGNATURE} asks for {', '.join(map(str, wanted))}, "
            "and no results"
        )


def _memory(type_: Attribute, name: str) -> MemRefType:
    """The buffer of a tensor: signs are the operations' matter, indices are 64 bits."""
    if not isinstance(type_, TensorType):
        raise VerifyException(f"{SIGNATURE} of @{name} has {type_}; it may have only tensors")
    element = type_.element_type
    te.dtype_of(element)
    if isinstance(element, IntegerType):
        element = IntegerType(max(8, element.width.data))
    elif isinstance(element, IndexType):
        element = IntegerType(64)
    return MemRefType(element, type_.get_shape())


def signature_of(function: Operation) -> tuple[list[Attribute], list[Attribute]] | None:
    """The tensors that a function takes and gives; None if it is no function."""
    match function:
        case FuncOp() if SIGNATURE in function.attributes:
            signature = function.attributes[SIGNATURE]
            if not isinstance(signature, FunctionType):
                raise VerifyException(f"{SIGNATURE} of @{function.sym_name.data} is {signature}, no type of a function")
            return list(signature.inputs), list(signature.outputs)
        case FuncOp() | ExternalOp():
            return list(function.function_type.inputs), list(function.function_type.outputs)
        case te.FuncOp() | accel.FuncOp():
            taken, given = function.inputs, function.results_written
            return [_tensor(value.type) for value in taken], [_tensor(value.type) for value in given]
        case _:
            return None


Calls = Dialect("weft", [ExternalOp, CallOp])
