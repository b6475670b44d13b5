"""The boards, each fact with its source.

Source
------
AMD UG585 (Zynq-7000 technical reference manual), 4.1 (address map), 5 (AXI_HP), 7.2 (interrupts), 25 (clocks).
AMD UG1085 (Zynq UltraScale+ technical reference manual), 10 (address map), 13 (interrupts), 35 (PS-PL interfaces), 37.
Digilent, PYNQ-Z1 reference manual; TUL, PYNQ-Z2 reference manual. Avnet, Ultra96 and Ultra96-V2 hardware user guides.
AMD UG1267 (ZCU104), UG1089 (KV260), DS987 (K26). Radiona, ULX3S manual and constraints file ``ulx3s_v20.lpf``.

Compared with what is published of these boards, see docs/boards.md: ordering codes and names with the files that Vivado
has of them (Xilinx/XilinxBoardStore, Avnet/bdf), the processors' clocks, crystals and memory with the presets there and
in Xilinx/PYNQ, interrupts with UG585 and PG201, pins with ``ulx3s_v20.lpf``, capacities with utilisation reports.
"""

from __future__ import annotations

import difflib

from weft_hardware.parts import PARTS

from .board import Board, Clock, ControlPort, Kind, Memory, MemoryPort
from .errors import BoardError

MIB = 1 << 20

_HP_7000 = MemoryPort("S_AXI_HP0", "AXI3", (64,), 16, 32, coherent=False)
# As its IP declares it; the port itself cuts bursts into ones of 16 beats (UG1085, 35, PL-PS interface specifics).
_HP_MP = MemoryPort("S_AXI_HP0_FPD", "AXI4", (64, 128), 256, 49, coherent=False)
_GP0 = ControlPort("M_AXI_GP0", 0x4000_0000, 0x4000_0000, registers=0x43C0_0000)
_HPM0 = ControlPort("M_AXI_HPM0_FPD", 0xA000_0000, 0x1000_0000, registers=0xA000_0000)
# A 50 MHz crystal times 20; on the other family 33.33 MHz times 45.
_FCLK0 = Clock("the I/O PLL (FCLK_CLK0)", 1_000, 100)
_PL0 = Clock("the I/O PLL (PL0_REF_CLK)", 1_500, 150)

_TRM_7000 = "AMD UG585, 4.1, 5, 7.2, 25"
_TRM_MP = "AMD UG1085, 10, 13, 35, 37"


def _zynq_7000(name: str, title: str, board_files: str, manual: str) -> Board:
    """The two boards with a Zynq-7020 and 512 MB differ for us in nothing but their names."""
    return Board(
        name=name,
        title=title,
        kind=Kind.ZYNQ_7000,
        part=PARTS["Zynq-7020"],
        device="xc7z020clg400-1",
        board_files=board_files,
        preset="pynq",
        packed=True,
        clock=_FCLK0,
        memories=(Memory("DDR3", 0, 512 * MIB),),
        memory_port=_HP_7000,
        control_port=_GP0,
        interrupt=61,
        cpu="2 × Cortex-A9, 650 MHz",
        pynq="3.0, 3.1",
        sources=(manual, _TRM_7000),
    )


def _zynq_mp(
    name: str,
    title: str,
    *,
    part: str,
    device: str,
    board_files: str,
    preset: str,
    memory: str,
    mebibytes: int,
    pynq: str,
    manual: str,
) -> Board:
    low = min(mebibytes, 2048) * MIB
    high = mebibytes * MIB - low
    return Board(
        name=name,
        title=title,
        kind=Kind.ZYNQ_MP,
        part=PARTS[part],
        device=device,
        board_files=board_files,
        preset=preset,
        packed=False,
        clock=_PL0,
        memories=(
            Memory(f"{memory} low", 0, low),
            *([Memory(f"{memory} high", 0x8_0000_0000, high)] if high else []),
        ),
        memory_port=_HP_MP,
        control_port=_HPM0,
        interrupt=121,
        cpu="4 × Cortex-A53",
        pynq=pynq,
        sources=(manual, _TRM_MP),
    )


BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        _zynq_7000("pynq-z1", "Digilent PYNQ-Z1", "pynq-z1", "Digilent, PYNQ-Z1 manual"),
        _zynq_7000("pynq-z2", "TUL PYNQ-Z2", "pynq-z2", "TUL, PYNQ-Z2 manual"),
        _zynq_mp(
            "ultra96-v1",
            "Avnet Ultra96",
            part="ZU3EG",
            device="xczu3eg-sbva484-1-e",
            board_files="ultra96v1",
            preset="ultra96",
            memory="LPDDR4",
            mebibytes=2048,
            pynq="3.0",
            manual="Avnet, Ultra96 hardware user guide",
        ),
        _zynq_mp(
            "ultra96-v2",
            "Avnet Ultra96-V2",
            part="ZU3EG",
            device="xczu3eg-sbva484-1-i",
            board_files="ultra96v2",
            preset="ultra96",
            memory="LPDDR4",
            mebibytes=2048,
            pynq="3.0, 3.1",
            manual="Avnet, Ultra96-V2 hardware user guide",
        ),
        _zynq_mp(
            "zcu104",
            "AMD ZCU104",
            part="ZU7EV",
            device="xczu7ev-ffvc1156-2-e",
            board_files="zcu104",
            preset="zcu104",
            memory="DDR4",
            mebibytes=2048,
            pynq="3.0, 3.1",
            manual="AMD UG1267",
        ),
        _zynq_mp(
            "kv260",
            "AMD Kria KV260",
            part="K26",
            device="xck26-sfvc784-2LV-c",
            board_files="kv260_som",
            preset="ultra96",
            memory="DDR4",
            mebibytes=4096,
            pynq="3.0, on Ubuntu",
            manual="AMD UG1089, DS987",
        ),
        Board(
            name="ulx3s",
            title="Radiona ULX3S-85F",
            kind=Kind.ECP5,
            part=PARTS["LFE5U-85F"],
            device="LFE5U-85F-6BG381C",
            board_files="",
            preset="ecp5",
            packed=False,
            # The loop runs at 400 to 800 MHz (Lattice FPGA-TN-02200); 25 MHz × 24, divided once.
            clock=Clock("the 25 MHz oscillator's PLL", 600, 50, dividers=(128,)),
            memories=(Memory("SDR SDRAM", 0, 32 * MIB),),
            memory_port=MemoryPort("SDRAM, 16 bits", "AXI4", (64,), 256, 32, coherent=False),
            control_port=None,
            interrupt=None,
            cpu="the host behind its USB serial port",
            pynq="",
            sources=("Radiona, ULX3S manual, ulx3s_v20.lpf", "Lattice FPGA-DS-02012, FPGA-TN-02200"),
        ),
    )
}
"""Boards by name."""


def find_board(name: str) -> Board:
    """The board of that name.

    Raises
    ------
    BoardError
        If there is none.
    """
    if name not in BOARDS:
        close = difflib.get_close_matches(name, BOARDS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise BoardError(f"board {name!r} does not exist; choose one of {', '.join(BOARDS)}{hint}")
    return BOARDS[name]


def boards_of(family: str) -> list[Board]:
    """The boards whose FPGA is of a synthesis family."""
    return [board for board in BOARDS.values() if board.part.family == family]
