"""How a quantised convolution or matrix product becomes a task of the accelerator, or why it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd, lcm, prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory, tile_bytes
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation

from .conv_task import ConvTask, Fold, Requantisation
from .dialects import floats, qgraph, quantised
from .errors import CompileError
from .fold import choose_fold, fold_weights
from .tasks import lowered, without_numbers
from .tiling import buffer_tiles, read_cycles, store_cycles
from .tiling_cost import products
from .tiling_search import choose_tiling
from .transposed import dilated, phase_weights, split_phases

Mapped: TypeAlias = qgraph.QConvOp | qgraph.QDenseOp | quantised.QConvTransposeOp
"""Operations that a task of the accelerator computes."""


@dataclass(frozen=True, eq=False)
class AcceleratedConv:
    """A task with what the host does around it.

    Parameters
    ----------
    task : ConvTask
        What the accelerator computes.
    rows : bool
        A matrix product: its rows lie along the image's width.
    shift : int
        Subtracted from every activation so that it fits int8.
    pads : tuple of int
        Padding that the packer writes itself, since its value is not 0 or too wide for the DMA.
    pad_value : int
        What the packer writes there.
    make_constants : callable
        Makes weights and bias, when they are asked for: placement needs none.
    fold : Fold, optional
        The image's windows become channels, since it has few of them.

    Attributes
    ----------
    weights : int8 array
        Packed, shape (oc, ic, kh, kw, block_out, block_in).
    bias : int32 array
        One for each output channel, with the correction for the shifted zero point; for each of its phases, where that
        differs.
    """

    task: ConvTask
    rows: bool
    shift: int
    pads: tuple[int, int, int, int]
    pad_value: int
    make_constants: Callable[[], tuple[NDArray[np.int8], NDArray[np.int32]]]
    fold: Fold | None = None

    @property
    def weights(self) -> NDArray[np.int8]:
        return self._constants[0]

    @property
    def bias(self) -> NDArray[np.int32]:
        return self._constants[1]

    @cached_property
    def _constants(self) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        return self.make_constants()


def _weights(op: Mapped) -> NDArray[np.int16] | None:
    """Weights less their zero points, shape (O, C, kh, kw), or None if they are not constant."""
    if not isinstance(op.w.owner, qgraph.ConstantOp):
        return None
    values = op.w.owner.values.astype(np.int16)
    zero = np.broadcast_to(qgraph.array(op.w_zero), op.channels).astype(np.int16)
    values = values - zero.reshape(-1, *(1,) * (values.ndim - 1))
    return values if values.ndim == 4 else values[:, :, None, None]


def _bias(op: Mapped) -> NDArray[np.int64] | None:
    if op.bias is None:
        return np.zeros(op.channels, np.int64)
    if not isinstance(op.bias.owner, qgraph.ConstantOp):
        return None
    return op.bias.owner.values.astype(np.int64)


def width_obstacle(config: AcceleratorConfig) -> str | None:
    """What rules the accelerator out before any mapping is tried."""
    if (config.inp_bits, config.wgt_bits) != (8, 8):
        return f"the accelerator multiplies {config.inp_bits}-bit inputs by {config.wgt_bits}-bit weights, not 8 by 8"
    return None


def _pack_weights(weights: NDArray[np.int16], config: AcceleratorConfig) -> NDArray[np.int8]:
    """Weights (O, C, …) in tiles: (oc, ic, …, block_out, block_in)."""
    outputs, inputs, *taps = weights.shape
    oc, ic = -(-outputs // config.block_out), -(-inputs // config.block_in)
    padded = np.zeros((oc * config.block_out, ic * config.block_in, *taps), np.int8)
    padded[:outputs, :inputs] = weights
    blocks = padded.reshape(oc, config.block_out, ic, config.block_in, *taps)
    return np.ascontiguousarray(np.moveaxis(blocks, (1, 3), (-2, -1)))


def groups_of(op: Mapped) -> int:
    """Groups of a convolution; a matrix product has one."""
    return 1 if isinstance(op, qgraph.QDenseOp) else op.groups.value.data


def _joined(weights: NDArray[np.int16], groups: int, config: AcceleratorConfig) -> tuple[int, NDArray[np.int16]]:
    """Groups put together until they have whole blocks of channels: how many remain, and their weights.

    The weights of a depthwise convolution are diagonal tiles then, one for each tap: a tile of products a cycle, where
    the vector unit would need two for each MUL and two for each ADD.
    """
    outputs, inputs, kh, kw = weights.shape
    each = outputs // groups
    whole = [block // gcd(block, n) for block, n in ((config.block_in, inputs), (config.block_out, each))]
    members = min(lcm(*whole), groups)
    if members == 1:
        return groups, weights
    joined = -(-groups // members)
    result = np.zeros((joined * members, each, members, inputs, kh, kw), weights.dtype)
    for group in range(groups):
        result[group, :, group % members] = weights[group * each : (group + 1) * each]
    return joined, result.reshape(-1, members * inputs, kh, kw)


def requantisation_of(op: Mapped | quantised.QMatMulOp, config: AcceleratorConfig) -> Requantisation | None:
    """The epilogue's part, its result shifted into int8; None where the host has to do it."""
    if not config.epilogue_lanes:
        return None
    shift = shift_of(qgraph.dtype_of(op.y))
    return Requantisation(
        zero_point=op.y_zero.value.data - shift, low=op.low.value.data - shift, high=op.high.value.data - shift
    )


