"""A whole Vivado project for a board: made, checked, written, and built where Vivado is installed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import to_toml

from ..board import Board, Kind
from ..directory import MARKER, write_directory
from ..errors import BoardError
from ..overlay import overlay_files
from . import component, scripts
from .block_design import DESIGN, block_design_tcl
from .ports import Port, module_ports

COMMAND = ("vivado", "-mode", "batch", "-notrace", "-source", "build.tcl")


@dataclass(frozen=True)
class Project:
    """The files of a project, by their paths in its directory."""

    board: Board
    config: AcceleratorConfig
    packed: bool
    clock_mhz: float
    files: dict[str, Any]

    def write(self, directory: Path) -> None:
        """Write all of it; see `write_directory`."""
        write_directory(directory, {**self.files, MARKER: self._manifest()})

    def _manifest(self) -> str:
        """What the directory holds, to tell what a bitstream was built from."""
        values = {
            "board": self.board.name,
            "device": self.board.device,
            "config_digest": self.config.digest,
            "packed_multipliers": self.packed,
            "clock_mhz": self.clock_mhz,
            "sha256": {name: _sha256(content) for name, content in sorted(self.files.items())},
        }
        return json.dumps(values, indent=2) + "\n"


def _sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def make_project(
    board: Board,
    config: AcceleratorConfig,
    verilog: Callable[[AcceleratorConfig, bool], str],
    *,
    config_name: str = "",
    packed: bool | None = None,
    clock_mhz: float | None = None,
    digits: bytes | None = None,
) -> Project:
    """Everything Vivado needs for an accelerator on a board.

    Parameters
    ----------
    verilog : callable
        `weft_hardware.rtl.verilog.emit`, which needs the ``rtl`` extra.
    config_name : str
        What the user calls the configuration.
    packed : bool, optional
        Two products a multiplier; where not chosen, as the board needs for its own preset.
    clock_mhz : float, optional
        Where not chosen, the board's default.
    digits : bytes, optional
        See `overlay_files`.

    Raises
    ------
    BoardError
        If the board has no Vivado project, cannot carry the accelerator's ports, or cannot make the clock.
    """
    if board.kind not in (Kind.ZYNQ_7000, Kind.ZYNQ_MP):
        raise BoardError(f"{board.title} has no Vivado project: its FPGA is Lattice's; choose a Zynq board")
    board.check(config)
    made_mhz, _ = board.clock.nearest(clock_mhz or board.clock.default_mhz)
    packed = board.packed if packed is None else packed
    text = verilog(config, packed)
    ports = module_ports(text, component.NAME)
    files: dict[str, Any] = {
        **overlay_files(board, to_toml(config), digits),
        "README.txt": scripts.readme(board, config_name or config.digest[:16], made_mhz),
        "config.toml": to_toml(config),
        "build.tcl": scripts.build_tcl(board, made_mhz),
        "block_design.tcl": block_design_tcl(board, config, made_mhz),
        "constraints.xdc": scripts.constraints_xdc(),
        "ip/component.xml": component.component_xml(ports, config),
        f"ip/{component.CONSTRAINTS}": scripts.accelerator_xdc(made_mhz),
        f"ip/{component.SOURCE}": text,
    }
    _check(files, ports)
    return Project(board, config, packed, made_mhz, files)


def _check(files: dict[str, Any], ports: list[Port]) -> None:
    """What would be our own mistake: files that do not agree with one another, or with the Verilog."""
    root = ElementTree.fromstring(files["ip/component.xml"])
    names = {"s": component.SPIRIT}
    declared = {port.findtext("s:name", None, names) for port in root.iterfind(".//s:model/s:ports/s:port", names)}
    mapped = [text.text for text in root.iterfind(".//s:physicalPort/s:name", names)]
    assert declared == {port.name for port in ports}, declared
    assert sorted(str(name) for name in mapped) == sorted(port.name for port in ports), mapped
    for name in ("s:file/s:name",):
        for file in root.iterfind(f".//{name}", names):
            assert f"ip/{file.text}" in files, file.text
    for name, text in files.items():
        if name.endswith(".tcl"):
            assert all(text.count(a) == text.count(b) for a, b in ("{}", "[]", "()")), name
            assert text.count('"') % 2 == 0, name


def find_vivado() -> str | None:
    """The Vivado on the PATH."""
    return shutil.which(COMMAND[0])


def run_vivado(directory: Path, tell: Callable[[str], None]) -> tuple[Path, Path]:
    """Build the bitstream of a written project; takes an hour or so.

    Parameters
    ----------
    tell : callable
        Given each line that Vivado prints.

    Returns
    -------
    bitstream, handoff : Path
        The ``.bit`` and the ``.hwh``.

    Raises
    ------
    BoardError
        If Vivado is missing, fails, or the clock is missed: with the first error that it printed.
    """
    vivado = find_vivado()
    if vivado is None:
        raise BoardError("vivado is not on the PATH; source its settings64.sh, or build the project on another machine")
    errors: list[str] = []
    command = (vivado, *COMMAND[1:])
    with subprocess.Popen(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                tell(line.rstrip())
                if line.startswith("ERROR"):
                    errors.append(line.rstrip())
        except BaseException:
            process.kill()
            raise
    products = directory / f"{DESIGN}.bit", directory / f"{DESIGN}.hwh"
    if process.returncode or not all(product.is_file() for product in products):
        reason = errors[0] if errors else f"exit code {process.returncode}, and no error was printed"
        raise BoardError(f"vivado built no bitstream ({reason}); see {directory / 'vivado.log'}")
    return products
