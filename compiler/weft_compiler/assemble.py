"""Planned `qgraph` to a module: steps, constants, instruction streams and host code."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.work import count_work
from weft_runtime.archive import MAX_REGION_BYTES
from weft_runtime.module_model import (
    AcceleratorStep,
    Buffer,
    Constant,
    ExternalStep,
    HostStep,
    Layer,
    ModuleContent,
    Step,
    TensorInfo,
)
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue

from .accel.assembly import program_of
from .accel.link import Part
from .accel.lower import lower_nest
from .accel.stream import UOPS, Stream
from .dialects import accel, qgraph, te
from .dialects import floats as float_ops
from .dialects.calls import SIGNATURE, CallOp, ExternalOp, callee_of, is_host_function
from .dump_ir import Dump
from .errors import CompileError
from .host import elementwise, layout, normalize, recurrent, windows
from .host.codegen import compile_functions
from .host.expressions import floats, movement, products, quantised
from .host.llvm_ir import check_lowerable
from .host.targets import X86_64, Target
from .launches import Pending, launches_of
from .memory import alignment_of, round_up
from .options import CompileOptions
from .passes.plan_memory import BESIDE, REGION_BYTES, main_function, place_of, storage_of
from .tasks import AcceleratedOp, task_stream, tensors_of
from .te.nest_ir import nest_of
from .te.to_ir import host_function

_SYMBOL = re.compile(r"[^A-Za-z0-9_]")
"""What names of host functions do not hold."""

Kernel = Callable[[Any, str], FuncOp]
Parameters = Callable[[Any], elementwise.Parameters]


def _no_parameters(op: Operation) -> elementwise.Parameters:
    return ()


_KERNELS: dict[type[Operation], tuple[Kernel, Parameters]] = {
    qgraph.QuantizeOp: (elementwise.quantize, elementwise.scale_parameters),
    qgraph.DequantizeOp: (elementwise.dequantize, elementwise.scale_parameters),
    qgraph.ReluOp: (elementwise.relu, _no_parameters),
    qgraph.ClipOp: (elementwise.clip, _no_parameters),
    qgraph.ClampOp: (elementwise.clamp, _no_parameters),
    qgraph.TransposeOp: (elementwise.transpose, _no_parameters),
    qgraph.MaxPoolOp: (windows.max_pool, _no_parameters),
    qgraph.QConvOp: (windows.qconv, windows.requantising_parameters),
    qgraph.QDenseOp: (windows.qdense, windows.requantising_parameters),
    qgraph.PackOp: (layout.pack, _no_parameters),
    qgraph.RequantizeOp: (layout.requantize, _no_parameters),
    float_ops.NormalizeOp: (normalize.normalize, _no_parameters),
    float_ops.RecurrentOp: (recurrent.recurrent, _no_parameters),
    qgraph.UnpackOp: (layout.unpack, _no_parameters),
}
"""Host kernels written as loops, and the constants they read beside their operands."""

EXPRESSIONS = {**floats.EXPRESSIONS, **movement.EXPRESSIONS, **products.EXPRESSIONS, **quantised.EXPRESSIONS}
"""Host kernels written as tensor expressions."""


def _text(op: Operation, name: str) -> str:
    attribute = op.attributes.get(name)
    if not isinstance(attribute, StringAttr):
        raise CompileError(f"{op.name} of layer {qgraph.layer_of(op)!r} has no {name}; run the pass place before")
    return attribute.data


def _is_on_host(function: Operation) -> bool:
    return isinstance(function, te.FuncOp) and function.target.data == te.HOST


class _Assembler:
    """Collects the parts of one module while walking the function once."""

    def __init__(
        self,
        function: FuncOp,
        config: AcceleratorConfig,
        options: CompileOptions,
        dump: Dump | None = None,
        with_host: bool = True,
    ):
        self.dump, self.with_host = dump, with_host
        self.overlap = options.overlap and options.extensions
        self.schedules, self.scheduled = options.schedules, options.scheduled
        self.function = function
        self.config = config
        self.alignment = alignment_of(config)
        self.constants: list[Constant] = []
        self.steps: list[Step] = []
        self.host_functions: list[FuncOp] = []
        self.layers: dict[str, Layer] = {}
        self.counted: set[str] = set()
        self.streams: dict[Operation, Stream] = {}
        self.pending: list[Pending] = []
        self.host_names: dict[Operation, str] = {}
        self.kernels: dict[Hashable, tuple[str, list[Buffer]]] = {}
        sizes = function.attributes.get(REGION_BYTES)
        if not isinstance(sizes, DictionaryAttr):
            raise CompileError(f"@{function.sym_name.data} has no memory plan; run the pass plan-memory before")
        self.region_bytes = {name: size.value.data for name, size in sizes.data.items()}  # type: ignore[attr-defined]

    def constant(self, name: str, region: str, values: NDArray[Any]) -> Buffer:
        """Append a constant to a region."""
        data = np.ascontiguousarray(values).tobytes()
        buffer = Buffer(region, self.region_bytes[region], len(data))
        self.region_bytes[region] = round_up(buffer.offset + len(data), self.alignment)
        self.constants.append(Constant(name, buffer, data))
        return buffer

    def operation(self, op: Operation) -> None:
        if isinstance(op, qgraph.ConstantOp):
            self.constants.append(Constant(qgraph.layer_of(op), place_of(op.y), op.data.data))
            return
        layer = self._layer(op)
        if "macs" in op.attributes:
            self.counted.add(qgraph.layer_of(op))
        if isinstance(op, CallOp):
            self._call(op, layer)
        elif isinstance(op, qgraph.ACCELERATED):
            self._accelerator_step(op, layer)
        elif not isinstance(op, qgraph.ReshapeOp):
            self._host_step(op, layer)

    def _layer(self, op: Operation) -> int:
        name = qgraph.layer_of(op)
        if name not in self.layers:
            macs = op.attributes.get("macs", qgraph.integer(0))
            assert isinstance(macs, IntegerAttr)
            self.layers[name] = Layer(
                name, qgraph.onnx_op_of(op), _text(op, "placement"), _text(op, "reason"), macs.value.data
            )
        return list(self.layers).index(name)

    def _host_step(self, op: Operation, layer: int) -> None:
        self.flush()
        if not self.with_host:
            return
        name, extra = self._kernel_of(op)
        operands = [place_of(operand) for operand in op.operands]
        buffers = (*operands, *extra, place_of(op.results[0]))
        self.steps.append(HostStep(layer, name, buffers, BESIDE in op.attributes))

    def _kernel_of(self, op: Operation) -> tuple[str, list[Buffer]]:
        """A host function for an operation and its parameters: what computes the same has the same."""
        types = tuple(value.type for value in (*op.operands, *op.results))
        # Weights may be parameters, packed.
        known = tuple(value.owner if isinstance(value.owner, qgraph.ConstantOp) else None for value in op.operands)
        key = type(op), types, known, tuple(sorted(op.properties.items(), key=lambda item: item[0]))
        if key not in self.kernels:
            name = f"step{len(self.steps)}_{op.name.removeprefix('qgraph.')}"
            if type(op) in EXPRESSIONS:
                expression = EXPRESSIONS[type(op)](op)
                function, parameters = expression.function(name), expression.parameters
            else:
                kernel, parameters_of = _KERNELS[type(op)]
                function, parameters = kernel(op, name), parameters_of(op)
            self.host_functions.append(function)
            places = [self.constant(f"{qgraph.layer_of(op)}.{k}", "host", p) for k, p in enumerate(parameters)]
            self.kernels[key] = name, places
        return self.kernels[key]

    def _accelerator_step(self, op: AcceleratedOp, layer: int) -> None:
        offsets = {name: place_of(value).offset for name, value in tensors_of(op).items()}
        stream, registers = task_stream(op, self.config, self.schedules, self.scheduled)
        self._append(Pending(op, layer, Part(stream, offsets, registers), tuple(op.operands), (op.y,)))

    def _append(self, pending: Pending) -> None:
        """Add a program to the next launch."""
        if not self.overlap:
            self.flush()
        self.pending.append(pending)
        if self.dump:
            stream, offsets = pending.part.stream, {**pending.part.offsets, UOPS: 0}
            program = stream.emit(offsets, pending.part.registers)
            self.dump.kernel(self._name(pending.layer), stream, program, self.config)

    def _name(self, layer: int) -> str:
        return list(self.layers)[layer]

    def flush(self) -> None:
        """Make one launch of the programs that were gathered."""
        self.steps += launches_of(self.pending, self._name, self._device_constant, self.config)
        self.pending.clear()

    def _device_constant(self, name: str, values: NDArray[Any]) -> Buffer:
        return self.constant(name, "device", values)

    def _call(self, op: CallOp, layer: int) -> None:
        """One step of a function of another level: its inputs' buffers, then those of its outputs."""
        function = callee_of(op)
        inputs, outputs = (tuple(map(place_of, values)) for values in (op.inputs, op.outputs))
        match function:
            case ExternalOp():
                self.flush()
                taken = tuple(self._info(f"input{k}", value) for k, value in enumerate(op.inputs))
                given = tuple(self._info(f"output{k}", value) for k, value in enumerate(op.outputs))
                self.steps.append(ExternalStep(layer, op.function_name, function.language.data, taken, given))
            case _ if is_host_function(function) or _is_on_host(function):
                self.flush()
                self.steps.append(HostStep(layer, self._host_function(function), (*inputs, *outputs)))
            case te.FuncOp() | accel.FuncOp():
                self._kernel(op, function, layer, (*inputs, *outputs))
            case _:
                raise CompileError(f"@{op.function_name} is a graph function; run the pass inline before")

    def _host_function(self, function: Operation) -> str:
        """The name of the host's code for a function, which is compiled once."""
        if function not in self.host_names:
            assert isinstance(function, te.FuncOp | FuncOp)
            name = f"function{len(self.host_names)}_{_SYMBOL.sub('_', function.sym_name.data)}"
            self.host_functions.append(self._loops(function, name))
            self.host_names[function] = name
        return self.host_names[function]

    def _loops(self, function: te.FuncOp | FuncOp, name: str) -> FuncOp:
        """The host's code for a function, under another name."""
        if isinstance(function, te.FuncOp):
            return host_function(nest_of(function, self.config), name)
        check_lowerable(function)
        copy = function.clone()
        copy.sym_name = StringAttr(name)
        del copy.attributes[SIGNATURE]
        return copy

    def _kernel(self, op: CallOp, function: te.FuncOp | accel.FuncOp, layer: int, buffers: Sequence[Buffer]) -> None:
        """A kernel's program for buffers at these places: written out it is a launch by itself."""
        if isinstance(function, accel.FuncOp):
            self.flush()
            self._program(op, function, layer, buffers)
            return
        nest = nest_of(function, self.config)
        if function not in self.streams:
            self.streams[function] = lower_nest(nest, self.config)
        stream = self.streams[function]
        self._count(layer, stream.macs)
        offsets = {buffer.name: place.offset for buffer, place in zip(nest.buffers, buffers, strict=True)}
        self._append(Pending(op, layer, Part(stream, offsets), tuple(op.inputs), tuple(op.outputs)))

    def _program(self, op: CallOp, function: accel.FuncOp, layer: int, buffers: Sequence[Buffer]) -> None:
        program = program_of(function, self.config, [b.offset for b in buffers], self.region_bytes["device"])
        self._count(layer, count_work(program.instructions, self.config).gemm_cycles * self.config.macs)
        name = qgraph.layer_of(op)
        if program.uops.nbytes:
            self.constant(f"{name}.uops", "device", program.uops)
        words = program.instructions.astype("<u8")
        stream = self.constant(f"{name}.instructions", "device", words)
        reads = tuple(place_of(v) for v in op.inputs if not isinstance(storage_of(v).owner, qgraph.ConstantOp))
        writes = tuple(map(place_of, op.outputs))
        self.steps.append(AcceleratorStep(layer, stream, len(words), reads, writes))

    def _count(self, layer: int, macs: int) -> None:
        """What a layer computes, where that is known from its program alone."""
        name = list(self.layers)[layer]
        if name not in self.counted:
            self.layers[name] = replace(self.layers[name], macs=macs)

    def _info(self, name: str, value: SSAValue) -> TensorInfo:
        return TensorInfo(name, qgraph.shape_of(value), qgraph.dtype_of(value).name, place_of(value))

    def tensors(
        self, values: Sequence[SSAValue], attributes: ArrayAttr[DictionaryAttr] | None
    ) -> tuple[TensorInfo, ...]:
        assert attributes is not None
        infos = []
        for value, described in zip(values, attributes.data, strict=True):
            name = described.data["name"]
            assert isinstance(name, StringAttr)
            infos.append(self._info(name.data, value))
        return tuple(infos)


