"""How a function that is called with the memory of its inputs, then of its outputs, stands in text."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer


def print_signature(printer: Printer, name: str, inputs: Sequence[SSAValue], outputs: Sequence[SSAValue]) -> None:
    """`` @name(inputs) -> (outputs)``, all of them block arguments."""
    printer.print_string(" ")
    printer.print_symbol_name(name)
    for before, values in (("", inputs), (" -> ", outputs)):
        printer.print_string(before)
        with printer.in_parens():
            printer.print_list(values, printer.print_block_argument)  # type: ignore[arg-type]


def parse_signature(parser: Parser) -> tuple[str, list[Parser.Argument], list[Parser.Argument]]:
    """The name, the inputs and the outputs that `print_signature` wrote."""
    name = parser.parse_symbol_name().data
    inputs = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_argument)
    parser.parse_punctuation("->")
    outputs = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_argument)
    return name, inputs, outputs
