"""``component.xml``: the accelerator as a packaged IP, so that a block design can use it.

Source
------
IEEE 1685-2009 (IP-XACT); AMD UG1118 (packaging IP), the AXI, clock, reset and interrupt interfaces' parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from weft_hardware.config import AcceleratorConfig
from weft_hardware.registers import REGISTERS, Access

from .ports import Port

SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
XILINX = "http://www.xilinx.com"

VENDOR, LIBRARY, NAME, VERSION = "weft", "accelerators", "weft_accelerator", "1.0"
VLNV = f"{VENDOR}:{LIBRARY}:{NAME}:{VERSION}"

CONTROL, MEMORY, CLOCK, RESET, INTERRUPT = "host", "mem", "clk", "rst", "irq"
"""Names of the bus interfaces."""

REGISTER_RANGE = 4096
"""Bytes of address that the registers take: the least that an interconnect decodes."""

SOURCE = "src/weft_accelerator.v"
CONSTRAINTS = "weft_accelerator_ooc.xdc"

_ACCESS = {
    Access.READ: "read-only",
    Access.WRITE: "read-write",
    Access.CLEAR: "read-write",
    Access.LATCH: "read-only",
}


def component_xml(ports: Sequence[Port], config: AcceleratorConfig) -> str:
    """The whole file.

    Parameters
    ----------
    ports : sequence of Port
        Those of the top module.
    config : AcceleratorConfig
    """
    root = ElementTree.Element("spirit:component", {"xmlns:spirit": SPIRIT, "xmlns:xilinx": XILINX})
    _texts(root, vendor=VENDOR, library=LIBRARY, name=NAME, version=VERSION)
    interfaces = _sub(root, "busInterfaces")
    _bus(interfaces, CONTROL, "aximm", ports, master=False, parameters=_control_parameters(config))
    _bus(interfaces, MEMORY, "aximm", ports, master=True, parameters=_memory_parameters(config))
    associated = {"ASSOCIATED_BUSIF": f"{CONTROL}:{MEMORY}", "ASSOCIATED_RESET": RESET}
    _wire(interfaces, CLOCK, "clock", "CLK", associated, master=False)
    _wire(interfaces, RESET, "reset", "RST", {"POLARITY": "ACTIVE_HIGH"}, master=False)
    _wire(interfaces, INTERRUPT, "interrupt", "INTERRUPT", {"SENSITIVITY": "LEVEL_HIGH"}, master=True)
    space = _sub(_sub(root, "addressSpaces"), "addressSpace")
    _texts(space, name=MEMORY, range=str(1 << config.axi_addr_bits), width=str(config.axi_data_bits))
    _memory_map(_sub(_sub(root, "memoryMaps"), "memoryMap"))
    model = _sub(root, "model")
    _views(_sub(model, "views"))
    listed = _sub(model, "ports")
    for port in ports:
        _port(listed, port)
    _file_sets(_sub(root, "fileSets"))
    _sub(root, "description").text = "Weft, an open tensor accelerator; configuration " + config.digest[:16]
    parameter = _sub(_sub(root, "parameters"), "parameter")
    _sub(parameter, "name").text = "Component_Name"
    value = _sub(parameter, "value")
    value.text = f"{NAME}_v1_0"
    _attributes(value, resolve="user", id="PARAM_VALUE.Component_Name", order="1")
    _vendor_extensions(_sub(root, "vendorExtensions"))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _control_parameters(config: AcceleratorConfig) -> dict[str, str]:
    return {"PROTOCOL": "AXI4LITE", "DATA_WIDTH": "32"}


def _memory_parameters(config: AcceleratorConfig) -> dict[str, str]:
    return {
        "PROTOCOL": "AXI4",
        "DATA_WIDTH": str(config.axi_data_bits),
        "ADDR_WIDTH": str(config.axi_addr_bits),
        "MAX_BURST_LENGTH": str(config.max_burst),
        "NUM_READ_OUTSTANDING": str(config.reads_in_flight),
        "NUM_WRITE_OUTSTANDING": str(config.writes_in_flight),
        "SUPPORTS_NARROW_BURST": "0",
    }


def _sub(parent: ElementTree.Element, tag: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, f"spirit:{tag}")


def _texts(parent: ElementTree.Element, **children: str) -> None:
    for tag, text in children.items():
        _sub(parent, tag).text = text


def _attributes(element: ElementTree.Element, **attributes: str) -> None:
    for name, value in attributes.items():
        element.set(f"spirit:{name}", value)


def _reference(parent: ElementTree.Element, tag: str, library: str, name: str) -> None:
    vlnv = {"vendor": "xilinx.com", "library": library, "name": name, "version": "1.0"}
    _attributes(_sub(parent, tag), **vlnv)


def _port_map(parent: ElementTree.Element, logical: str, physical: str) -> None:
    entry = _sub(parent, "portMap")
    _texts(_sub(entry, "logicalPort"), name=logical)
    _texts(_sub(entry, "physicalPort"), name=physical)


def _bus(
    parent: ElementTree.Element,
    name: str,
    kind: str,
    ports: Sequence[Port],
    *,
    master: bool,
    parameters: Mapping[str, str],
) -> None:
    """An AXI interface: every port with its prefix, by AXI's own name."""
    interface = _sub(parent, "busInterface")
    _texts(interface, name=name)
    _reference(interface, "busType", "interface", kind)
    _reference(interface, "abstractionType", "interface", f"{kind}_rtl")
    if master:
        _attributes(_sub(_sub(interface, "master"), "addressSpaceRef"), addressSpaceRef=name)
    else:
        _attributes(_sub(_sub(interface, "slave"), "memoryMapRef"), memoryMapRef=name)
    maps = _sub(interface, "portMaps")
    for port in ports:
        prefix, _, signal = port.name.partition("__")
        if prefix == name:
            _port_map(maps, signal.upper(), port.name)
    _parameters(interface, name, parameters)


