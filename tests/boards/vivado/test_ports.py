"""Reading the ports of yosys's Verilog."""

import pytest
from weft_boards.vivado.ports import Port, module_ports

TEXT = """\
module other(x);
  input x;
endmodule

module top(clk, a,
  b);
  input clk;
  wire clk;
  input [7:0] a;
  wire [7:0] a;
  output b;
  reg [3:0] c;
endmodule
"""


def test_ports():
    assert module_ports(TEXT, "top") == [Port("clk", "input", 1), Port("a", "input", 8), Port("b", "output", 1)]


def test_a_module_that_is_not_there():
    with pytest.raises(ValueError, match=r"^the Verilog declares no module 'bottom'$"):
        module_ports(TEXT, "bottom")


def test_a_port_without_declaration():
    with pytest.raises(ValueError, match=r"^the Verilog's module 'top' does not declare what its header names: b$"):
        module_ports(TEXT.replace("  output b;\n", ""), "top")
