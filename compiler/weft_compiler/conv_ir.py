"""A convolution as a tensor program: one `linalg.generic` over tiles and their elements."""

from __future__ import annotations

from collections.abc import Sequence

from weft_hardware.config import AcceleratorConfig
from xdsl.dialects import arith, func
from xdsl.dialects.builtin import AffineMapAttr, FunctionType, IntegerType, MemRefType, ModuleOp
from xdsl.dialects.linalg.attrs import IteratorTypeAttr
from xdsl.dialects.linalg.ops import FillOp, GenericOp, YieldOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.ir.affine import AffineExpr, AffineMap

from .conv_task import ConvTask
from .dialects.accel import PadOp

LOOPS = ("n", "oc", "y", "x", "ic", "ky", "kx")
"""The dimensions over tiles, in the order of the iteration space; (batch, block_out, block_in) follow them."""

RANK = len(LOOPS) + 3

PARALLEL = IteratorTypeAttr.parallel()
REDUCTION = IteratorTypeAttr.reduction()


def multiply_accumulate(inp: IntegerType, wgt: IntegerType, acc: IntegerType) -> Region:
    """``acc + sext(inp) · sext(wgt)``: the body of the convolution and of the GEMM intrinsic."""
    block = Block(arg_types=[inp, wgt, acc])
    left, right = arith.ExtSIOp(block.args[0], acc), arith.ExtSIOp(block.args[1], acc)
    product = arith.MuliOp(left, right)
    total = arith.AddiOp(block.args[2], product)
    block.add_ops([left, right, product, total, YieldOp(total.result)])
    return Region(block)


def contraction_maps(task: ConvTask) -> list[AffineMap]:
    """Index maps of inp, wgt and acc over `LOOPS` and the elements of a tile; inp counts from the padded corner."""
    n, oc, y, x, ic, ky, kx, batch, block_out, block_in = (AffineExpr.dimension(d) for d in range(RANK))
    rows = y * task.stride[0] + ky * task.dilation[0]
    columns = x * task.stride[1] + kx * task.dilation[1]
    return [
        AffineMap(RANK, 0, (n, ic, rows, columns, batch, block_in)),
        AffineMap(RANK, 0, (oc, ic, ky, kx, block_out, block_in)),
        AffineMap(RANK, 0, (n, oc, y, x, batch, block_out)),
    ]


def contraction(maps: Sequence[AffineMap], inp: SSAValue, wgt: SSAValue, acc: SSAValue) -> GenericOp:
    """The contraction of three memrefs, whole tensors in DRAM or tiles in scratchpads."""
    elements = [value.type.element_type for value in (inp, wgt, acc) if isinstance(value.type, MemRefType)]
    return GenericOp(
        inputs=[inp, wgt],
        outputs=[acc],
        body=multiply_accumulate(*elements),
        indexing_maps=[AffineMapAttr(m) for m in maps],
        iterator_types=[PARALLEL] * 4 + [REDUCTION] * 3 + [PARALLEL, PARALLEL, REDUCTION],
    )


def zero(acc: SSAValue) -> list[Operation]:
    """Set a memref of accumulators to zero."""
    assert isinstance(acc.type, MemRefType)
    constant = arith.ConstantOp.from_int_and_width(0, acc.type.element_type)
    return [constant, FillOp([constant.result], [acc], res=[])]


def conv_module(task: ConvTask, config: AcceleratorConfig) -> ModuleOp:
    """``func @conv(inp, wgt, acc)`` on DRAM, with the layouts of `ConvTask`."""
    inp_type = MemRefType(
        IntegerType(config.inp_bits), [task.n, task.ic, task.ih, task.iw, config.batch, config.block_in]
    )
    wgt_type = MemRefType(
        IntegerType(config.wgt_bits), [task.oc, task.ic, task.kh, task.kw, config.block_out, config.block_in]
    )
    acc_type = MemRefType(
        IntegerType(config.acc_bits), [task.n, task.oc, task.oh, task.ow, config.batch, config.block_out]
    )
    block = Block(arg_types=[inp_type, wgt_type, acc_type])
    inp, wgt, acc = block.args
    source: SSAValue = inp
    if any(task.pads):
        top, left, bottom, right = task.pads
        pad = PadOp(inp, [0, 0, top, left, 0, 0], [0, 0, bottom, right, 0, 0])
        block.add_op(pad)
        source = pad.result
    block.add_ops(zero(acc))
    block.add_ops([contraction(contraction_maps(task), source, wgt, acc), func.ReturnOp()])
    function = func.FuncOp("conv", FunctionType.from_lists(block.arg_types, []), Region(block))
    return ModuleOp([function])