def _wire(
    parent: ElementTree.Element, name: str, kind: str, logical: str, parameters: Mapping[str, str], *, master: bool
) -> None:
    """An interface of one port that has its name."""
    interface = _sub(parent, "busInterface")
    _texts(interface, name=name)
    _reference(interface, "busType", "signal", kind)
    _reference(interface, "abstractionType", "signal", f"{kind}_rtl")
    _sub(interface, "master" if master else "slave")
    _port_map(_sub(interface, "portMaps"), logical, name)
    _parameters(interface, name, parameters)


def _parameters(interface: ElementTree.Element, name: str, parameters: Mapping[str, str]) -> None:
    listed = _sub(interface, "parameters")
    for key, text in parameters.items():
        parameter = _sub(listed, "parameter")
        _texts(parameter, name=key)
        value = _sub(parameter, "value")
        value.text = text
        _attributes(value, id=f"BUSIFPARAM_VALUE.{name.upper()}.{key}")


def _memory_map(memory_map: ElementTree.Element) -> None:
    _texts(memory_map, name=CONTROL)
    block = _sub(memory_map, "addressBlock")
    _texts(block, name="registers", baseAddress="0x0", range=str(REGISTER_RANGE), width="32", usage="register")
    for register in REGISTERS:
        entry = _sub(block, "register")
        _texts(
            entry,
            name=register.name,
            description=register.doc.replace("`", ""),
            addressOffset=f"0x{register.offset:X}",
            size="32",
            access=_ACCESS[register.access],
        )
        _texts(_sub(entry, "reset"), value="0x0")


def _views(views: ElementTree.Element) -> None:
    for name, purpose, file_set in (
        ("xilinx_anylanguagesynthesis", ":vivado.xilinx.com:synthesis", "synthesis"),
        ("xilinx_anylanguagebehavioralsimulation", ":vivado.xilinx.com:simulation", "simulation"),
    ):
        view = _sub(views, "view")
        _texts(view, name=name, displayName=file_set.capitalize(), envIdentifier=f"verilogSource{purpose}")
        _texts(view, language="Verilog", modelName=NAME)
        _texts(_sub(view, "fileSetRef"), localName=file_set)


def _port(parent: ElementTree.Element, port: Port) -> None:
    entry = _sub(parent, "port")
    _texts(entry, name=port.name)
    wire = _sub(entry, "wire")
    _texts(wire, direction="in" if port.is_input else "out")
    if port.width > 1:
        _texts(_sub(wire, "vector"), left=str(port.width - 1), right="0")
    definition = _sub(_sub(wire, "wireTypeDefs"), "wireTypeDef")
    _texts(definition, typeName="wire", viewNameRef="xilinx_anylanguagesynthesis")


def _file_sets(file_sets: ElementTree.Element) -> None:
    for name in ("synthesis", "simulation"):
        file_set = _sub(file_sets, "fileSet")
        _texts(file_set, name=name)
        source = _sub(file_set, "file")
        _texts(source, name=SOURCE, fileType="verilogSource")
        if name == "synthesis":
            constraints = _sub(file_set, "file")
            _texts(constraints, name=CONSTRAINTS, userFileType="xdc")
            _sub(constraints, "userFileType").text = "USED_IN_out_of_context"


def _vendor_extensions(extensions: ElementTree.Element) -> None:
    core = ElementTree.SubElement(extensions, "xilinx:coreExtensions")
    families = ElementTree.SubElement(core, "xilinx:supportedFamilies")
    for family in ("zynq", "zynquplus"):
        entry = ElementTree.SubElement(families, "xilinx:family", {"xilinx:lifeCycle": "Production"})
        entry.text = family
    ElementTree.SubElement(ElementTree.SubElement(core, "xilinx:taxonomies"), "xilinx:taxonomy").text = "/Weft"
    ElementTree.SubElement(core, "xilinx:displayName").text = "Weft accelerator"
    ElementTree.SubElement(core, "xilinx:coreRevision").text = "1"
