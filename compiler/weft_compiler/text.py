"""IR as text: every dialect that a module may use, printed, parsed and verified."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import numpy as np
from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.func import Func
from xdsl.dialects.math import Math
from xdsl.dialects.memref import MemRef
from xdsl.dialects.scf import Scf
from xdsl.dialects.vector import Vector
from xdsl.ir import Dialect
from xdsl.irdl import IRDLOperation
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

from .dialects import floats, movement, products, qgraph, quantised
from .dialects.accel import Accel
from .dialects.calls import Calls
from .dialects.te import Te
from .errors import CompileError

_QGRAPH = {
    value: None
    for module in (qgraph, floats, movement, quantised, products)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, IRDLOperation) and getattr(value, "name", "").startswith("qgraph.")
}
"""Every operation of the dialect, whatever file declares it."""

DIALECTS = (Builtin, Func, Arith, Math, MemRef, Scf, Vector, Dialect("qgraph", list(_QGRAPH)), Te, Accel, Calls)


class _Parser(Parser):
    """xDSL's, which writes infinity and not-a-number in arrays as the bits of a float32 and does not read them."""

    def parse_float(self, *, allow_negative: bool = True) -> float:
        bits = self.parse_optional_integer(allow_boolean=False, allow_negative=False)
        if bits is None:
            return super().parse_float(allow_negative=allow_negative)
        return float(np.uint32(bits & 0xFFFFFFFF).view(np.float32))


def context() -> Context:
    """A context with every dialect of ours."""
    made = Context()
    for dialect in DIALECTS:
        made.load_dialect(dialect)
    return made


def print_ir(module: ModuleOp, longest: int | None = None) -> str:
    """A module's text, which `parse_ir` reads.

    Parameters
    ----------
    longest : int, optional
        Constants of more bytes are left out, which is good for reading only.
    """
    stream = StringIO()
    Printer(stream).print_op(module)
    text = stream.getvalue() + "\n"
    if longest is None:
        return text

    def shortened(found: re.Match[str]) -> str:
        nbytes = len(found[2]) // 2
        return f'{found[1]} "{nbytes} bytes left out"' if nbytes > longest else found[0]

    return re.sub(r'(qgraph\.constant) "([0-9a-f]+)"', shortened, text)


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
        module = _Parser(context(), text, name).parse_module()
    except ParseError as error:
        begin = _begin(text, error)
        line = text.count("\n", 0, begin) + 1
        column = begin - (text.rfind("\n", 0, begin) + 1) + 1
        raise CompileError(f"{name}:{line}:{column}: {_sentence(error.msg)}; correct the text") from None
    except VerifyException as error:
        raise CompileError(f"{name}: {_sentence(str(error))}; correct the text") from None
    verify(module, name)
    return module


def _begin(text: str, error: ParseError) -> int:
    """Where in the text the mistake is: an unknown operation is reported behind its name."""
    named = re.match(r"(?:Operation|unregistered operation) '?([\w.]+)", error.msg)
    found = text.rfind(named[1], 0, error.span.start) if named else -1
    return error.span.start if found < 0 else found


def read_ir(path: str | Path) -> ModuleOp:
    """Read a file of IR; see `parse_ir`.

    Raises
    ------
    CompileError
        Also if it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise CompileError(f"file {path} cannot be read: {error.strerror}; check its path") from None
    except UnicodeDecodeError:
        raise CompileError(f"file {path} is no text; give a file of IR") from None
    return parse_ir(text, str(path))


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
