"""From a convolution task to an encoded program, through tile loops."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from .conv_ir import conv_module
from .conv_task import ConvTask
from .emit import Emitter, Program
from .errors import CompileError
from .extract import extract_streams
from .intrinsic import gemm_intrinsic
from .passes.insert_tokens import InsertTokens
from .passes.tensorize import Tensorize
from .passes.tile_convolution import TileConvolution
from .tiling import Tiling, choose_tiling, footprint


@dataclass(frozen=True)
class LoweredConv:
    """A convolution ready to be placed in memory.

    Parameters
    ----------
    stages : dict
        The IR after each pass, for printing.
    """

    task: ConvTask
    config: AcceleratorConfig
    tiling: Tiling
    emitter: Emitter
    stages: dict[str, ModuleOp] = field(default_factory=dict)

    @cached_property
    def uop_bytes(self) -> int:
        """Bytes of the micro-code in DRAM."""
        return self.emitter.compute[1].uops.nbytes

    def emit(self, inp_offset: int, wgt_offset: int, out_offset: int, uop_offset: int) -> Program:
        """Encode the program for buffers at byte offsets from the base registers of INP, WGT, ACC and UOP.

        Raises
        ------
        CompileError
            If an offset is no whole number of tiles.
        """
        offsets = {Memory.INP: inp_offset, Memory.WGT: wgt_offset, Memory.ACC: out_offset, Memory.UOP: uop_offset}
        return self.emitter.emit(offsets)


def pipeline(task: ConvTask, tiling: Tiling, config: AcceleratorConfig) -> tuple[ModulePass, ...]:
    """The passes from a convolution to a tile program with tokens, in order."""
    return (
        TileConvolution(tiling, footprint(task, tiling.tiles)),
        Tensorize(gemm_intrinsic(config)),
        InsertTokens(),
    )


def lower_conv(task: ConvTask, config: AcceleratorConfig) -> LoweredConv:
    """Choose a schedule and lower a convolution to instructions.

    Raises
    ------
    CompileError
        If the configuration cannot run it: nothing fits, or padding and strides exceed the DMA's fields.
    """
    if not config.raw_store:
        raise CompileError("raw_store = False: accumulators cannot leave the accelerator whole; enable raw_store")
    tiling = choose_tiling(task, config)
    module = conv_module(task, config)
    module.verify()
    stages = {"convolution": module.clone()}
    context = Context()
    for step in pipeline(task, tiling, config):
        step.apply(context, module)
        module.verify()
        stages[step.name] = module.clone()
    emitter = Emitter(extract_streams(module), config)
    emitter.check()
    return LoweredConv(task, config, tiling, emitter, stages)
