"""Loop nests as functions over scf, arith and memref: where tensor expressions become IR, for winners only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ..host.calls import call
from ..host.llvm_ir import LOOP_KIND
from ..host.templates.template import Template
from . import nest as n
from .expand import expand
from .expr import INDEX, Axis, Const, Expr, Shaped
from .scalar_ir import Scalars, buffer_type, index
from .simplify import simplify

STACK_BYTES = 32 << 10
"""What one function keeps of its buffers on the stack; the rest comes from the heap."""


@dataclass(frozen=True)
class Piece:
    """One function of a nest: all of it, or a part that threads may share.

    Parameters
    ----------
    function : FuncOp
        Takes the buffers of the host function; ``parallel`` ones also begin and end of the iterations to run.
    trips : int, optional
        All iterations of the parallel loop; None if there is none.
    """

    function: FuncOp
    trips: int | None


@dataclass(frozen=True)
class HostFunctionIR:
    """A nest for the host.

    Parameters
    ----------
    pieces : tuple of Piece
        To be run one after another.
    buffers : tuple of Buffer
        What every piece takes: inputs, outputs, then memory that pieces hand to each other.
    templates : tuple of Template
        What they call.
    """

    pieces: tuple[Piece, ...]
    buffers: tuple[n.Buffer, ...]
    templates: tuple[Template, ...] = ()


def to_ir(nest: n.Nest, name: str) -> HostFunctionIR:
    """The functions of a nest. Scopes become memory spaces, intrinsics calls of templates, or loops without them."""
    nest = expand(nest, templates=True)
    invoked = dict.fromkeys(s.intrinsic.template for s in n.walk(nest.body) if isinstance(s, n.Invoke))
    templates = tuple(template for template in invoked if template is not None)
    shared, body = [], nest.body
    while isinstance(body, n.Allocate):
        shared.append(body.buffer)
        body = body.body
    statements = body.statements if isinstance(body, n.Block) else (body,)
    if not any(_is_parallel(statement) for statement in statements):
        whole = Piece(_Function(name, nest.buffers).finish(nest.body), None)
        return HostFunctionIR((whole,), nest.buffers, templates)
    buffers = (*nest.buffers, *shared)
    pieces = []
    for k, statement in enumerate(statements):
        trips = statement.axis.extent if isinstance(statement, n.For) and _is_parallel(statement) else None
        function = _Function(f"{name}.{k}", buffers, shared=trips is not None).finish(statement)
        pieces.append(Piece(function, trips))
    return HostFunctionIR(tuple(pieces), buffers, templates)


def host_function(nest: n.Nest, name: str) -> FuncOp:
    """The one function of a nest whose parallel loops run one after another."""
    (piece,) = to_ir(replace(nest, body=_serial(nest.body)), name).pieces
    return piece.function


def _serial(statement: n.Statement) -> n.Statement:
    match statement:
        case n.Block(statements):
            return n.Block(tuple(map(_serial, statements)))
        case n.For(axis, kind, body):
            return n.For(axis, "serial" if kind == "parallel" else kind, _serial(body))
        case n.Allocate() | n.Guard():
            return replace(statement, body=_serial(statement.body))
        case _:
            return statement


def _is_parallel(statement: n.Statement) -> bool:
    return isinstance(statement, n.For) and statement.kind == "parallel"


class _Function:
    """One function under construction; its outermost loop runs from a begin to an end if it is shared."""

    def __init__(self, name: str, buffers: tuple[n.Buffer, ...], shared: bool = False):
        self.name = name
        bounds = [index, index] if shared else []
        self._body = Block(arg_types=[*map(buffer_type, buffers), *bounds])
        self._blocks = [self._body]
        self._constants: dict[Attribute, SSAValue] = {}
        self._axes: dict[Axis, SSAValue] = {}
        self._buffers: dict[Shaped, SSAValue] = dict(zip(buffers, self._body.args, strict=False))
        self._bounds = tuple(self._body.args[len(buffers) :])
        self._scalars = Scalars(self._emit, self._constant, self._axes, self._buffers)

    def finish(self, statement: n.Statement) -> FuncOp:
        heap = self._allocate([s.buffer for s in n.walk(statement) if isinstance(s, n.Allocate)])
        if self._bounds:
            assert isinstance(statement, n.For)
            self._loop(statement, *self._bounds)
        else:
            self._statement(statement)
        for buffer in heap:
            self._body.add_op(memref.DeallocOp.get(buffer))
        self._body.add_op(ReturnOp())
        return FuncOp(self.name, ([a.type for a in self._body.args], []), Region(self._body))

    def _allocate(self, buffers: list[n.Buffer]) -> list[SSAValue]:
        """Memory for all buffers at once, small ones first on the stack; gives those from the heap."""
        used, heap = 0, []
        for buffer in sorted(buffers, key=_bytes):
            used += _bytes(buffer)
            on_stack = used <= STACK_BYTES
            type_ = buffer_type(buffer)
            parts = (type_.element_type, 64, type_.get_shape())
            made = (memref.AllocaOp if on_stack else memref.AllocOp).get(*parts, memory_space=type_.memory_space)
            self._buffers[buffer] = self._emit(made)
            if not on_stack:
                heap.append(self._buffers[buffer])
        return heap

    def _emit(self, op: Operation) -> SSAValue:
        self._blocks[-1].add_op(op)
        # A store has no result, and nobody asks for one.
        return op.results[0] if op.results else None  # type: ignore[return-value]

    def _constant(self, value: IntegerAttr | FloatAttr) -> SSAValue:
        # At the top of the function, where every loop sees it. Attributes compare −0.0 and 0.0 as equal.
        if isinstance(value, FloatAttr):
            return self._emit(arith.ConstantOp(value))
        if value not in self._constants:
            op, first = arith.ConstantOp(value), self._body.first_op
            if first is None:
                self._body.add_op(op)
            else:
                self._body.insert_op_before(op, first)
            self._constants[value] = op.result
        return self._constants[value]

    def _at(self, value: int) -> SSAValue:
        return self._constant(IntegerAttr(value, index))

    def _statement(self, statement: n.Statement) -> None:
        match statement:
            case n.Block(statements):
                for inner in statements:
                    self._statement(inner)
            case n.Allocate(_, body):
                self._statement(body)
            case n.For(axis, _, _):
                self._loop(statement, self._at(0), self._at(axis.extent))
            case n.Guard(condition, body):
                inside = self._inside(Block(), body)
                chosen = self._scalars.value(condition)
                self._emit(scf.IfOp(chosen, [], Region(inside)))
            case n.Assign(buffer, indices, value, reassociable):
                self._scalars.store(value, buffer, indices, reassociable)
            case n.Invoke(intrinsic, output, inputs):
                assert intrinsic.template is not None
                operands = [operand for region in (output, *inputs) for operand in self._tile(region)]
                self._emit(call(self._emit, intrinsic.template, operands))
            case _:
                raise AssertionError(type(statement))

    def _tile(self, region: n.Region) -> tuple[SSAValue, SSAValue]:
        """A buffer, and where in it a tile begins, in elements."""
        shape, first = region.buffer.shape, Const(0, INDEX)
        place: Expr = first
        for d, offset in enumerate(region.offsets):
            place = place + offset * prod(shape[d + 1 :])
        return self._buffers[region.buffer], self._scalars.value(simplify(place))

    def _inside(self, block: Block, body: n.Statement) -> Block:
        self._blocks.append(block)
        self._statement(body)
        block.add_op(scf.YieldOp())
        return self._blocks.pop()

    def _loop(self, statement: n.For, begin: SSAValue, end: SSAValue) -> None:
        block = Block(arg_types=[index])
        self._axes[statement.axis] = block.args[0]
        loop = scf.ForOp(begin, end, self._at(1), [], Region(self._inside(block, statement.body)))
        if statement.kind in ("vectorize", "unroll"):
            loop.attributes[LOOP_KIND] = StringAttr(statement.kind)
        self._emit(loop)


def _bytes(buffer: n.Buffer) -> int:
    return prod(buffer.shape) * np.dtype(buffer.dtype).itemsize
