"""``weft board``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options

if TYPE_CHECKING:
    from weft_boards.board import Board
    from weft_hardware.config import AcceleratorConfig

app = typer.Typer(help="Boards: what they are, and what to build for them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="BOARD", help="See `weft board list`.", show_default=False)]


def _values(board: Board) -> dict[str, Any]:
    """All of a board, ready for JSON."""
    return {**asdict(board), "kind": board.kind.value}


@app.command("list")
def list_boards(json: options.Json = False) -> None:
    """List the boards."""
    from weft_boards.catalogue import BOARDS

    from .output import print_json

    if json:
        print_json({name: _values(board) for name, board in BOARDS.items()})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("board", "FPGA", "LUT", "DSP", "block RAM", "memory", "preset", "clock", box=None)
    for name, board in BOARDS.items():
        capacity = board.part.capacity
        size = sum(memory.size for memory in board.memories) >> 20
        table.add_row(
            *(name, board.part.name),
            *(f"{value:g}" for value in (capacity.luts, capacity.dsps, capacity.brams)),
            *(f"{size:,} MB", board.preset, f"{board.clock.default_mhz:g} MHz"),
        )
    Console().print(table)


@app.command("show")
def show(board: Name, json: options.Json = False) -> None:
    """Print what a board has, and the documents that say so."""
    from weft_boards.catalogue import find_board

    from .output import print_json

    chosen = find_board(board)
    if json:
        print_json(_values(chosen))
        return
    capacity, port = chosen.part.capacity, chosen.memory_port
    rows = [
        ("board", f"{chosen.title} ({chosen.kind.value})"),
        ("FPGA", f"{chosen.part.name}, {chosen.device}"),
        ("LUTs", f"{capacity.luts:,}, of them {capacity.lutram:,} usable as memory"),
        ("flip-flops", f"{capacity.ffs:,}"),
        ("DSP blocks", f"{capacity.dsps:,}"),
        ("block RAMs", f"{capacity.brams:,}" + (f", and {chosen.part.urams} UltraRAMs" if chosen.part.urams else "")),
        ("CPU", chosen.cpu),
        *(("memory", f"{m.name}, {m.size >> 20:,} MB at {m.begin:#x}") for m in chosen.memories),
        (
            "memory port",
            f"{port.name}, {port.protocol}, {' or '.join(map(str, port.data_bits))} bits, bursts of {port.max_burst}, "
            f"{port.address_bits} address bits, {'' if port.coherent else 'not '}coherent",
        ),
    ]
    if chosen.control_port:
        rows.append(("registers", f"at {chosen.control_port.registers:#x}, through {chosen.control_port.name}"))
    if chosen.interrupt:
        rows.append(("interrupt", str(chosen.interrupt)))
    divisors = " and ".join(f"1..{largest}" for largest in chosen.clock.dividers)
    rows += [
        (
            "clock",
            f"{chosen.clock.default_mhz:g} MHz from {chosen.clock.source}, {chosen.clock.source_mhz:g} MHz "
            f"divided by {divisors}",
        ),
        ("preset", chosen.preset + (", with packed multipliers" if chosen.packed else "")),
    ]
    if chosen.pynq:
        rows.append(("pynq", chosen.pynq))
    rows += [("source", source) for source in (*chosen.sources, chosen.part.source)]
    for name, value in rows:
        print(f"{name:12} {value}")


@app.command("build")
def build(
    board: Name,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The directory to write.", show_default=False)
    ],
    config: Annotated[
        str | None, typer.Option("--config", metavar="NAME|FILE", help="The accelerator; else the board's preset.")
    ] = None,
    clock: Annotated[
        float | None, typer.Option("--clock", metavar="MHZ", min=0, help="The clock to ask for; else the board's.")
    ] = None,
    packed: Annotated[
        bool | None,
        typer.Option(
            "--packed/--plain", help="Two products a multiplier; else as the board's preset needs.", show_default=False
        ),
    ] = None,
    project_only: Annotated[
        bool, typer.Option("--project-only", help="Write the project, do not run Vivado even where it is installed.")
    ] = False,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="N,…", help="ulx3s: placements to try; the fastest is taken.")
    ] = "1,2,3",
    json: options.Json = False,
) -> None:
    """Write a board's project and, where the tools are, its bitstream: Vivado for Zynq, open tools for ECP5."""
    from weft_boards.board import Kind
    from weft_boards.catalogue import find_board
    from weft_boards.vivado.project import COMMAND, find_vivado, make_project, run_vivado

    import weft
    from weft.extras import needs_extra

    from .output import print_values

    chosen = find_board(board)
    name = config or chosen.preset
    accelerator = weft.load_config(name)
    if chosen.kind is Kind.ECP5:
        _build_open(chosen, name, accelerator, output, clock, seeds, json)
        return
    with needs_extra("rtl", "building for a board"):
        from weft_hardware.rtl.verilog import emit
    chosen.check(accelerator)
    digits = _digits(chosen, accelerator)
    project = make_project(chosen, accelerator, emit, config_name=name, packed=packed, clock_mhz=clock, digits=digits)
    project.write(output)
    values: dict[str, Any] = {
        "board": chosen.name,
        "config": name,
        "clock_mhz": round(project.clock_mhz, 3),
        "project": str(output),
        "bitstream": None,
        "handoff": None,
    }
    if project_only or find_vivado() is None:
        why = "as asked" if project_only else "vivado is not on the PATH"
        values["next"] = f"{why}: to build the bitstream, run in {output}: {' '.join(COMMAND)}"
    else:
        bitstream, handoff = run_vivado(output, lambda line: print(line, file=sys.stderr))
        values |= {"bitstream": str(bitstream), "handoff": str(handoff)}
    print_values(values, json)


