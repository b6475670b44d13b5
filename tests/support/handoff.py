"""A hardware handoff (.hwh) and a bitstream file for the board that the RTL stands in for.

The handoff is what Vivado writes beside a bitstream, as far as pynq reads it: modules with their parameters, ports and
interfaces, the registers of component.xml, address ranges, and who is connected with whom. It is made from the block
design that the generated Tcl makes in a Tcl interpreter, and from the generated component.xml.
"""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from support.tcl import run_tcl
from weft_boards.board import Kind
from weft_boards.vivado.component import SPIRIT
from weft_boards.vivado.project import Project

NAMES = {"s": SPIRIT}

CLOCKS = {
    Kind.ZYNQ_7000: ("PCW_FCLK{}_PERIPHERAL_DIVISOR{}", "PCW_FPGA_FCLK{}_ENABLE", "PCW_FCLK{}_PERIPHERAL_CLKSRC"),
    Kind.ZYNQ_MP: (
        "PSU__CRL_APB__PL{}_REF_CTRL__DIVISOR{}",
        "PSU__FPGA_PL{}_ENABLE",
        "PSU__CRL_APB__PL{}_REF_CTRL__SRCSEL",
    ),
}
FREQUENCIES = {
    Kind.ZYNQ_7000: "PCW_ACT_FPGA{}_PERIPHERAL_FREQMHZ",
    Kind.ZYNQ_MP: "PSU__CRL_APB__PL{}_REF_CTRL__ACT_FREQMHZ",
}


def _design(project: Project, directory: Path) -> dict[str, list[list[str]]]:
    """What the block design's Tcl makes, by kind of line."""
    done = run_tcl(f"set board_files 0\n{project.files['block_design.tcl']}\ndump", directory)
    assert done.returncode == 0, done.stderr
    made: dict[str, list[list[str]]] = {}
    for line in done.stdout.splitlines():
        kind, *values = line.split("\t")
        made.setdefault(kind, []).append(values)
    return made


def _parameters(values: dict[str, str]) -> str:
    rows = "".join(f"<PARAMETER NAME={quoteattr(k)} VALUE={quoteattr(v)}/>" for k, v in values.items())
    return f"<PARAMETERS>{rows}</PARAMETERS>"


def _registers(component: ElementTree.Element) -> str:
    rows = []
    for entry in component.iterfind(".//s:register", NAMES):
        text = {
            tag: entry.findtext(f"s:{tag}", "", NAMES) for tag in ("name", "description", "addressOffset", "access")
        }
        properties = {
            "DESCRIPTION": text["description"],
            "ADDRESS_OFFSET": text["addressOffset"].lower(),
            "SIZE": "32",
            "ACCESS": text["access"],
            "IS_ENABLED": "true",
            "RESET_VALUE": "0x0",
        }
        rows.append(f"<REGISTER NAME={quoteattr(text['name'])}>")
        rows += [f"<PROPERTY NAME={quoteattr(k)} VALUE={quoteattr(v)}/>" for k, v in properties.items()]
        rows.append("<FIELDS/></REGISTER>")
    block = '<ADDRESSBLOCK ACCESS="" INTERFACE="host" NAME="registers" RANGE="4096" USAGE="register">'
    return f"<ADDRESSBLOCKS>{block}<REGISTERS>{''.join(rows)}</REGISTERS></ADDRESSBLOCK></ADDRESSBLOCKS>"


def _interface(name: str, kind: str, physical: dict[str, str]) -> str:
    maps = "".join(f"<PORTMAP LOGICAL={quoteattr(a)} PHYSICAL={quoteattr(b)}/>" for a, b in physical.items())
    vlnv = "xilinx.com:interface:aximm:1.0"
    return f'<BUSINTERFACE NAME="{name}" TYPE="{kind}" VLNV="{vlnv}"><PORTMAPS>{maps}</PORTMAPS></BUSINTERFACE>'


def _clock_parameters(project: Project) -> dict[str, str]:
    """What Vivado adds to the processor's: the divisors that make the clock, and the other three clocks, off."""
    board = project.board
    _, divisors = board.clock.nearest(project.clock_mhz)
    divisor, enable, source = CLOCKS[board.kind]
    values = {}
    for clock in range(4):
        on = clock == 0
        values[enable.format(clock)] = str(int(on))
        values[source.format(clock)] = "IO PLL" if board.kind is Kind.ZYNQ_7000 else "IOPLL"
        values[FREQUENCIES[board.kind].format(clock)] = f"{project.clock_mhz if on else 10.0:.6f}"
        for k in range(2):
            values[divisor.format(clock, k)] = str(divisors[k] if on else 1)
    return values


