"""One module out of functions of all levels: tensor functions, networks and external functions, called by a graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_runtime.external_functions import External as Function
from weft_runtime.module import Module
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from .dialects import qgraph
from .dialects.calls import CallOp, ExternalOp, find, signature_of
from .errors import CompileError
from .options import HOST_TARGETS, CompileOptions
from .te.nest import Nest
from .te.nest_ir import function_of
from .te.schedule import Schedule
from .text import print_ir, verify

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True)
class External:
    """A function that the module calls and does not hold.

    Parameters
    ----------
    name : str
        How the module calls it: letters, digits and underscores.
    outputs : sequence of (shape, dtype)
        The tensors that it writes.
    function : callable, optional
        Takes the inputs as numpy arrays, then the outputs, which it writes; or a function of `ctypes` that takes a
        pointer for each. Left out, it is given when the module is loaded or, in C, is a symbol of the process.
    language : str
        ``"python"`` or ``"c"``.
    """

    name: str
    outputs: Sequence[tuple[Sequence[int], str]]
    function: Function | None = None
    language: str = "python"


class Value:
    """A tensor of a graph under construction."""

    def __init__(self, graph: Graph, value: SSAValue):
        self.graph, self.value = graph, value

    @property
    def shape(self) -> tuple[int, ...]:
        return qgraph.shape_of(self.value)

    @property
    def dtype(self) -> str:
        return qgraph.dtype_of(self.value).name

    def __repr__(self) -> str:
        return f"<{self.dtype}{list(self.shape)}>"


class Graph:
    """A module under construction: the graph function ``@main`` and the functions that it calls.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator that the module is for.
    """

    def __init__(self, config: AcceleratorConfig):
        self.config = config
        self.functions: dict[str, Function] = {}
        self._main = FuncOp("main", ([], []), Region(Block()))
        self._block = self._main.body.block
        self._module = ModuleOp([self._main])
        self._known: dict[int, tuple[object, str]] = {}
        self._inputs: list[str] = []
        self._outputs: list[tuple[str, SSAValue]] = []
        self._layers: set[str] = set()

    def __str__(self) -> str:
        """The module's text for reading: long constants are left out."""
        return self.text(longest=64)

    def text(self, longest: int | None = None) -> str:
        """The module's text, which ``weft.compile`` reads from a file and ``weft opt`` takes; see `text.print_ir`."""
        return print_ir(self.module(), longest)

    def input(self, name: str, shape: Sequence[int], dtype: str) -> Value:
        """A tensor that each run takes.

        Raises
        ------
        CompileError
            If the name is taken, or a module takes no such type.
        """
        if name in self._inputs:
            raise CompileError(f"input {name!r} is there already; choose another name")
        self._inputs.append(name)
        return Value(self, self._block.insert_arg(_tensor_type(shape, dtype, name), len(self._block.args)))

    def constant(self, values: NDArray[Any], name: str = "constant") -> Value:
        """A tensor that is known now."""
        _tensor_type(values.shape, values.dtype.name, name)
        return self._add(qgraph.ConstantOp(np.ascontiguousarray(values)), name, "Constant")[0]

    def call(
        self,
        function: Schedule | Nest | External | str | Path | bytes,
        *inputs: Value,
        name: str | None = None,
        target: str | None = None,
    ) -> Any:
        """Call a function of any level.

        Parameters
        ----------
        function : Schedule, Nest, External, str, Path or bytes
            A tensor expression with its schedule, for the accelerator if stages of it are tensorized, otherwise for the
            host; an external function; a quantised ONNX network, as a file or its content; or the name of a function
            that the graph called before. The same object is one function, however often it is called.
        name : str, optional
            Of the function, and of the layer in profiles.
        target : str, optional
            ``"host"`` runs on the host what the accelerator could.

        Returns
        -------
        Value, or a tuple of several
            What it gives.

        Raises
        ------
        CompileError
            If inputs are too many, too few or of other shapes or types than the function takes.
        """
        symbol = self._symbol(function, inputs, name, target)
        callee = find(self._module, symbol)
        signature = None if callee is None else signature_of(callee)
        assert signature is not None
        taken, given = signature
        self._check(symbol, taken, inputs)
        values = self._add(CallOp(symbol, [x.value for x in inputs], given), name or symbol, "call")
        return values[0] if len(values) == 1 else tuple(values)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The same elements under another shape; costs nothing."""
        if np.prod(shape) != np.prod(x.shape):
            raise CompileError(f"reshape of {x.shape} to {tuple(shape)} changes the number of elements; correct it")
        return self._add(qgraph.ReshapeOp(x.value, shape), "reshape", "Reshape")[0]

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        """Axis k of the result is axis ``permutation[k]`` of x."""
        if sorted(permutation) != list(range(len(x.shape))):
            raise CompileError(f"{tuple(permutation)} is no permutation of {len(x.shape)} axes; name each once")
        return self._add(qgraph.TransposeOp(x.value, permutation), "transpose", "Transpose")[0]

    def output(self, name: str, x: Value) -> None:
        """Give a tensor out of each run."""
        if name in dict(self._outputs):
            raise CompileError(f"output {name!r} is there already; choose another name")
        self._outputs.append((name, x.value))

    def module(self) -> ModuleOp:
        """The module as it stands, verified.

        Raises
        ------
        CompileError
            If it has no output.
        """
        if not self._outputs:
            raise CompileError("the graph gives nothing; call output(name, value)")
        copy = self._module.clone()
        main = find(copy, "main")
        assert isinstance(main, FuncOp)
        # The clone's values stand where the original's do.
        values = dict(zip(_values(self._main), _values(main), strict=True))
        results = [values[value] for _, value in self._outputs]
        main.body.block.add_op(ReturnOp(*results))
        types = [argument.type for argument in main.body.block.args]
        main.properties["function_type"] = FunctionType.from_lists(types, [value.type for value in results])
        main.properties["arg_attrs"] = _names(self._inputs)
        main.properties["res_attrs"] = _names([name for name, _ in self._outputs])
        verify(copy, "the graph")
        return copy

    def compile(
        self,
        progress: Callable[[str, int, int], None] | None = None,
        dump: str | Path | None = None,
        host_targets: str | Sequence[str] = HOST_TARGETS,
    ) -> Module:
        """The module that any device runs; for the parameters see `CompileOptions`."""
        from . import compile_module

        options = CompileOptions(progress=progress, dump=dump, host_targets=host_targets)
        return compile_module(self.module(), self.config, options, functions=self.functions)

    # Functions ---------------------------------------------------------------------------------------------

    def _symbol(self, function: Any, inputs: Sequence[Value], name: str | None, target: str | None) -> str:
        """The symbol of a function, which is added to the module when it is met first."""
        if isinstance(function, str) and find(self._module, function) is not None:
            return function
        if id(function) in self._known:
            return self._known[id(function)][1]
        if isinstance(function, External):
            symbol = self._external(function, inputs)
        elif isinstance(function, Schedule | Nest):
            nest = function.lower() if isinstance(function, Schedule) else function
            symbol = self._free(name or nest.outputs[0].name)
            self._module.body.block.add_op(function_of(nest, symbol, target))
        elif isinstance(function, str | Path | bytes):
            symbol = self._network(function, inputs, name)
        else:
            raise CompileError(
                f"{type(function).__name__} cannot be called; pass a schedule, weft.external(…) or an ONNX network"
            )
        self._known[id(function)] = (function, symbol)
        return symbol

    def _external(self, external: External, inputs: Sequence[Value]) -> str:
        if not _NAME.fullmatch(external.name):
            raise CompileError(f"external function {external.name!r}: a name is letters, digits and underscores")
        if find(self._module, external.name) is not None:
            raise CompileError(f"@{external.name} is there already; give the external function another name")
        given = [_tensor_type(shape, dtype, external.name) for shape, dtype in external.outputs]
        type_ = FunctionType.from_lists([x.value.type for x in inputs], given)
        declared = ExternalOp(external.name, type_, external.language)
        try:
            declared.verify()
        except VerifyException as error:
            raise CompileError(f"external function: {error}; correct it") from None
        self._module.body.block.add_op(declared)
        if external.function is not None:
            self.functions[external.name] = external.function
        return external.name

    def _network(self, source: str | Path | bytes, inputs: Sequence[Value], name: str | None) -> str:
        from .onnx_import import import_onnx

        batch = inputs[0].shape[0] if inputs and inputs[0].shape else 1
        imported = find(import_onnx(source, batch=batch), "main")
        assert isinstance(imported, FuncOp)
        symbol = self._free(name or (Path(source).stem if not isinstance(source, bytes) else "network"))
        imported.detach()
        imported.properties["sym_name"] = StringAttr(symbol)
        self._module.body.block.add_op(imported)
        return symbol

    def _free(self, name: str) -> str:
        """The name, with a number behind it if it is taken."""
        count, free = 1, name
        while find(self._module, free) is not None:
            count, free = count + 1, f"{name}_{count + 1}"
        return free

    def _check(self, symbol: str, taken: Sequence[Attribute], inputs: Sequence[Value]) -> None:
        if len(inputs) != len(taken):
            raise CompileError(f"@{symbol} takes {len(taken)} inputs, {len(inputs)} are given; pass all of them")
        for k, (value, wanted) in enumerate(zip(inputs, taken, strict=True)):
            if value.graph is not self:
                raise CompileError(f"@{symbol}: input {k} is of another graph; make it in this one")
            if value.value.type != wanted:
                raise CompileError(f"@{symbol}: input {k} is {value.value.type}, it takes {wanted}; convert it")

    def _add(self, op: Operation, layer: str, kind: str) -> list[Value]:
        number, free = 1, layer
        while free in self._layers:
            number, free = number + 1, f"{layer}_{number + 1}"
        self._layers.add(free)
        self._block.add_op(qgraph.describe(op, free, kind))
        return [Value(self, result) for result in op.results]


def _tensor_type(shape: Sequence[int], dtype: str, name: str) -> TensorType:
    if not qgraph.has_dtype(dtype):
        raise CompileError(f"{name!r} is {dtype}, a graph has int8, uint8, int32 and float32; convert it")
    if any(size < 1 for size in shape):
        raise CompileError(f"{name!r} has shape {tuple(shape)}; each size is at least 1")
    return qgraph.tensor_type(shape, dtype)


def _values(function: FuncOp) -> list[SSAValue]:
    return [*function.body.block.args, *(result for op in function.body.block.ops for result in op.results)]


def _names(names: Sequence[str]) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr([DictionaryAttr({"name": StringAttr(name)}) for name in names])