def _build_open(
    board: Board,
    name: str,
    config: AcceleratorConfig,
    output: Path,
    clock: float | None,
    seeds: str,
    as_json: bool,
) -> None:
    """A bitstream with yosys, nextpnr and ecppack."""
    from weft_boards.ulx3s import BITSTREAM, build_bitstream

    from weft.errors import UsageError
    from weft.extras import needs_extra

    from .output import print_values, step_progress

    try:
        chosen = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {seeds!r} is no list of numbers; write them as 1,2,3") from None
    with needs_extra("rtl", "building for a board"):
        from weft_hardware.rtl.ulx3s.top import constraints, top_rtlil
    with step_progress() as tell:
        built = build_bitstream(
            board, config, output, top_rtlil, constraints(), clock_mhz=clock, seeds=chosen, progress=tell
        )
    values: dict[str, Any] = {
        "board": board.name,
        "config": name,
        "clock_mhz": round(built.clock_mhz, 3),
        "fmax_mhz": {f"seed {route.seed}": round(route.fmax_mhz, 2) for route in built.routes},
        "chosen": f"seed {built.chosen.seed}",
        "resources": {kind: f"{used} of {available}" for kind, (used, available) in built.usage.items()},
        "bitstream": str(output / BITSTREAM),
        "next": f"load it: openFPGALoader --board ulx3s {output / BITSTREAM}",
    }
    if not as_json:
        for key in ("fmax_mhz", "resources"):
            values[key] = ", ".join(f"{part} {value}" for part, value in values[key].items())
    print_values(values, as_json)


def _digits(board: Board, config: AcceleratorConfig) -> bytes | None:
    """The digit reader for the board's notebook; None where the compiler is not installed."""
    import tempfile

    import weft
    from weft.errors import UsageError
    from weft.models import digits_onnx

    target = "armv7" if board.kind.value == "Zynq-7000" else "aarch64"
    try:
        module = weft.compile(digits_onnx(), config, host_targets=["x86_64", target], link=True)
    except UsageError:
        return None
    with tempfile.TemporaryDirectory() as name:
        module.save(path := Path(name) / "digits.weft")
        return path.read_bytes()
