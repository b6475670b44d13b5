"""The ports of a Verilog module, read from the text that Vivado will read."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PORT = re.compile(r"^  (?P<direction>input|output) (?:\[(?P<left>\d+):0\] )?(?P<name>\w+);$", re.M)


@dataclass(frozen=True)
class Port:
    """One port; ``width`` is 1 also where Verilog writes no range."""

    name: str
    direction: str
    width: int

    @property
    def is_input(self) -> bool:
        return self.direction == "input"


def module_ports(verilog: str, module: str) -> list[Port]:
    """The ports of a module in yosys's Verilog, in the order of their declaration.

    Raises
    ------
    ValueError
        If the text does not declare the module, or a port of its header has no declaration.
    """
    found = re.search(
        rf"^module {re.escape(module)}\((?P<header>[^)]*)\);\n(?P<body>.*?)^endmodule", verilog, re.M | re.S
    )
    if found is None:
        raise ValueError(f"the Verilog declares no module {module!r}")
    ports = [Port(p["name"], p["direction"], int(p["left"] or 0) + 1) for p in _PORT.finditer(found["body"])]
    header = {name.strip() for name in found["header"].split(",")}
    if header != {port.name for port in ports}:
        undeclared = ", ".join(sorted(header ^ {port.name for port in ports}))
        raise ValueError(f"the Verilog's module {module!r} does not declare what its header names: {undeclared}")
    return ports
