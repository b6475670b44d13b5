"""Loop nests as functions of the `te` dialect, and back: the same nest, statement by statement.

A block of one statement is that statement; names of loops and buffers lose a number behind an underscore.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from weft_hardware.config import AcceleratorConfig
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, MemRefType
from xdsl.ir import Block, Operation, Region, SSAValue

from ..accel.intrinsic import AcceleratorIntrinsic
from ..accel.intrinsics.table import INTRINSICS, Declared, make, to_attribute
from ..dialects import te
from ..errors import CompileError
from . import nest as n
from .expr import INDEX, Axis, Binary, Call, Cast, Compare, Const, Expr, Read, Select, Shaped


def uses_accelerator(nest: n.Nest) -> bool:
    """Whether anything in the nest is an intrinsic of the accelerator."""
    return any(isinstance(s, n.Invoke) and isinstance(s.intrinsic, AcceleratorIntrinsic) for s in n.walk(nest.body))


def function_of(nest: n.Nest, name: str, target: str | None = None) -> te.FuncOp:
    """A nest as a function.

    Parameters
    ----------
    target : str, optional
        Who runs it; the accelerator, if left out, where the nest invokes intrinsics of it.

    Raises
    ------
    CompileError
        If an intrinsic has no declaration that text could name.
    """
    chosen = target or (te.ACCELERATOR if uses_accelerator(nest) else te.HOST)
    block = Block(arg_types=[_type(buffer) for buffer in nest.buffers])
    writer = _Writer(block)
    for buffer, argument in zip(nest.buffers, block.args, strict=True):
        writer.buffers[buffer] = _named(argument, buffer.name)
    writer.into(block, nest.body)
    return te.FuncOp(name, len(nest.outputs), chosen, Region(block))


def _type(buffer: n.Buffer) -> MemRefType:
    return te.memref_type(buffer.shape, buffer.dtype, buffer.scope)


def _named(value: SSAValue, name: str) -> SSAValue:
    if SSAValue.is_valid_name(name):
        value.name_hint = name
    return value


class _Writer:
    """Writes statements into blocks; numbers stand at the top of the function."""

    def __init__(self, top: Block) -> None:
        self.buffers: dict[Shaped, SSAValue] = {}
        self._axes: dict[Axis, SSAValue] = {}
        self._top, self._block = top, top
        self._constants: dict[Const, te.ConstantOp] = {}
        self._known: dict[Expr, SSAValue] = {}

    def into(self, block: Block, statement: n.Statement) -> None:
        """Fill a block with a statement; the operations of a `Block` of several stand side by side."""
        many = isinstance(statement, n.Block) and len(statement.statements) > 1
        self._fill(block, statement.statements if many else (statement,))  # type: ignore[union-attr]

    def _fill(self, block: Block, statements: Sequence[n.Statement]) -> None:
        outside, self._block = self._block, block
        for inner in statements:
            self._known = {}
            self._statement(inner)
        self._block, self._known = outside, {}

    def _body(self, block: Block, statement: n.Statement) -> Region:
        self.into(block, statement)
        return Region(block)

    def _emit(self, op: Operation) -> SSAValue:
        self._block.add_op(op)
        return op.results[0] if op.results else None  # type: ignore[return-value]

    def _statement(self, statement: n.Statement) -> None:
        match statement:
            case n.Block((only,)):
                self._statement(only)
            case n.Block():
                block = Block()
                self._fill(block, statement.statements)
                self._emit(te.BlockOp(Region(block)))
            case n.Allocate(buffer, body):
                block = Block(arg_types=[_type(buffer)])
                self.buffers[buffer] = _named(block.args[0], buffer.name)
                self._emit(te.AllocateOp(buffer.slots, self._body(block, body)))
            case n.For(axis, kind, body):
                block = Block(arg_types=[te.index])
                self._axes[axis] = _named(block.args[0], axis.name)
                self._emit(te.ForOp(axis.extent, kind, axis.kind, self._body(block, body)))
            case n.Guard(condition, body):
                self._emit(te.IfOp(self._value(condition), self._body(Block(), body)))
            case n.Assign(buffer, indices, value, reassociable):
                result, where = self._value(value), [self._value(i) for i in indices]
                self._emit(te.StoreOp(result, self.buffers[buffer], where, reassociable))
            case n.Invoke():
                self._invoke(statement)

    def _invoke(self, invoke: n.Invoke) -> None:
        intrinsic = invoke.intrinsic
        declaration = intrinsic.declaration
        if declaration is None:
            raise CompileError(
                f"intrinsic {intrinsic.name} has no name in IR text; decorate the function that makes it with @declared"
            )
        tiles = [
            (self.buffers[region.buffer], [self._value(offset) for offset in region.offsets])
            for region in (invoke.output, *invoke.inputs)
        ]
        predicate = None if invoke.predicate is None else self._value(invoke.predicate)
        otherwise = None
        if invoke.otherwise is not None:
            otherwise = te.ConstantOp(invoke.otherwise.value, invoke.otherwise.dtype).value
        arguments = {name: to_attribute(value) for name, value in declaration.arguments.items()}
        self._emit(
            te.InvokeOp(
                declaration.function, arguments, tiles, fill=invoke.fill, predicate=predicate, otherwise=otherwise
            )
        )

    def _value(self, expr: Expr) -> SSAValue:
        """The value of an expression; within one statement, equal ones are one."""
        if isinstance(expr, Const):
            return self._constant(expr)
        if isinstance(expr, Axis):
            return self._axes[expr]
        if expr not in self._known:
            self._known[expr] = self._computed(expr)
        return self._known[expr]

    def _constant(self, const: Const) -> SSAValue:
        if const not in self._constants:
            op = te.ConstantOp(const.value, const.dtype)
            if const.dtype == INDEX:
                op.y.name_hint = f"c{const.value}".replace("-", "minus")
            last = list(self._constants.values())[-1:]
            if last:
                self._top.insert_op_after(op, last[0])
            elif self._top.first_op is not None:
                self._top.insert_op_before(op, self._top.first_op)
            else:
                self._top.add_op(op)
            self._constants[const] = op
        return self._constants[const].y

    def _computed(self, expr: Expr) -> SSAValue:
        match expr:
            case Binary(op, a, b):
                return self._emit(te.BinaryOp(op, self._value(a), self._value(b)))
            case Compare(op, a, b):
                return self._emit(te.CompareOp(op, self._value(a), self._value(b)))
            case Select(condition, a, b):
                return self._emit(te.SelectOp(self._value(condition), self._value(a), self._value(b)))
            case Cast(dtype, a):
                return self._emit(te.CastOp(self._value(a), dtype))
            case Call(name, args):
                return self._emit(te.CallOp(name, [self._value(a) for a in args]))
            case Read(tensor, indices):
                return self._emit(te.LoadOp(self.buffers[tensor], [self._value(i) for i in indices]))
            case _:
                raise AssertionError(type(expr))


def nest_of(function: te.FuncOp, config: AcceleratorConfig, intrinsics: Mapping[str, Declared] = INTRINSICS) -> n.Nest:
    """The loop nest of a function.

    Parameters
    ----------
    intrinsics : Mapping
        What `te.invoke` may name.

    Raises
    ------
    CompileError
        If an intrinsic is unknown, or the configuration lacks it.
    """
    reader = _Reader(config, intrinsics)
    inputs = tuple(reader.buffer(argument) for argument in function.inputs)
    outputs = tuple(reader.buffer(argument) for argument in function.results_written)
    return n.Nest(inputs, outputs, reader.region(function.body))


class _Reader:
    """Reads statements out of blocks."""

    def __init__(self, config: AcceleratorConfig, intrinsics: Mapping[str, Declared]) -> None:
        self._config, self._intrinsics = config, intrinsics
        self._buffers: dict[SSAValue, n.Buffer] = {}
        self._values: dict[SSAValue, Expr] = {}
        self._names: set[str] = set()
        self._statements: dict[type[Operation], Callable[..., n.Statement]] = {
            te.BlockOp: lambda op: n.Block(tuple(self._inside(op.body))),
            te.AllocateOp: self._allocate,
            te.ForOp: self._for,
            te.IfOp: lambda op: n.Guard(self._values[op.condition], self.region(op.body)),
            te.StoreOp: lambda op: n.Assign(
                self._buffers[op.buffer], self._all(op.indices), self._values[op.value], op.reassociable is not None
            ),
            te.InvokeOp: self._invoke,
        }
        self._scalars: dict[type[Operation], Callable[..., Expr]] = {
            te.ConstantOp: lambda op: op.const(),
            te.BinaryOp: lambda op: Binary(op.op.data, self._values[op.a], self._values[op.b]),
            te.CompareOp: lambda op: Compare(op.op.data, self._values[op.a], self._values[op.b]),
            te.SelectOp: lambda op: Select(self._values[op.condition], self._values[op.a], self._values[op.b]),
            te.CastOp: lambda op: Cast(te.dtype_of(op.y.type), self._values[op.a]),
            te.CallOp: lambda op: Call(op.function.data, self._all(op.args)),
            te.LoadOp: lambda op: Read(self._buffers[op.buffer], self._all(op.indices)),
        }

    def _name(self, value: SSAValue, stem: str) -> str:
        """The name of a value in the text, made unique."""
        wanted = value.name_hint or stem
        name, count = wanted, 1
        while name in self._names:
            name, count = f"{wanted}.{count}", count + 1
        self._names.add(name)
        return name

    def buffer(self, value: SSAValue, slots: int = 1) -> n.Buffer:
        type_ = value.type
        assert isinstance(type_, MemRefType)
        name = self._name(value, f"buffer{len(self._buffers)}")
        made = n.Buffer(name, type_.get_shape(), te.dtype_of(type_.element_type), te.scope_of(type_), slots)
        self._buffers[value] = made
        return made

    def _all(self, values: Sequence[SSAValue]) -> tuple[Expr, ...]:
        return tuple(self._values[value] for value in values)

    def _inside(self, region: Region) -> list[n.Statement]:
        found = []
        for op in region.block.ops:
            if type(op) in self._scalars:
                self._values[op.results[0]] = self._scalars[type(op)](op)
            elif type(op) in self._statements:
                found.append(self._statements[type(op)](op))
            else:
                raise CompileError(f"{op.name} has no meaning in a tensor function; use operations of te alone")
        return found

    def region(self, region: Region) -> n.Statement:
        statements = self._inside(region)
        return statements[0] if len(statements) == 1 else n.Block(tuple(statements))

    def _allocate(self, op: te.AllocateOp) -> n.Statement:
        buffer = self.buffer(op.body.block.args[0], op.slots.value.data)
        return n.Allocate(buffer, self.region(op.body))

    def _for(self, op: te.ForOp) -> n.Statement:
        index = op.body.block.args[0]
        axis = Axis(index.name_hint or f"axis{len(self._values)}", op.extent.value.data, op.role.data)
        self._values[index] = axis
        return n.For(axis, op.kind.data, self.region(op.body))

    def _invoke(self, op: te.InvokeOp) -> n.Statement:
        regions = [n.Region(self._buffers[buffer], self._all(offsets)) for buffer, offsets in op.regions_named()]
        otherwise = None
        if isinstance(op.otherwise, IntegerAttr | FloatAttr):
            value = op.otherwise.value.data
            otherwise = Const(value, te.dtype_of(op.otherwise.type))
        intrinsic = make(op.intrinsic.data, op.arguments.data, self._config, self._intrinsics)
        predicate = None if op.predicate is None else self._values[op.predicate]
        return n.Invoke(intrinsic, regions[0], tuple(regions[1:]), predicate, otherwise, bool(op.fill.value.data))
