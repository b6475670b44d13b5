"""The block design as Tcl: processor, accelerator, and what connects them.

The processor's clock and reset drive everything. One SmartConnect leads from its general-purpose port to the registers,
one from the accelerator to its memory port, converting AXI4 to AXI3 where that is one; the accelerator's bursts are as
long as the port takes, so nothing is split. The interrupt goes to the processor's first.
"""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig

from ..board import Board
from . import component
from .processor import Processor, processor_of

DESIGN = "weft"
"""Name of the block design, and of the bitstream."""

PROCESSOR, ACCELERATOR = "ps", "accelerator"
"""Names of the cells."""

RESET_BLOCK, CONTROL_CONNECT, MEMORY_CONNECT = "reset", "control", "memory"

PROC_SYS_RESET = "xilinx.com:ip:proc_sys_reset:5.0"
SMART_CONNECT = "xilinx.com:ip:smartconnect:1.0"


def block_design_tcl(board: Board, config: AcceleratorConfig, clock_mhz: float) -> str:
    """Tcl that makes the block design in the open project; ``board_files`` says whether Vivado knows the board."""
    processor = processor_of(board, config, clock_mhz)
    parts = (
        [f"# The block design for {board.title}; sourced by build.tcl.", f"create_bd_design {DESIGN}", ""],
        _processor(processor),
        _cells(),
        _clocks_and_resets(processor),
        _buses(processor),
        _addresses(board, processor),
        ["validate_bd_design", "save_bd_design", ""],
    )
    return "\n".join(line for part in parts for line in part)


def _pin(name: str) -> str:
    return f"[get_bd_pins {name}]"


def _interface(name: str) -> str:
    return f"[get_bd_intf_pins {name}]"


def _processor(processor: Processor) -> list[str]:
    automation = f"{processor.automation} apply_board_preset".strip()
    properties = [f"    CONFIG.{name} {value}" for name, value in processor.properties.items()]
    return [
        f"create_bd_cell -type ip -vlnv {processor.vlnv} {PROCESSOR}",
        f"apply_bd_automation -rule {processor.rule} \\",
        f"    -config [list {automation} $board_files] [get_bd_cells {PROCESSOR}]",
        "set_property -dict {",
        *properties,
        f"}} [get_bd_cells {PROCESSOR}]",
        "",
    ]


def _cells() -> list[str]:
    return [
        f"create_bd_cell -type ip -vlnv {component.VLNV} {ACCELERATOR}",
        f"create_bd_cell -type ip -vlnv {PROC_SYS_RESET} {RESET_BLOCK}",
        *(
            line
            for name in (CONTROL_CONNECT, MEMORY_CONNECT)
            for line in (
                f"create_bd_cell -type ip -vlnv {SMART_CONNECT} {name}",
                f"set_property -dict {{CONFIG.NUM_SI 1 CONFIG.NUM_MI 1}} [get_bd_cells {name}]",
            )
        ),
        "",
    ]


def _clocks_and_resets(processor: Processor) -> list[str]:
    clocked = [
        *(f"{PROCESSOR}/{pin}" for pin in processor.clocked),
        f"{RESET_BLOCK}/slowest_sync_clk",
        f"{CONTROL_CONNECT}/aclk",
        f"{MEMORY_CONNECT}/aclk",
        f"{ACCELERATOR}/{component.CLOCK}",
    ]
    connects = (f"{CONTROL_CONNECT}/aresetn", f"{MEMORY_CONNECT}/aresetn")
    nets = [
        *((f"{PROCESSOR}/{processor.clock}", pin) for pin in clocked),
        (f"{PROCESSOR}/{processor.reset}", f"{RESET_BLOCK}/ext_reset_in"),
        *((f"{RESET_BLOCK}/interconnect_aresetn", pin) for pin in connects),
        # The accelerator's reset is active high.
        (f"{RESET_BLOCK}/peripheral_reset", f"{ACCELERATOR}/{component.RESET}"),
        (f"{ACCELERATOR}/{component.INTERRUPT}", f"{PROCESSOR}/{processor.interrupt}"),
    ]
    return [*(f"connect_bd_net {_pin(driver)} {_pin(taker)}" for driver, taker in nets), ""]


def _buses(processor: Processor) -> list[str]:
    links = (
        (f"{PROCESSOR}/{processor.control}", f"{CONTROL_CONNECT}/S00_AXI"),
        (f"{CONTROL_CONNECT}/M00_AXI", f"{ACCELERATOR}/{component.CONTROL}"),
        (f"{ACCELERATOR}/{component.MEMORY}", f"{MEMORY_CONNECT}/S00_AXI"),
        (f"{MEMORY_CONNECT}/M00_AXI", f"{PROCESSOR}/{processor.memory}"),
    )
    return [*(f"connect_bd_intf_net {_interface(a)} {_interface(b)}" for a, b in links), ""]


def _addresses(board: Board, processor: Processor) -> list[str]:
    assert board.control_port is not None
    registers = f"-offset {board.control_port.registers:#x} -range {component.REGISTER_RANGE:#x}"
    lines = [
        f"assign_bd_address {registers} \\",
        f"    -target_address_space [get_bd_addr_spaces {PROCESSOR}/{processor.control_space}] \\",
        f"    [get_bd_addr_segs {ACCELERATOR}/{component.CONTROL}/registers]",
    ]
    for memory, segment in zip(board.memories, processor.memory_segments, strict=False):
        lines += [
            f"assign_bd_address -offset {memory.begin:#x} -range {memory.size:#x} \\",
            f"    -target_address_space [get_bd_addr_spaces {ACCELERATOR}/{component.MEMORY}] \\",
            f"    [get_bd_addr_segs {PROCESSOR}/{segment}]",
        ]
    return [*lines, ""]
