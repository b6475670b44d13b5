"""The order of the passes, written once, and how they run."""

from __future__ import annotations

from collections.abc import Callable

from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.transforms.dead_code_elimination import DeadCodeElimination

from .passes.cancel_layout import CancelLayout
from .passes.common_subexpressions import CommonSubexpressions
from .passes.fold_batch_norm import FoldBatchNorm
from .passes.fold_constants import FoldConstants
from .passes.fuse_bias import FuseBias
from .passes.fuse_clamp import FuseClamp
from .passes.inline import Inline
from .passes.pack_layout import PackLayout
from .passes.place import Place
from .passes.plan_memory import PlanMemory
from .passes.quantise import Quantise
from .passes.quantise_operators import QuantiseOperators
from .passes.sink_dequantize import SinkDequantize
from .passes.tabulate import Tabulate

Observer = Callable[[str, ModuleOp], None]
"""Called with a pass's name and the module after it."""


def passes_for(config: AcceleratorConfig) -> tuple[ModulePass, ...]:
    """Every pass, in order."""
    return (
        Inline(),
        SinkDequantize(),
        CommonSubexpressions(),
        FoldConstants(),
        FoldBatchNorm(),
        FuseBias(),
        Quantise(),
        QuantiseOperators(),
        Tabulate(),
        FuseClamp(),
        Place(config),
        PackLayout(config),
        CancelLayout(),
        DeadCodeElimination(),
        PlanMemory(config),
    )


def run_passes(module: ModuleOp, config: AcceleratorConfig, observer: Observer | None = None) -> None:
    """Run the pipeline in place; the IR is verified at every boundary."""
    context = Context()
    module.verify()
    for step in passes_for(config):
        step.apply(context, module)
        module.verify()
        if observer:
            observer(step.name, module)
