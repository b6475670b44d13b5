"""A package that brings a bitstream, its notebook and a service to a board: ``pip install`` it there.

It follows pynq's conventions, the entry points ``pynq.overlays`` and ``pynq.notebooks``: ``Overlay("weft.bit")`` finds
the bitstream and ``pynq get-notebooks weft`` delivers the notebook.
"""

from __future__ import annotations

from importlib.resources import files

from ..board import Board

PACKAGE = "weft_overlay"
FOLDER = f"overlay/{PACKAGE}"
"""Where in a project's directory the bitstream has to be copied to."""

NOTEBOOK = "digits_on_a_board.ipynb"


def _pyproject(board: Board) -> str:
    return f"""\
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "weft-overlay-{board.name}"
version = "0.1.0"
description = "Weft on {board.title}: bitstream, notebook and service"
requires-python = ">=3.10"
dependencies = ["weft"]

[project.entry-points."pynq.overlays"]
weft = "{PACKAGE}"

[project.entry-points."pynq.notebooks"]
weft = "{PACKAGE}.notebooks"

[tool.setuptools]
packages = ["{PACKAGE}", "{PACKAGE}.notebooks"]

[tool.setuptools.package-data]
{PACKAGE} = ["*.bit", "*.hwh", "*.toml", "*.weft", "*.service"]
"{PACKAGE}.notebooks" = ["*.ipynb"]
"""


def _module(board: Board) -> str:
    return f'''\
"""Weft on {board.title}."""

from pathlib import Path

FOLDER = Path(__file__).parent
BITSTREAM, CONFIG, DIGITS = FOLDER / "weft.bit", FOLDER / "config.toml", FOLDER / "digits.weft"


def open_device(**options):
    """The accelerator in this package's bitstream; options as those of `weft_boards.pynq_device.PynqDevice`."""
    import weft

    return weft.open_device("pynq", CONFIG, bitstream=BITSTREAM, **options)
'''


POOL = """\
[[device]]
device = "pynq"
config = "config.toml"
bitstream = "weft.bit"
"""
"""For ``weft serve``: this folder's accelerator."""

SERVICE = """\
# Serves the accelerator to other machines. Copy pool.toml, config.toml, weft.bit and weft.hwh to /etc/weft, make
# credentials there (weft serve --make-credentials /etc/weft/credentials --name HOST), copy this file to
# /etc/systemd/system, then: systemctl enable --now weft
[Unit]
Description=Weft accelerator
After=network-online.target
Wants=network-online.target

[Service]
# pynq's image keeps its Python apart, and loading a bitstream needs root.
Environment=XILINX_XRT=/usr
ExecStart=/usr/local/share/pynq-venv/bin/weft serve --pool /etc/weft/pool.toml --listen 0.0.0.0:7350 \\
    --credentials /etc/weft/credentials
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


def overlay_files(board: Board, config_toml: str, digits: bytes | None) -> dict[str, str | bytes]:
    """The package without its bitstream, which the build copies into it.

    Parameters
    ----------
    digits : bytes, optional
        The digit reader, compiled for the configuration; the notebook needs it.
    """
    made: dict[str, str | bytes] = {
        "overlay/pyproject.toml": _pyproject(board),
        f"{FOLDER}/__init__.py": _module(board),
        f"{FOLDER}/config.toml": config_toml,
        f"{FOLDER}/pool.toml": POOL,
        f"{FOLDER}/weft.service": SERVICE,
        f"{FOLDER}/notebooks/__init__.py": "",
        f"{FOLDER}/notebooks/{NOTEBOOK}": files(__name__).joinpath(NOTEBOOK).read_text(encoding="utf-8"),
    }
    if digits is not None:
        made[f"{FOLDER}/digits.weft"] = digits
    return made