def assemble(
    module: ModuleOp,
    config: AcceleratorConfig,
    options: CompileOptions,
    dump: Dump | None = None,
    targets: Sequence[Target] | None = (X86_64,),
) -> ModuleContent:
    """Emit everything that a module holds.

    Parameters
    ----------
    dump : Dump, optional
        Where kernels and host code are written to be read.
    targets : sequence of Target
        CPUs that host functions are compiled for; with None the steps of host functions are left out.

    Raises
    ------
    CompileError
        If the network needs more memory than a module may take.
    """
    function = main_function(module)
    assembler = _Assembler(function, config, options, dump, with_host=targets is not None)
    outputs: Sequence[SSAValue] = ()
    for op in function.body.block.ops:
        if isinstance(op, ReturnOp):
            outputs = op.operands
        else:
            assembler.operation(op)
    assembler.flush()
    for region, size in assembler.region_bytes.items():
        if size > MAX_REGION_BYTES:
            raise CompileError(
                f"the {region} region takes {size} bytes, more than {MAX_REGION_BYTES}; compile for a smaller batch"
            )
    if dump:
        dump.host(assembler.host_functions)
    functions = assembler.host_functions
    host_code = tuple(compile_functions(functions, target) for target in targets or ()) if functions else ()
    return ModuleContent(
        config=config,
        inputs=assembler.tensors(function.body.block.args, function.arg_attrs),
        outputs=assembler.tensors(outputs, function.res_attrs),
        region_bytes=assembler.region_bytes,
        constants=tuple(assembler.constants),
        layers=tuple(assembler.layers.values()),
        steps=tuple(assembler.steps),
        host_code=host_code,
    )
