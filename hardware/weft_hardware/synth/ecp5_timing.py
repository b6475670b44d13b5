"""Delays of ECP5's multipliers and block RAMs, which yosys does not know.

Its mapper takes their outputs to be there at once, and puts them where a path is longest, behind several levels of
logic. Where these definitions are read over yosys's own it gets them close to the register. The delays are those that
nextpnr-ecp5 works with at speed grade 6; what counts is their relation to `WIRE_PS`.
"""

from __future__ import annotations

MULTIPLIER_PS = 3_900
BLOCK_RAM_PS = 5_730

WIRE_PS = 1_000
"""What a wire between two look-up tables takes, on the average of a placed accelerator; yosys's own default is 300, and
makes paths of many levels look shorter than they get."""


def _bits(name: str, count: int) -> list[str]:
    return [f"{name}{k}" for k in range(count)]


_SETTINGS = ("ASYNC_RESET_RELEASE", "GSR", "RESETMODE")
_SIDE_SETTINGS = ("CLK{}MUX", "CSDECODE_{}", "DATA_WIDTH_{}", "REGMODE_{}", "WRITEMODE_{}")
_BLOCK_RAM_SETTINGS = [
    *_SETTINGS,
    *(name.format(side) for name in _SIDE_SETTINGS for side in "AB"),
    *(f"INITVAL_{row:02X}" for row in range(64)),
]


def _module(
    attributes: str, name: str, settings: list[str], inputs: list[str], outputs: list[str], arcs: list[str]
) -> str:
    ports = [*(f"input {port}" for port in inputs), *(f"output {port}" for port in outputs)]
    parameters = " ".join(f"parameter {setting} = 0;" for setting in settings)
    return (
        f"(* {attributes} *)\nmodule {name}(\n  {', '.join(ports)});\n  {parameters}\n"
        f"  specify\n    {' '.join(arcs)}\n  endspecify\nendmodule\n"
    )


def verilog() -> str:
    """Definitions of MULT18X18D and DP16KD, as far as synthesis connects them."""
    factors, products = _bits("A", 18) + _bits("B", 18), _bits("P", 36)
    settings = [*_bits("C", 18), "SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB"]
    delays = [(port, MULTIPLIER_PS) for port in factors] + [(port, 0) for port in settings]
    arcs = [f"({port} => {product}) = {delay};" for product in products for port, delay in delays]
    multiplier = _module("abc9_box, blackbox", "MULT18X18D", [], factors + settings, products, arcs)

    inputs, outputs, arcs = [], [], []
    for side in "AB":
        inputs += [*_bits(f"DI{side}", 18), *_bits(f"AD{side}", 14), *_bits(f"CS{side}", 3)]
        inputs += [f"{name}{side}" for name in ("CE", "OCE", "CLK", "WE", "RST")]
        words = _bits(f"DO{side}", 18)
        outputs += words
        arcs += [f"(posedge CLK{side} => ({bit} : 1'bx)) = {BLOCK_RAM_PS};" for bit in words]
    return multiplier + _module("blackbox", "DP16KD", _BLOCK_RAM_SETTINGS, inputs, outputs, arcs)
