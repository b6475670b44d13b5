"""IR as text: every dialect that a module may use, printed, parsed and verified."""

from __future__ import annotations

from io import StringIO

from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.func import Func
from xdsl.dialects.math import Math
from xdsl.dialects.memref import MemRef
from xdsl.dialects.scf import Scf
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

from .dialects.qgraph import QGraph
from .dialects.te import Te
from .errors import CompileError

DIALECTS = (Builtin, Func, Arith, Math, MemRef, Scf, QGraph, Te)


def context() -> Context:
    """A context with every dialect of ours."""
    made = Context()
    for dialect in DIALECTS:
        made.load_dialect(dialect)
    return made


def print_ir(module: ModuleOp) -> str:
    """A module's text, which `parse_ir` reads."""
    stream = StringIO()
    Printer(stream).print_op(module)
    return stream.getvalue() + "\n"


def parse_ir(text: str, name: str = "the IR") -> ModuleOp:
    """Read a module, and verify it.

    Parameters
    ----------
    name : str
        What messages call the text: its file.

    Raises
    ------
    CompileError
        If the text does not parse, with line and column, or what it says does not verify.
    """
    try:
        module = Parser(context(), text, name).parse_module()
    except ParseError as error:
        line = text.count("\n", 0, error.span.start) + 1
        column = error.span.start - (text.rfind("\n", 0, error.span.start) + 1) + 1
        raise CompileError(f"{name}:{line}:{column}: {_sentence(error.msg)}; correct the text") from None
    except VerifyException as error:
        raise CompileError(f"{name}: {_sentence(str(error))}; correct the text") from None
    verify(module, name)
    return module


def verify(module: ModuleOp, name: str = "the IR") -> None:
    """Verify a module.

    Raises
    ------
    CompileError
        With what does not hold, in one sentence.
    """
    try:
        module.verify()
    except VerifyException as error:
        raise CompileError(f"{name} does not verify: {_sentence(str(error))}; correct it") from None


def _sentence(message: str) -> str:
    """The first line that says something, without the context that xDSL draws around it."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return (lines[0] if lines else "it is not understood").rstrip(".")
