"""Every distinct layer of ResNet-18 alone, fill and drain included, with the compiler's own schedule.

The vta preset, AXI 64 bits, read latency 50; cycles of tsim, which the timing model's are. *Products* are the dense
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

import weft

from .tuning_space import LATENCY


def measure() -> dict[str, str]:
    """Each layer's cycles, and what they are measured against."""
    figures: dict[str, str] = {}
    with weft.open_device("tsim", VTA, memory=LATENCY) as device:
        for activations in ("int8", "uint8"):
            model = network("resnet18", activations=activations, bytes_in=True)
            tasks = {layer.task: layer.name for layer in reversed(layers_of(model, VTA, CompileOptions()))}
            for task, name in reversed(tasks.items()):
                cycles = _cycles(ConvProblem(task, VTA, device=device))
                predicted = _cycles(ConvProblem(task, VTA, LATENCY))
                if cycles != predicted:
                    raise AssertionError(f"{name}: {cycles} cycles on tsim, {predicted} of the timing model")
                products, reads, results = needs(task, VTA)
                share = 100 * max(products, reads, results) / cycles
                roofs = f"products {products:,.0f}, reads {reads:,.0f}, results {results:,.0f}"
                figures[f"{activations}: {name}, {shape_of(task)}"] = (
                    f"{cycles:,} cycles; {roofs}: {share:.1f} % of the roof"
                )
    return figures


def _cycles(problem: ConvProblem) -> int:
    (cycles,) = problem.measure([problem.default])
    if not isinstance(cycles, int):
        raise AssertionError(cycles)
    return cycles