def shift_of(dtype: np.dtype[Any]) -> int:
    """What is subtracted from 8-bit values so that they are int8."""
    return 128 if dtype == np.uint8 else 0


def _task(op: Mapped, groups: int, weights: NDArray[np.int16], config: AcceleratorConfig) -> ConvTask:
    """The task of an operation whose joined groups have these weights."""
    outputs, channels, kh, kw = weights.shape
    oc = -(-outputs // groups // config.block_out)
    requantisation = requantisation_of(op, config)
    if isinstance(op, qgraph.QDenseOp):
        *leading, depth = qgraph.shape_of(op.x)
        rows = -(-int(np.prod(leading)) // config.batch)
        return ConvTask(
            ic=-(-depth // config.block_in), oc=oc, ih=1, iw=rows, kh=1, kw=1, requantisation=requantisation
        )
    images, _, height, width = qgraph.shape_of(op.x)
    pad_value = op.x_zero.value.data - shift_of(qgraph.dtype_of(op.x))
    if isinstance(op, quantised.QConvTransposeOp) and max(qgraph.ints(op.expansion)) > 1:
        geometry = qgraph.ints(op.expansion), qgraph.ints(op.pads), (kh, kw), (height, width)
        phases, (kh, kw), pads = split_phases(
            *geometry, qgraph.shape_of(op.y)[2:], own_parameters=requantisation is not None and pad_value != 0
        )
        return ConvTask(
            n=-(-images // config.batch), groups=groups, ic=-(-channels // config.block_in), oc=oc, ih=height, iw=width,
            kh=kh, kw=kw, pads=pads, pad_value=pad_value, requantisation=requantisation, phases=phases,
        )  # fmt: skip
    strides = (1, 1) if isinstance(op, quantised.QConvTransposeOp) else qgraph.ints(op.strides)
    # The weights of a transposed convolution are dilated already.
    dilations = (1, 1) if isinstance(op, quantised.QConvTransposeOp) else qgraph.ints(op.dilations)
    pads = qgraph.ints(op.pads)
    return ConvTask(
        n=-(-images // config.batch),
        groups=groups,
        ic=-(-channels // config.block_in),
        oc=oc,
        ih=height,
        iw=width,
        kh=kh,
        kw=kw,
        stride=(strides[0], strides[1]),
        dilation=(dilations[0], dilations[1]),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        pad_value=pad_value,
        requantisation=requantisation,
    )


def _with_written_padding(task: ConvTask) -> ConvTask:
    """The same task on an image that holds its padding already."""
    top, left, bottom, right = task.pads
    return replace(task, ih=task.ih + top + bottom, iw=task.iw + left + right, pads=(0, 0, 0, 0), pad_value=0)


def _mappable(task: ConvTask, config: AcceleratorConfig) -> ConvTask:
    """The task with its padding left to the DMA where it can be.

    Raises
    ------
    CompileError
        If neither way can be mapped.
    """
    if task.pad_value == 0 or config.pad_value or not any(task.pads):
        task = task if any(task.pads) else replace(task, pad_value=0)
        try:
            lowered(task, config)
        except CompileError:
            if not any(task.pads):
                raise
        else:
            return task
    written = _with_written_padding(task)
    lowered(written, config)
    return written


def _with_pixel_parameters(task: ConvTask, config: AcceleratorConfig) -> ConvTask | None:
    """The task padded with zeros, which are not multiplied, and a bias for each pixel; None where that does not pay.

    What the zero point adds to a sum differs where taps are outside the image. The parameters of pixels are loaded
    between one STORE and the next: nothing hides those of the last tile.
    """
    plain = task.groups == 1 and task.phases is None and task.requantisation is not None
    if not plain or not task.pad_value or not any(task.pads) or not config.epilogue_lanes:
        return None
    made = replace(task, pad_value=0, pixel_parameters=True)
    each = tile_bytes(Memory.PARAM, config) // config.axi_bytes
    try:
        tiling = choose_tiling(without_numbers(made), config)
        if 2 * made.results * store_cycles(made, config) > products(made):
            return None  # the store queue needs time to spare, for a residual operand, too
        loads = read_cycles(made, tiling, config) + made.results * each
        last = buffer_tiles(made, tiling, Memory.ACC) * each
        if task.macs - max(products(made), loads) <= 2 * last:
            return None
        lowered(made, config)
    except CompileError:
        return None
    return made


def _taps_of(task: ConvTask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which taps of the kernel are inside the image, (oh, kh) and (ow, kw)."""
    sizes = zip((task.oh, task.ow), (task.kh, task.kw), (task.ih, task.iw), range(2), strict=True)
    rows, columns = (_inside(o, k, size, task.stride[d], task.dilation[d], task.pads[d], 1) for o, k, size, d in sizes)
    return rows.astype(np.int64), columns.astype(np.int64)


def _sums_inside(task: ConvTask, weights: NDArray[np.int16]) -> NDArray[np.int64]:
    """The sum of the weights that meet the image, of each output channel and pixel."""
    rows, columns = _taps_of(task)
    return rows @ (np.einsum("ocpq->opq", weights, dtype=np.int64) @ columns.T)


def _folded(op: Mapped, task: ConvTask, config: AcceleratorConfig) -> tuple[Fold, ConvTask] | None:
    """How the host folds the image while it packs it; None where tiles come from the accelerator, or it costs more."""
    source = op.x.owner
    from_accelerator = isinstance(source, Operation) and source.attributes.get("placement") == StringAttr("accelerator")
    if not isinstance(op, qgraph.QConvOp) or from_accelerator or task.groups > 1:
        return None
    found = choose_fold(task, qgraph.shape_of(op.x)[1], config)
    if found is not None:
        lowered(found[1], config)
    return found


def accelerate(op: Mapped, config: AcceleratorConfig) -> AcceleratedConv | str:
    """Map an operation to the accelerator; a string says why it stays on the host.

    Activations are shifted into int8 by 0 or 128. What remains of the zero point, ``z``, adds ``z · Σw`` to every sum,
    padding included, which the bias takes back.
    """
    obstacle = width_obstacle(config)
    if obstacle is not None:
        return obstacle
    weights, bias = _weights(op), _bias(op)
    if weights is None or bias is None:
        return "its weights or its bias are computed at run time"
    if weights.min() < -128 or weights.max() > 127:
        return f"weights less their zero point reach {weights.min()}..{weights.max()}, outside int8"
    shift = shift_of(qgraph.dtype_of(op.x))
    zero = op.x_zero.value.data - shift
    try:
        groups, joined = _joined(weights, groups_of(op), config)
        if isinstance(op, quantised.QConvTransposeOp):
            joined = dilated(joined, qgraph.ints(op.dilations))
        direct = _task(op, groups, joined, config)
        fold, task = _folded(op, direct, config) or (
            None,
            _with_pixel_parameters(direct, config) or _mappable(direct, config),
        )
    except CompileError as error:
        return str(error)
    if task.phases is not None and task.parameters == 1 and zero:
        return f"phases of a transposed convolution differ in what the zero point {zero} adds, and so need an epilogue"

    def make_constants() -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        laid, biases = joined, bias
        if fold is not None:
            laid = fold_weights(laid, fold)
        if task.phases is not None:
            laid = phase_weights(laid, task.phases)
        if task.pixel_parameters:
            sums, biases = _sums_inside(task, weights), bias[:, None, None]
        elif task.phases is not None and task.parameters > 1:
            sums, biases = laid.sum(axis=(1, 4, 5), dtype=np.int64)[: len(bias)], bias[:, None, None]
        else:
            sums = weights.sum(axis=(1, 2, 3), dtype=np.int64)
        return _pack_weights(laid, config), (biases - zero * sums).astype(np.int32)

    return AcceleratedConv(
        task=task,
        rows=isinstance(op, qgraph.QDenseOp),
        shift=shift,
        pads=(0, 0, 0, 0) if task.pads == direct.pads else direct.pads,
        pad_value=zero,
        make_constants=make_constants,
        fold=fold,
    )


def useful_macs(op: Any) -> int:
    """Multiply-accumulates of the network's own operation: none with padding or zeros, blocks not rounded up.

    They count wherever it runs: of floats and of two activations, too. Those of recurrent layers do not.
    """
    if isinstance(op, qgraph.QConvOp | qgraph.ConvOp | quantised.QConvTransposeOp | quantised.ConvIntegerOp):
        images, outputs, *sizes = qgraph.shape_of(op.y)
        _, inputs, *kernel = qgraph.shape_of(op.w)
        transposes = isinstance(op, quantised.QConvTransposeOp)
        strides, expansion = ((1, 1), qgraph.ints(op.expansion)) if transposes else (qgraph.ints(op.strides), (1, 1))
        dilations, pads, inside = qgraph.ints(op.dilations), qgraph.ints(op.pads), qgraph.shape_of(op.x)[2:]
        taps = [
            _taps_inside(sizes[k], kernel[k], inside[k], strides[k], dilations[k], pads[k], expansion[k])
            for k in range(2)
        ]
        return images * outputs * inputs * taps[0] * taps[1]
    if isinstance(op, qgraph.QDenseOp | qgraph.DenseOp):
        return prod(qgraph.shape_of(op.y)) * qgraph.shape_of(op.x)[-1]
    if isinstance(op, quantised.QMatMulOp | quantised.MatMulIntegerOp | floats.MatMulOp):
        return prod(qgraph.shape_of(op.y)) * qgraph.shape_of(op.a)[-1]
    return 0


def _taps_inside(outputs: int, kernel: int, size: int, stride: int, dilation: int, pad: int, expansion: int) -> int:
    """Pairs of a result and a tap of the kernel, along one dimension, that read the image itself."""
    return int(_inside(outputs, kernel, size, stride, dilation, pad, expansion).sum())


def _inside(
    outputs: int, kernel: int, size: int, stride: int, dilation: int, pad: int, expansion: int
) -> NDArray[np.bool_]:
    """Whether each tap of each result reads the image itself, shape (outputs, kernel)."""
    positions = np.arange(outputs)[:, None] * stride + np.arange(kernel)[None] * dilation - pad
    return (positions >= 0) & (positions % expansion == 0) & (positions // expansion < size)
