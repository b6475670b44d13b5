"""How a block design uses the two kinds of processor: names of pins, properties and address segments.

Source
------
AMD PG082 (Processing System 7), PG201 (Zynq UltraScale+ MPSoC Processing System), UG585 and UG1085 for the ports behind
them: S_AXI_HP0_FPD is the IP's slave GP2, M_AXI_HPM0_FPD its master GP0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft_hardware.config import AcceleratorConfig

from ..board import Board, Kind


@dataclass(frozen=True)
class Processor:
    """One kind.

    Parameters
    ----------
    vlnv, rule : str
        The IP, and the automation that applies a board's files to it.
    automation : str
        What that one is told beside ``apply_board_preset``.
    properties : dict
        Of the cell, without ``CONFIG.``.
    clock, reset, interrupt : str
        Pins: the clock and the reset (active low) that it gives, the interrupt that it takes.
    clocked : tuple of str
        Its pins that need the clock of the ports they belong to.
    control, memory : str
        Interface pins: the manager that reaches registers, the subordinate that reaches memory.
    control_space : str
        The address space of the processors.
    memory_segments : tuple of str
        What the memory port offers, by the names of `Board.memories`' order.
    """

    vlnv: str
    rule: str
    automation: str
    properties: Mapping[str, str]
    clock: str
    reset: str
    interrupt: str
    clocked: tuple[str, ...]
    control: str
    memory: str
    control_space: str
    memory_segments: tuple[str, ...]


def processor_of(board: Board, config: AcceleratorConfig, clock_mhz: float) -> Processor:
    """The processor of a board, set up for an accelerator.

    Parameters
    ----------
    clock_mhz : float
        What is asked of its clock generator.
    """
    assert board.kind in (Kind.ZYNQ_7000, Kind.ZYNQ_MP), board.kind
    return (_zynq_7000 if board.kind is Kind.ZYNQ_7000 else _zynq_mp)(board, config, clock_mhz)


def _zynq_7000(board: Board, config: AcceleratorConfig, clock_mhz: float) -> Processor:
    return Processor(
        vlnv="xilinx.com:ip:processing_system7:5.5",
        rule="xilinx.com:bd_rule:processing_system7",
        automation='make_external "FIXED_IO, DDR" Master "Disable" Slave "Disable"',
        properties={
            # Both boards; the divisors in the hardware handoff follow from it.
            "PCW_CRYSTAL_PERIPHERAL_FREQMHZ": "50.000000",
            "PCW_USE_M_AXI_GP0": "1",
            "PCW_USE_S_AXI_HP0": "1",
            "PCW_S_AXI_HP0_DATA_WIDTH": str(config.axi_data_bits),
            "PCW_EN_CLK0_PORT": "1",
            "PCW_EN_RST0_PORT": "1",
            "PCW_FPGA0_PERIPHERAL_FREQMHZ": f"{clock_mhz:.6f}",
            "PCW_USE_FABRIC_INTERRUPT": "1",
            "PCW_IRQ_F2P_INTR": "1",
        },
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        interrupt="IRQ_F2P",
        clocked=("M_AXI_GP0_ACLK", "S_AXI_HP0_ACLK"),
        control="M_AXI_GP0",
        memory="S_AXI_HP0",
        control_space="Data",
        memory_segments=("S_AXI_HP0/HP0_DDR_LOWOCM",),
    )


def _zynq_mp(board: Board, config: AcceleratorConfig, clock_mhz: float) -> Processor:
    segments = ("SAXIGP2/HP0_DDR_LOW", "SAXIGP2/HP0_DDR_HIGH")
    return Processor(
        vlnv="xilinx.com:ip:zynq_ultra_ps_e:3.*",
        rule="xilinx.com:bd_rule:zynq_ultra_ps_e",
        automation="",
        properties={
            "PSU__USE__M_AXI_GP0": "1",
            "PSU__USE__M_AXI_GP1": "0",
            "PSU__USE__M_AXI_GP2": "0",
            "PSU__MAXIGP0__DATA_WIDTH": "32",
            "PSU__USE__S_AXI_GP2": "1",
            "PSU__SAXIGP2__DATA_WIDTH": str(config.axi_data_bits),
            "PSU__FPGA_PL0_ENABLE": "1",
            "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": f"{clock_mhz:.6f}",
            "PSU__USE__IRQ0": "1",
        },
        clock="pl_clk0",
        reset="pl_resetn0",
        interrupt="pl_ps_irq0",
        clocked=("maxihpm0_fpd_aclk", "saxihp0_fpd_aclk"),
        control="M_AXI_HPM0_FPD",
        memory="S_AXI_HP0_FPD",
        control_space="Data",
        memory_segments=segments[: len(board.reachable(config))],
    )
