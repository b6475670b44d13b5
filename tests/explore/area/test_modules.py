"""An accelerator's RTLIL taken apart."""

from __future__ import annotations

import re

import pytest
from weft_explore.area.modules import rtlil, split

DESIGN = r"""attribute \top 1
module \top
  wire width 2 input 0 \x
  wire width 2 output 1 \y
  wire width 2 \port$17$0
  cell \top.inner$5 \first$5
    connect \port$31$0 \x
    connect \y \port$17$0
  end
  cell \top.inner$6 \second
    connect \port$32$0 \port$17$0
    connect \y \y
  end
end
module \top.inner$5
  wire width 2 input 0 \port$31$0
  wire width 2 output 1 \y
  connect \y \port$31$0
end
module \top.inner$6
  wire width 2 input 0 \port$32$0
  wire width 2 output 1 \y
  connect \y \port$32$0
end
"""


def test_equal_modules_have_one_name_whatever_the_numbers_of_their_wires() -> None:
    modules = split(DESIGN, "top")
    inner = modules["first"], modules["second"]
    assert inner[0] == inner[1]
    assert set(modules) == {"", "first", "second"}


def test_a_module_is_left_with_the_ports_of_those_below() -> None:
    top = split(DESIGN, "top")[""]
    ((shell, ports),) = top.shells.items()
    assert ports == "  wire width 2 input 0 \\port$0$0\n  wire width 2 output 1 \\y\n"
    assert re.findall(r"cell \\(\S+)", top.body) == [shell, shell]
    assert re.findall(r"connect (\S+)", top.body) == [r"\port$0$0", r"\y"] * 2


def test_modules_side_by_side_are_kept() -> None:
    modules = split(DESIGN, "top")
    text = rtlil({module.digest: module for module in modules.values()}, "parts")
    assert text.count("attribute \\keep 1") == len({module.digest for module in modules.values()})
    assert text.count("attribute \\blackbox 1") == 1


@pytest.mark.rtl
def test_a_part_of_an_accelerator_that_many_designs_share() -> None:
    from weft_hardware.presets import PRESETS
    from weft_hardware.rtl.verilog import TOP, rtlil_text

    plain, packed = (split(rtlil_text(PRESETS["tiny4"], packed), TOP) for packed in (False, True))
    changed = [path for path in plain if plain[path].digest != packed[path].digest]
    assert changed == ["compute.datapath.macs"]
