"""Loop nests as text that reads like code."""

from __future__ import annotations

from collections.abc import Iterator

from .nest import Allocate, Assign, Block, Buffer, For, Guard, Invoke, Nest, Region, Statement


def nest_text(nest: Nest) -> str:
    """The function's parameters, then its statements."""
    parameters = ", ".join(declaration(buffer) for buffer in nest.buffers)
    return "\n".join([f"def ({parameters}):", *("    " + line for line in lines(nest.body))])


def declaration(buffer: Buffer) -> str:
    """Name, type, shape, and where the buffer lies if that is not ``global``."""
    scope = "" if buffer.scope == "global" else f" in {buffer.scope}"
    slots = "" if buffer.slots == 1 else f" × {buffer.slots}"
    return f"{buffer.name}: {buffer.dtype}[{', '.join(map(str, buffer.shape))}]{scope}{slots}"


def lines(statement: Statement) -> Iterator[str]:
    """The lines of one statement; what is inside is indented."""
    match statement:
        case Block(statements):
            for inner in statements:
                yield from lines(inner)
        case Allocate(buffer, body):
            yield f"allocate {declaration(buffer)}"
            yield from lines(body)
        case For(axis, kind, body):
            yield f"{'' if kind == 'serial' else kind + ' '}for {axis.name} in {axis.extent}:"
            yield from ("    " + line for line in lines(body))
        case Guard(condition, body):
            yield f"if {condition}:"
            yield from ("    " + line for line in lines(body))
        case Assign(buffer, indices, value):
            yield f"{buffer.name}[{', '.join(map(str, indices))}] = {value}"
        case Invoke():
            yield invocation(statement)


def invocation(statement: Invoke) -> str:
    """``gemm(acc[…], inp[…], wgt[…])``, with the padding it has."""
    if statement.fill:
        return f"{statement.intrinsic.name}.fill({_region(statement.output)})"
    operands = ", ".join(_region(r) for r in (statement.output, *statement.inputs))
    padding = ""
    if statement.predicate is not None:
        padding = f" if {statement.predicate} else {statement.otherwise}"
    return f"{statement.intrinsic.name}({operands}){padding}"


def _region(region: Region) -> str:
    return f"{region.buffer.name}[{', '.join([*map(str, region.offsets), '…'])}]"
