"""The order of the passes, written once, and how they run."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from weft_hardware.config import AcceleratorConfig
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from .errors import CompileError
from .passes.cancel_layout import CancelLayout
from .passes.common_subexpressions import CommonSubexpressions
from .passes.dead_code import DeadCode
from .passes.fold_batch_norm import FoldBatchNorm
from .passes.fold_constants import FoldConstants, FoldDequantized
from .passes.fuse_bias import FuseBias
from .passes.fuse_clamp import FuseClamp
from .passes.inline import Inline
from .passes.lower_accel import LowerAccel
from .passes.lower_host import LowerHost
from .passes.order_steps import OrderSteps
from .passes.outline_kernels import OutlineKernels
from .passes.pack_layout import PackLayout
from .passes.place import Place
from .passes.plan_memory import PlanMemory
from .passes.quantise import Quantise
from .passes.quantise_operators import QuantiseOperators
from .passes.sink_dequantize import SinkDequantize
from .passes.tabulate import Tabulate

Observer = Callable[[str, ModuleOp], None]
"""Called with a pass's name and the module after it."""


def network_passes() -> tuple[ModulePass, ...]:
    """The first passes, which look at the network alone."""
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
        FoldDequantized(),
    )


def accelerator_passes(config: AcceleratorConfig) -> tuple[ModulePass, ...]:
    """The passes after `network_passes`: what they do depends on the accelerator."""
    return (
        Place(config),
        PackLayout(config),
        CancelLayout(),
        DeadCode(),
        OrderSteps(),
        PlanMemory(config),
    )


def passes_for(config: AcceleratorConfig) -> tuple[ModulePass, ...]:
    """Every pass, in order."""
    return (*network_passes(), *accelerator_passes(config))


def extra_passes(config: AcceleratorConfig) -> tuple[ModulePass, ...]:
    """Passes that no compilation needs: they show a level, or make it possible to change it by hand."""
    return (OutlineKernels(config), LowerAccel(config), LowerHost(config))


def named_passes(names: Sequence[str], config: AcceleratorConfig) -> list[ModulePass]:
    """Passes by their names, in the order of the names.

    Raises
    ------
    CompileError
        If there is none of a name.
    """
    known = {step.name: step for step in (*passes_for(config), *extra_passes(config))}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise CompileError(f"pass {name!r} does not exist; choose among {', '.join(known)}{hint}")
    return [known[name] for name in names]


def run_passes(
    module: ModuleOp,
    config: AcceleratorConfig,
    observer: Observer | None = None,
    passes: Sequence[ModulePass] | None = None,
) -> None:
    """Run passes in place, the whole pipeline if none are given; the IR is verified at every boundary.

    Raises
    ------
    CompileError
        If a pass cannot be applied to what it finds.
    """
    context = Context()
    module.verify()
    for step in passes_for(config) if passes is None else passes:
        try:
            step.apply(context, module)
            module.verify()
        except (AssertionError, VerifyException) as error:
            if passes is None:
                raise
            reason = str(error).strip().split("\n")[0] or "what it needs is not there"
            raise CompileError(
                f"pass {step.name} cannot be applied here ({reason}); run those before it first, see weft opt --list"
            ) from None
        if observer:
            observer(step.name, module)
