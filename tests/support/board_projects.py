"""Vivado projects of small accelerators, whose Verilog is made once a process."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from weft_boards.board import Board
from weft_boards.vivado.project import Project, make_project
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import PRESETS
from weft_hardware.rtl.verilog import emit


def small_config(board: Board) -> AcceleratorConfig:
    """A tiny accelerator with the memory port of the board's own preset."""
    preset = PRESETS[board.preset]
    return replace(
        PRESETS["tiny4"],
        axi_data_bits=preset.axi_data_bits,
        axi_addr_bits=preset.axi_addr_bits,
        max_burst=preset.max_burst,
    )


verilog = cache(emit)


def small_project(board: Board, **options: Any) -> Project:
    """Its project."""
    return make_project(board, small_config(board), verilog, **options)
