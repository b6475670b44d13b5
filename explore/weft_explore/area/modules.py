"""A design's modules, each one apart: what is synthesised once however many designs have it.

Where a synthesis keeps the hierarchy no module's logic depends on what surrounds it, so a module that is synthesised
alone needs what it needs in the whole, and modules of equal text need the same. A design of ninety modules shares most
of them with the next design.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_MODULE = re.compile(r"^module \\(?P<name>\S+)\n(?P<body>.*?)^end$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell \\(?P<type>\S+) \\(?P<name>\S+)$")
_PIN = re.compile(r"^    connect (?P<port>\\\S+) (?P<net>.*)$")
_PORT = re.compile(r"^  wire (?:width \d+ )?(?:signed )?(?:input|output|inout) .*$", re.MULTILINE)
_NUMBERED = re.compile(r"\\port\$(\d+)")
"""A wire without a name of its own; the number counts all of the design's."""


@dataclass(frozen=True)
class Module:
    """One module, under a name made of its text.

    Parameters
    ----------
    digest : str
        Equal for equal modules only; modules below count with their ports, not with their contents.
    body : str
        RTLIL of the module without its first and its last line.
    shells : Mapping
        The ports of the modules below, by the names that the body calls them.
    """

    digest: str
    body: str
    shells: Mapping[str, str]


def split(design: str, top: str) -> dict[str, Module]:
    """The modules of a design's RTLIL, by their path: ``""`` for the top, ``"compute"``, ``"compute.issue"``, …"""
    bodies = {found["name"]: found["body"] for found in _MODULE.finditer(design)}
    numbers = {name: _own_numbers(body) for name, body in bodies.items()}
    shells = {
        name: "".join(f"{_renumbered(port, numbers[name])}\n" for port in _PORT.findall(body))
        for name, body in bodies.items()
    }
    paths: dict[str, Module] = {}

    def visit(name: str, path: str) -> None:
        lines, below = [], {}
        child = None
        for line in bodies[name].splitlines():
            if cell := _CELL.match(line):
                child = cell["type"] if cell["type"] in bodies else None
                if child:
                    shell = f"shell_{_digest(shells[child])}"
                    below[shell] = shells[child]
                    plain, number, _ = cell["name"].partition("$")
                    line = f"  cell \\{shell} \\{plain}{number and f'$cell{len(lines)}'}"
                    visit(child, f"{path}.{plain}".lstrip("."))
            elif child and (pin := _PIN.match(line)):
                port, net = _renumbered(pin["port"], numbers[child]), _renumbered(pin["net"], numbers[name])
                line = f"    connect {port} {net}"
            else:
                line = _renumbered(line, numbers[name])
                child = None if line == "  end" else child
            lines.append(f"{line}\n")
        body = "".join(lines)
        paths[path] = Module(_digest(body), body, below)

    visit(top, "")
    return paths


def rtlil(modules: Mapping[str, Module], top: str) -> str:
    """RTLIL of modules side by side, each as ``part_DIGEST``, under a top that keeps them."""
    return "".join(_texts(modules, top))


def _texts(modules: Mapping[str, Module], top: str) -> Iterator[str]:
    shells = {name: ports for module in modules.values() for name, ports in module.shells.items()}
    for name, ports in shells.items():
        yield f"attribute \\blackbox 1\nmodule \\{name}\n{ports}end\n"
    for module in modules.values():
        yield f"module \\part_{module.digest}\n{module.body}end\n"
    yield f"module \\{top}\n"
    for digest in modules:
        yield f"  attribute \\keep 1\n  cell \\part_{digest} \\i_{digest}\n  end\n"
    yield "end\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _own_numbers(body: str) -> dict[str, int]:
    """The numbers of a module's wires, counted anew from 0."""
    declared = (line for line in body.splitlines() if line.startswith("  wire "))
    found = dict.fromkeys(number for line in declared for number in _NUMBERED.findall(line))
    return {number: place for place, number in enumerate(found)}


def _renumbered(text: str, numbers: Mapping[str, int]) -> str:
    return _NUMBERED.sub(lambda wire: f"\\port${numbers[wire[1]]}", text)
