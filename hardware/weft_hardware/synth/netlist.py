"""Reads what yosys writes: area by module from ``stat -json``, logic depth and DSP registers from a flat netlist."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from .families import Family, Usage


@dataclass(frozen=True)
class ModuleUsage:
    """One instance: what it occupies with everything below, and its parts in the order of their names."""

    name: str
    total: Usage
    parts: tuple[ModuleUsage, ...] = field(default=())

    def walk(self, depth: int = 0) -> Iterator[tuple[int, ModuleUsage]]:
        """This module and all below, each with its depth in the hierarchy."""
        yield depth, self
        for part in self.parts:
            yield from part.walk(depth + 1)


def module_usage(statistics: Mapping[str, Any], top: str, family: Family) -> ModuleUsage:
    """The tree of instances below ``top``.

    Parameters
    ----------
    statistics : Mapping
        The JSON object of yosys's ``stat -json``, hierarchy kept.
    """
    modules = {name.lstrip("\\"): module["num_cells_by_type"] for name, module in statistics["modules"].items()}

    def visit(module: str, name: str) -> ModuleUsage:
        total, parts = Usage(), []
        for cell, count in sorted(modules[module].items()):
            if cell in modules:
                parts.append(visit(cell, cell.removeprefix(f"{module}.").partition("$")[0]))
                total += parts[-1].total * count
            else:
                total += family.usage(cell) * count
        return ModuleUsage(name, total, tuple(parts))

    return visit(top, top)


def usage_by_name(cells: Mapping[str, Mapping[str, Any]], modules: Set[str], top: str, family: Family) -> ModuleUsage:
    """The tree of instances below ``top`` in a flat netlist, each cell counted where its name says it belongs.

    yosys names a cell after the net that it drives, so logic between two modules counts for one of them.

    Parameters
    ----------
    cells : Mapping
        The cells of the flat module, by name.
    modules : set of str
        The paths of all instances, from the flat module down: ``top``, ``top.part``, …
    """
    own: dict[str, Usage] = defaultdict(Usage)
    for name, cell in cells.items():
        place = name.rpartition(".")[0]
        while place and place not in modules:
            place = place.rpartition(".")[0]
        own[place] += family.usage(cell["type"])

    def visit(path: str) -> ModuleUsage:
        parts = [visit(module) for module in sorted(modules) if module.rpartition(".")[0] == path]
        total = sum((part.total for part in parts), own[path])
        return ModuleUsage(path.rpartition(".")[2], total, tuple(parts))

    return visit(top)


@dataclass(frozen=True)
class Depth:
    """The longest path between registers, in levels of logic, and the names of what it runs through."""

    levels: int
    path: tuple[str, ...]


@dataclass(frozen=True)
class DspRegisters:
    """Of all DSP blocks that multiply: how many register their operands, and how many their product, inside."""

    blocks: int
    operands: int
    products: int


_LOGIC = ("LUT", "INV", "MUXF", "CARRY", "CCU2C", "PFUMX", "L6MUX21")
_FREE = ("MUXF", "PFUMX", "L6MUX21")
"""Multiplexers beside a LUT's output, which no LUT follows: they add no level."""


def _is_set(cell: Mapping[str, Any], name: str) -> bool:
    """Whether a register of a DSP48 is in use; its parameters are binary numbers in text."""
    return int(str(cell["parameters"].get(name, "0")), 2) != 0


def _arcs(cell: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The input and the output ports between which a cell has combinational paths."""
    kind, directions = cell["type"], cell["port_directions"]
    inputs = [port for port, direction in directions.items() if direction == "input"]
    outputs = [port for port, direction in directions.items() if direction == "output"]
    if kind.startswith(_LOGIC):
        return inputs, outputs
    if kind.startswith("DSP48"):
        if _is_set(cell, "PREG"):
            return [], []
        through = [] if _is_set(cell, "MREG") else [p for p in "ABD" if not _is_set(cell, f"{p}REG")]
        return ["PCIN", *through, *(["C"] if not _is_set(cell, "CREG") else [])], ["P", "PCOUT"]
    if kind == "MULT18X18D":
        return ["A", "B", *(port for port in inputs if port[0] in "AB" and port[1:].isdigit())], outputs
    if kind.startswith(("RAM32", "RAM64", "RAM128", "RAM256", "TRELLIS_DPR")):
        return [port for port in inputs if port.startswith(("ADDR", "DPRA", "RAD", "A"))], outputs
    return [], []


def logic_depth(cells: Mapping[str, Mapping[str, Any]]) -> Depth:
    """The deepest combinational path of a flat netlist.

    A LUT, a carry chain as a whole, an unregistered multiplication or an addition in a DSP block, and a read of a LUT
    memory are one level each.

    Parameters
    ----------
    cells : Mapping
        The cells of one module of yosys's ``write_json``, by name.

    Raises
    ------
    ValueError
        If the logic has a loop.
    """
    arcs = {name: _arcs(cell) for name, cell in cells.items()}
    driver = {
        bit: name
        for name, (_, outputs) in arcs.items()
        for port in outputs
        for bit in cells[name]["connections"].get(port, ())
        if isinstance(bit, int)
    }
    followers: dict[str, list[tuple[str, int]]] = defaultdict(list)
    waits: dict[str, int] = dict.fromkeys(arcs, 0)
    for name, (inputs, _) in arcs.items():
        kind = cells[name]["type"]
        for port in inputs:
            within_chain = port in ("CI", "CIN")
            weight = 0 if kind.startswith(_FREE) or within_chain else 1
            for bit in cells[name]["connections"].get(port, ()):
                if isinstance(bit, int) and bit in driver:
                    followers[driver[bit]].append((name, weight))
                    waits[name] += 1
    level = {name: int(bool(arcs[name][0])) for name in arcs}
    before: dict[str, str] = {}
    ready = [name for name, count in waits.items() if not count]
    done = 0
    while ready:
        name = ready.pop()
        done += 1
        for follower, weight in followers[name]:
            if level[name] + weight > level[follower]:
                level[follower], before[follower] = level[name] + weight, name
            waits[follower] -= 1
            if not waits[follower]:
                ready.append(follower)
    if done < len(arcs):
        loop = min(name for name, count in waits.items() if count)
        raise ValueError(f"combinational loop through {loop}")
    last = max(level, key=lambda name: (level[name], name), default=None)
    path: list[str] = []
    while last is not None:
        path.append(_label(last, cells[last]))
        last = before.get(last)
    return Depth(max(level.values(), default=0), tuple(reversed(path)))


def _label(name: str, cell: Mapping[str, Any]) -> str:
    """A cell's kind and module: its own name says nothing after technology mapping."""
    parts = name.replace("$flatten", "").replace("\\", "").split(".")
    place = ".".join(takewhile(lambda part: not part.startswith("$"), parts[:-1]))
    return f"{place or 'top'} {cell['type']}"


def dsp_registers(cells: Mapping[str, Mapping[str, Any]]) -> DspRegisters:
    """Counts the DSP48 blocks of a flat netlist whose registers are used; see `DspRegisters`."""
    blocks = [cell for cell in cells.values() if cell["type"].startswith("DSP48")]
    operands = [c for c in blocks if _is_set(c, "BREG") and (_is_set(c, "AREG") or _is_set(c, "DREG"))]
    products = [c for c in blocks if _is_set(c, "MREG") or _is_set(c, "PREG")]
    return DspRegisters(len(blocks), len(operands), len(products))
