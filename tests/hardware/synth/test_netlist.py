"""Area, depth and DSP registers from netlists of a few cells."""

import pytest
from weft_hardware.synth.families import ECP5, XC7, Usage
from weft_hardware.synth.netlist import dsp_registers, logic_depth, module_usage, usage_by_name


def cell(kind, inputs, outputs, **parameters):
    """A cell as in yosys's JSON; ports by name, each a list of bits."""
    return {
        "type": kind,
        "parameters": parameters,
        "port_directions": {**dict.fromkeys(inputs, "input"), **dict.fromkeys(outputs, "output")},
        "connections": {**inputs, **outputs},
    }


def test_area_by_module():
    statistics = {
        "modules": {
            "\\top": {"num_cells_by_type": {"LUT2": 3, "top.a": 1, "top.b$7": 1}},
            "\\top.a": {"num_cells_by_type": {"FDRE": 5, "RAMB18E1": 1, "top.a.c": 1}},
            "\\top.a.c": {"num_cells_by_type": {"DSP48E1": 2, "MUXF7": 9}},
            "\\top.b$7": {"num_cells_by_type": {"RAM32M": 2}},
        }
    }
    top = module_usage(statistics, "top", XC7)
    assert top.total == Usage(luts=11, lutram=8, ffs=5, dsps=2, brams=0.5)
    assert [(depth, module.name) for depth, module in top.walk()] == [(0, "top"), (1, "a"), (2, "c"), (1, "b")]
    assert top.parts[0].total == Usage(ffs=5, dsps=2, brams=0.5)


def test_area_by_name():
    cells = {
        name: {"type": kind}
        for name, kind in {
            "whole_LUT4_Z": "LUT4",
            "chip.sum_LUT4_Z": "LUT4",
            "chip.part.state_TRELLIS_FF_Q": "TRELLIS_FF",
            "chip.part.memory.word.0": "DP16KD",
            "chip.other.x_CCU2C_S0": "CCU2C",
        }.items()
    }
    top = usage_by_name(cells, {"chip", "chip.part", "chip.other"}, "chip", ECP5)
    assert top.total == Usage(luts=3, ffs=1, brams=1)
    assert {part.name: part.total for part in top.parts} == {
        "other": Usage(luts=2),
        "part": Usage(ffs=1, brams=1),
    }


def test_depth_counts_luts_and_a_carry_chain_once():
    cells = {
        "a.x": cell("LUT2", {"I0": [1], "I1": [2]}, {"O": [10]}),
        "$flatten\\a.$auto$alumacc.cc:240:synth$7.slice[0].low": cell(
            "CARRY4", {"S": [10, 2, 2, 2], "CI": ["0"]}, {"CO": [20, 21, 22, 23], "O": [24, 25, 26, 27]}
        ),
        "a.high": cell("CARRY4", {"S": [2, 2, 2, 2], "CI": [23]}, {"CO": [30, 31, 32, 33], "O": [34, 35, 36, 37]}),
        "b.y": cell("LUT1", {"I0": [37]}, {"O": [40]}),
        "b.q": cell("FDRE", {"D": [40], "C": [3]}, {"Q": [50]}),
        "b.z": cell("LUT1", {"I0": [50]}, {"O": [60]}),
    }
    depth = logic_depth(cells)
    assert depth.levels == 3
    assert depth.path == ("a LUT2", "a CARRY4", "a CARRY4", "b LUT1")


@pytest.mark.parametrize(
    ("parameters", "levels"),
    [
        ({}, 3),
        ({"AREG": "1", "BREG": "1"}, 2),
        ({"MREG": "1"}, 2),
        ({"PREG": "1"}, 1),
    ],
)
def test_depth_sees_the_registers_of_a_dsp(parameters, levels):
    cells = {
        "x": cell("LUT1", {"I0": [1]}, {"O": [10]}),
        "dsp": cell("DSP48E1", {"A": [10], "B": [10], "C": ["0"]}, {"P": [20]}, **parameters),
        "y": cell("LUT1", {"I0": [20]}, {"O": [30]}),
    }
    assert logic_depth(cells).levels == levels


def test_depth_counts_additions_in_a_cascade_of_dsp_blocks():
    registers = {"MREG": "1"}
    cells = {
        "d0": cell("DSP48E1", {"A": [1]}, {"P": [10], "PCOUT": [11]}, **registers),
        "d1": cell("DSP48E1", {"A": [2], "PCIN": [11]}, {"P": [20], "PCOUT": [21]}, **registers),
        "d2": cell("DSP48E1", {"A": [3], "PCIN": [21]}, {"P": [30], "PCOUT": []}, **registers),
        "y": cell("LUT1", {"I0": [30]}, {"O": [40]}),
    }
    assert logic_depth(cells).levels == 4


def test_a_memory_of_luts_is_read_within_the_cycle():
    cells = {
        "x": cell("LUT1", {"I0": [1]}, {"O": [10]}),
        "ram": cell("RAM32M", {"ADDRA": [10], "DIA": [11], "WE": [12]}, {"DOA": [20]}),
        "y": cell("LUT1", {"I0": [20]}, {"O": [11]}),
    }
    assert logic_depth(cells).levels == 3


def test_a_loop_is_an_error():
    cells = {
        "x": cell("LUT1", {"I0": [2]}, {"O": [1]}),
        "y": cell("LUT1", {"I0": [1]}, {"O": [2]}),
    }
    with pytest.raises(ValueError, match=r"^combinational loop through x$"):
        logic_depth(cells)


def test_no_logic_has_no_depth():
    assert logic_depth({}).levels == 0
    assert logic_depth({}).path == ()


def test_dsp_registers():
    blocks = [
        {"AREG": "1", "BREG": "1", "MREG": "1"},
        {"DREG": "1", "BREG": "1", "PREG": "1"},
        {"BREG": "1", "MREG": "1"},
        {},
    ]
    cells = {f"d{n}": cell("DSP48E1", {}, {}, **registers) for n, registers in enumerate(blocks)}
    registers = dsp_registers({**cells, "x": cell("LUT1", {}, {})})
    assert (registers.blocks, registers.operands, registers.products) == (4, 2, 3)