def handoff(project: Project, directory: Path) -> str:
    """The .hwh of a project."""
    made = _design(project, directory)
    component = ElementTree.fromstring(project.files["ip/component.xml"])
    kinds = dict(made["cell"])
    processor, accelerator = kinds["ps"], kinds["accelerator"]
    properties = {key: value for cell, key, value in made["property"] if cell == "ps"} | _clock_parameters(project)
    net = "accelerator_irq"
    interrupt = next(taker for driver, taker in made["net"] if driver == "accelerator/irq").partition("/")[2]
    ranges, memory_ranges = [], []
    for space, segment, offset, size in made["address"]:
        begin, end = int(offset, 16), int(offset, 16) + int(size, 16) - 1
        values = f'BASEVALUE="0x{begin:08X}" HIGHVALUE="0x{end:08X}" IS_DATA="TRUE" IS_INSTRUCTION="TRUE"'
        instance, _, block = segment.partition("/")
        if space.startswith("ps/"):
            master = next(a for a, b in made["bus"] if b == "control/S00_AXI").partition("/")[2]
            ranges.append(
                f'<MEMRANGE ADDRESSBLOCK="registers" INSTANCE="{instance}" {values} MASTERBUSINTERFACE="{master}" '
                f'MEMTYPE="REGISTER" SLAVEBUSINTERFACE="{block.partition("/")[0]}"/>'
            )
        else:
            port = next(b for a, b in made["bus"] if a == "memory/M00_AXI").partition("/")[2]
            memory_ranges.append(
                f'<MEMRANGE ADDRESSBLOCK="{block.rpartition("/")[2]}" INSTANCE="{instance}" {values} '
                f'MASTERBUSINTERFACE="mem" MEMTYPE="MEMORY" SLAVEBUSINTERFACE="{port}"/>'
            )
    name, version = processor.split(":")[2], processor.split(":")[3].replace("*", "3")
    managers = [a.partition("/")[2] for a, b in made["bus"] if a.startswith("ps/")]
    subordinates = [b.partition("/")[2] for a, b in made["bus"] if b.startswith("ps/")]
    ports = f'<PORT DIR="I" NAME="{interrupt}" LEFT="0" RIGHT="0" SIGIS="INTERRUPT" SIGNAME="{net}">'
    ports += '<CONNECTIONS><CONNECTION INSTANCE="accelerator" PORT="irq"/></CONNECTIONS></PORT>'
    ps_module = (
        f'<MODULE FULLNAME="/ps" INSTANCE="ps" IPTYPE="PERIPHERAL" IS_ENABLE="1" IS_PL="FALSE" MODTYPE="{name}" '
        f'VLNV="xilinx.com:ip:{name}:{version}">{_parameters(properties)}<PORTS>{ports}</PORTS><BUSINTERFACES>'
        + "".join(_interface(manager, "MASTER", {}) for manager in managers)
        + "".join(_interface(subordinate, "SLAVE", {}) for subordinate in subordinates)
        + f"</BUSINTERFACES><MEMORYMAP>{''.join(ranges)}</MEMORYMAP></MODULE>"
    )
    irq = f'<PORT DIR="O" NAME="irq" SIGIS="INTERRUPT" SIGNAME="{net}" SENSITIVITY="LEVEL_HIGH">'
    irq += f'<CONNECTIONS><CONNECTION INSTANCE="ps" PORT="{interrupt}"/></CONNECTIONS></PORT>'
    ip_module = (
        f'<MODULE FULLNAME="/accelerator" INSTANCE="accelerator" IPTYPE="PERIPHERAL" IS_ENABLE="1" '
        f'MODCLASS="PERIPHERAL" MODTYPE="{accelerator.split(":")[2]}" VLNV="{accelerator}">{_registers(component)}'
        f"{_parameters({'Component_Name': 'weft_accelerator_0'})}<PORTS>{irq}</PORTS><BUSINTERFACES>"
        f"{_interface('host', 'SLAVE', {})}{_interface('mem', 'MASTER', {})}</BUSINTERFACES>"
        f"<MEMORYMAP>{''.join(memory_ranges)}</MEMORYMAP></MODULE>"
    )
    family = "zynq" if project.board.kind is Kind.ZYNQ_7000 else "zynquplus"
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n<EDKSYSTEM EDWVERSION="1.2" VIVADOVERSION="2022.1">'
        f'<SYSTEMINFO ARCH="{family}" DEVICE="{project.board.device}" NAME="weft"/><EXTERNALPORTS/>'
        f"<EXTERNALINTERFACES/><MODULES>{ps_module}{ip_module}</MODULES></EDKSYSTEM>\n"
    )


def bit_file(design: str, part: str, data: bytes) -> bytes:
    """A .bit: the header that Vivado writes, and data, padded to words."""
    data += b" " * (-len(data) % 4)
    out = struct.pack(">h", 9) + bytes.fromhex("0ff00ff00ff00ff000") + struct.pack(">h", 1)
    fields = (
        (b"a", f"{design};UserID=0XFFFFFFFF;Version=2022.1"),
        (b"b", part),
        (b"c", "2026/11/21"),
        (b"d", "12:00:00"),
    )
    for key, text in fields:
        value = text.encode() + b"\0"
        out += key + struct.pack(">h", len(value)) + value
    return out + b"e" + struct.pack(">i", len(data)) + data


def build_for_tests(project: Project, directory: Path) -> Path:
    """The .bit and .hwh that a board made of RTL loads: the bitstream's data is the configuration."""
    bitstream = directory / "weft.bit"
    bitstream.write_bytes(bit_file("weft_wrapper", project.board.device, project.files["config.toml"].encode()))
    bitstream.with_suffix(".hwh").write_text(handoff(project, directory))
    return bitstream
