"""Element types and shapes of the accelerator's tiles."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig

from ...errors import CompileError
from ...te.expr import DTYPES
from ...te.tensor import Tensor, placeholder

SCRATCHPADS = ("inp", "wgt", "acc")


def dtype(config: AcceleratorConfig, memory: str) -> str:
    """The numpy name of a memory's elements.

    Raises
    ------
    CompileError
        If numpy has no such integer.
    """
    name = f"int{getattr(config, f'{memory}_bits')}"
    if name not in DTYPES:
        raise CompileError(f"{memory}_bits of {name[3:]} has no tensor type; choose a configuration with 8, 16 or 32")
    return name


def shape(config: AcceleratorConfig, memory: str) -> tuple[int, int]:
    """Rows and columns of a memory's tile."""
    columns = config.block_in if memory in ("inp", "wgt") else config.block_out
    return config.block_out if memory == "wgt" else config.batch, columns


def tile(config: AcceleratorConfig, memory: str, name: str) -> Tensor:
    """One tile, as an operand of an intrinsic."""
    return placeholder(shape(config, memory), dtype(config, memory), name)
