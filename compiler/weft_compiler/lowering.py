"""From a convolution task to an encoded program: a tiling, the schedule it means, a stream of instructions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from weft_hardware.config import AcceleratorConfig

from .accel.convolution import INP, OUT, PARAM, RESIDUAL, TABLE, WGT, schedule_convolution
from .accel.lower import lower_nest
from .accel.plain import PLANES, plain, smaller
from .accel.stream import UOPS, Program, Stream
from .conv_task import ConvTask
from .errors import CompileError
from .te.nest import Nest
from .tiling import Tiling
from .tiling_search import choose_tiling


@dataclass(frozen=True)
class LoweredConv:
    """A convolution ready to be placed in memory.

    Parameters
    ----------
    nest : Nest
        Its loops, for printing.
    """

    task: ConvTask
    config: AcceleratorConfig
    tiling: Tiling
    nest: Nest
    stream: Stream

    @cached_property
    def uop_bytes(self) -> int:
        """Bytes of the micro-code in DRAM."""
        return self.stream.kernels.encoded().nbytes

    def emit(
        self,
        inp_offset: int,
        wgt_offset: int,
        out_offset: int,
        uop_offset: int,
        param_offset: int = 0,
        residual_offset: int = 0,
        table_offset: int = 0,
    ) -> Program:
        """Encode the program for buffers at byte offsets from the base registers; those that it has not count nothing.

        Raises
        ------
        CompileError
            If an offset is no whole number of tiles.
        """
        offsets = {INP: inp_offset, WGT: wgt_offset, OUT: out_offset, UOPS: uop_offset, PARAM: param_offset}
        offsets |= {RESIDUAL: residual_offset, TABLE: table_offset}
        return self.stream.emit(offsets)


def lower_conv(task: ConvTask, config: AcceleratorConfig, tiling: Tiling | None = None) -> LoweredConv:
    """Lower a convolution to instructions, by a schedule that is given or chosen here.

    Raises
    ------
    CompileError
        If the configuration cannot run it: nothing fits, or padding and strides exceed the DMA's fields.
    """
    if task.requantisation is None and not config.raw_store:
        return _lower_plain(task, config, tiling)
    if tiling is None:
        tiling = choose_tiling(task, config)
    nest = schedule_convolution(task, tiling, config).lower()
    return LoweredConv(task, config, tiling, nest, lower_nest(nest, config))


def _lower_plain(task: ConvTask, config: AcceleratorConfig, tiling: Tiling | None) -> LoweredConv:
    """For an accelerator that cannot store accumulators whole: the result is their bytes, plane by plane."""
    if config.acc_bits != 8 * PLANES or config.out_bits != 8:
        raise CompileError(
            f"raw_store = False: {config.acc_bits}-bit accumulators do not leave as {PLANES} planes of "
            f"{config.out_bits} bits; enable raw_store"
        )
    found = lower_conv(task, smaller(config), tiling)
    return LoweredConv(task, config, found.tiling, found.nest, plain(found.stream, config))
