"""The block design, as a Tcl interpreter understands it: everything is connected, and lies where the board says."""

import pytest
from support.board_projects import small_config
from support.tcl import run_tcl
from weft_boards.board import Kind
from weft_boards.catalogue import BOARDS
from weft_boards.vivado.block_design import block_design_tcl

ZYNQ = [name for name, board in BOARDS.items() if board.kind is not Kind.ECP5]


def design(board, tmp_path, script=None):
    """What the script makes, by kind, and what it says on standard error."""
    text = block_design_tcl(board, small_config(board), 100.0) if script is None else script
    done = run_tcl(f"set board_files 0\n{text}\ndump", tmp_path)
    made = {}
    for line in done.stdout.splitlines():
        kind, *values = line.split("\t")
        made.setdefault(kind, []).append(values)
    return made, done.stderr


@pytest.mark.parametrize("name", ZYNQ)
def test_design(name, tmp_path):
    board = BOARDS[name]
    config = small_config(board)
    made, errors = design(board, tmp_path)
    assert errors == ""
    assert made["validated"]
    assert made["saved"]
    assert {cell for cell, _ in made["cell"]} == {"ps", "accelerator", "reset", "control", "memory"}

    (control,) = [row for row in made["address"] if row[0] == "ps/Data"]
    assert control[1] == "accelerator/host/registers"
    assert (int(control[2], 16), int(control[3], 16)) == (board.control_port.registers, 4096)
    memories = [row for row in made["address"] if row[0] == "accelerator/mem"]
    assert [(int(at, 16), int(size, 16)) for *_, at, size in memories] == [(m.begin, m.size) for m in board.memories]

    nets = {taker: driver for driver, taker in made["net"]}
    clocks = {driver for taker, driver in nets.items() if taker.lower().endswith(("clk", "aclk"))}
    assert clocks == {"ps/FCLK_CLK0" if board.kind is Kind.ZYNQ_7000 else "ps/pl_clk0"}
    assert nets["accelerator/rst"] == "reset/peripheral_reset", "active high"
    assert nets["memory/aresetn"] == "reset/interconnect_aresetn", "active low"
    buses = {manager: subordinate for manager, subordinate in made["bus"]}
    assert buses[f"ps/{board.control_port.name}"] == "control/S00_AXI"
    assert buses["control/M00_AXI"] == "accelerator/host"
    assert buses["accelerator/mem"] == "memory/S00_AXI"
    assert buses["memory/M00_AXI"] == f"ps/{board.memory_port.name}"
    properties = {key: value for cell, key, value in made["property"] if cell == "ps"}
    widths = [value for key, value in properties.items() if "_DATA_WIDTH" in key and "MAXI" not in key]
    assert widths == [str(config.axi_data_bits)]
    assert [float(v) for k, v in properties.items() if "FREQMHZ" in k and "CRYSTAL" not in k] == [100.0]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("accelerator/rst]\n", "accelerator/clk]\n"), "accelerator/clk is driven by ps/FCLK_CLK0 already"),
        (("connect_bd_net [get_bd_pins accelerator/irq] [get_bd_pins ps/IRQ_F2P]\n", ""), "nothing drives ps/IRQ_F2P"),
        (("S_AXI_HP0_ACLK", "S_AXI_HP1_ACLK"), "no pin ps/S_AXI_HP1_ACLK"),
        (("-range 0x1000", "-range 0x400"), "no region: 0x43c00000, 0x400"),
        (("PCW_USE_S_AXI_HP0", "PCW_USE_S_AXI_HPO"), "ps has no property CONFIG.PCW_USE_S_AXI_HPO"),
    ],
)
def test_mistakes_are_seen(change, error, tmp_path):
    board = BOARDS["pynq-z2"]
    text = block_design_tcl(board, small_config(board), 100.0)
    assert change[0] in text
    made, errors = design(board, tmp_path, text.replace(*change))
    assert "validated" not in made
    assert error in errors
