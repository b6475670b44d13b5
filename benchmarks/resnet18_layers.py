"""Every distinct layer of ResNet-18 alone, fill and drain included, with the compiler's own schedule.

The vta preset, AXI 64 bits, read latency 50; cycles of the timing model, exact against tsim. *Products* are the dense
MACs ÷ 256, less those with padding where it is zero; *reads* bring the pixels that are used and the weights once each,
8 bytes a cycle; *results* leave by the bus or by the epilogue, whichever takes longer, pixels' own parameters included.
The share is of the largest.
"""

from __future__ import annotations

from weft.zoo import network
from weft_compiler import CompileOptions
from weft_compiler.tiling_cost import needs
from weft_explore.tune.conv_problem import ConvProblem, shape_of
from weft_explore.tune.network import layers_of
from weft_hardware.presets import VTA

from .tuning_space import LATENCY


def measure() -> dict[str, str]:
    """Each layer's cycles, and what they are measured against."""
    figures: dict[str, str] = {}
    for activations in ("int8", "uint8"):
        tasks = set()
        for layer in layers_of(network("resnet18", activations=activations, bytes_in=True), VTA, CompileOptions()):
            if layer.task in tasks:
                continue
            tasks.add(layer.task)
            problem = ConvProblem(layer.task, VTA, LATENCY)
            (cycles,) = problem.measure([problem.default])
            products, reads, results = needs(layer.task, VTA)
            if not isinstance(cycles, int):
                raise AssertionError(cycles)
            share = 100 * max(products, reads, results) / cycles
            roofs = f"products {products:,.0f}, reads {reads:,.0f}, results {results:,.0f}"
            name = f"{activations}: {layer.name}, {shape_of(layer.task)}"
            figures[name] = f"{cycles:,} cycles; {roofs}: {share:.1f} % of the roof"
    return figures
