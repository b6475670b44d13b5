"""Convolutions in plain numpy, and lowered ones as programs in a DRAM image."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from support.soundness import assert_sound, report_of
from weft_compiler.conv_task import ConvTask, Phases, Requantisation
from weft_compiler.errors import CompileError
from weft_compiler.lowering import LoweredConv
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import decode
from weft_runtime.device import Bytes
from weft_simulator.lockstep.program import Program

CONFIGS = {
    "vta": AcceleratorConfig(),
    "odd": AcceleratorConfig(block_in=4, block_out=4, inp_depth=37, wgt_depth=21, acc_depth=19, uop_depth=16),
    "batch2": AcceleratorConfig(
        batch=2, block_in=8, block_out=4, inp_depth=64, wgt_depth=40, acc_depth=48, uop_depth=64
    ),
    "block32": AcceleratorConfig(
        block_in=32, block_out=32, inp_depth=100, wgt_depth=50, acc_depth=60, axi_data_bits=128
    ),
    "shallow-queues": AcceleratorConfig(
        block_in=4,
        block_out=8,
        inp_depth=37,
        wgt_depth=21,
        acc_depth=19,
        uop_depth=4,
        command_queue_depth=2,
        token_queue_depth=1,
    ),
    "requantising": AcceleratorConfig(
        batch=2,
        block_in=8,
        block_out=8,
        inp_depth=64,
        wgt_depth=40,
        acc_depth=48,
        uop_depth=64,
        command_queue_depth=4,
        pad_value=True,
        gemm_overwrite=True,
        epilogue_lanes=2,
        param_depth=3,
    ),
    "smallest": AcceleratorConfig(
        block_in=4,
        block_out=4,
        inp_depth=4,
        wgt_depth=4,
        acc_depth=4,
        uop_depth=4,
        command_queue_depth=2,
        token_queue_depth=1,
    ),
}
"""Accelerators that stress the compiler in different ways."""


def convolve(task: ConvTask, inp: NDArray, wgt: NDArray) -> NDArray[np.int32]:
    """The accumulators that a task must leave, with the layouts of `ConvTask`."""
    top, left, bottom, right = task.pads
    widths = ((0, 0), (0, 0), (top, bottom), (left, right), (0, 0), (0, 0))
    image = np.pad(inp.astype(np.int64), widths, constant_values=task.pad_value)
    shape = (task.n, task.groups, task.oc, task.oh, task.ow, inp.shape[-2], wgt.shape[-2])
    total = np.zeros(shape, np.int64)
    for p in range(task.kh):
        for q in range(task.kw):
            y, x = p * task.dilation[0], q * task.dilation[1]
            rows = slice(y, y + (task.oh - 1) * task.stride[0] + 1, task.stride[0])
            columns = slice(x, x + (task.ow - 1) * task.stride[1] + 1, task.stride[1])
            pixels = image[:, :, rows, columns].reshape(task.n, task.groups, task.ic, *shape[3:6], -1)
            taps = wgt[:, :, p, q].reshape(task.groups, task.oc, task.ic, *wgt.shape[-2:]).astype(np.int64)
            total += np.einsum("ngiyxbc,goidc->ngoyxbd", pixels, taps)
    return total.astype(np.int32).reshape(task.n, task.outputs, *shape[3:])


def interleaved(task: ConvTask, inp: NDArray, wgt: NDArray) -> NDArray[np.int32]:
    """`convolve` for a task with phases, result by result as `Phases` says, in their order in DRAM."""
    phases = task.phases
    assert phases is not None
    top, left, bottom, right = task.pads
    image = np.pad(
        inp.astype(np.int64),
        ((0, 0), (0, 0), (top, bottom + task.kh), (left, right + task.kw), (0, 0), (0, 0)),
        constant_values=task.pad_value,
    )
    wgt = wgt.reshape(task.groups, task.oc, task.ic, *phases.count, task.kh, task.kw, *wgt.shape[-2:]).astype(np.int64)
    image = image.reshape(task.n, task.groups, task.ic, *image.shape[2:])
    height, width = task.oh * phases.count[0], task.ow * phases.count[1]
    total = np.zeros((task.n, task.groups, task.oc, height, width, inp.shape[-2], wgt.shape[-2]), np.int64)
    for row, column in np.ndindex(height, width):
        (y, ry), (x, rx) = divmod(row, phases.count[0]), divmod(column, phases.count[1])
        for p, q in np.ndindex(task.kh, task.kw):
            taps = [
                tap * n + n - 1 - (r + a) % n
                for tap, r, a, n in zip((p, q), (ry, rx), phases.offset, phases.count, strict=True)
            ]
            if taps[0] < phases.kernel[0] and taps[1] < phases.kernel[1]:
                down, right = y + p + (ry + phases.offset[0]) // phases.count[0], x + q
                right += (rx + phases.offset[1]) // phases.count[1]
                pixels = image[:, :, :, down, right]
                total[:, :, :, row, column] += np.einsum("ngibc,goidc->ngobd", pixels, wgt[:, :, :, ry, rx, p, q])
    return total.astype(np.int32).reshape(task.n, task.outputs, *total.shape[3:])


def random_phases(rng: random.Random, *, requantises: bool = False) -> ConvTask:
    """A small task with phases, of every offset and of kernels that do not divide."""
    how, pad_value = None, 0
    if requantises:
        how = Requantisation(zero_point=rng.randint(-9, 9), low=-100, high=90)
        pad_value = rng.randint(-128, 127)
    while True:
        count = (rng.randint(1, 3), rng.randint(2, 3))
        kernel = rng.randint(count[0], 5), rng.randint(count[1], 5)
        kh, kw = (-(-k // c) for k, c in zip(kernel, count, strict=True))
        phases = Phases(
            count=count,
            offset=(rng.randrange(count[0]), rng.randrange(count[1])),
            kernel=kernel,
            size=(rng.randint(1, 5), rng.randint(1, 5)),
            own_parameters=requantises and rng.random() < 0.5,
        )
        top, left = rng.randrange(kh), rng.randrange(kw)
        ih, iw = rng.randint(1, 6), rng.randint(1, 6)
        rows, columns = (n + k - 1 + r for n, k, r in zip(phases.size, (kh, kw), phases.reach, strict=True))
        task = ConvTask(
            groups=rng.choice([1, 1, 2]), ic=rng.randint(1, 3), oc=rng.randint(1, 3), ih=ih, iw=iw, kh=kh, kw=kw,
            pads=(top, left, max(0, rows - top - ih), max(0, columns - left - iw)), pad_value=pad_value,
            requantisation=how, phases=phases,
        )  # fmt: skip
        if task.macs <= 3000:
            return task


def requantised(task: ConvTask, sums: NDArray[np.int32], params: NDArray[np.int32]) -> NDArray[np.int8]:
    """What the epilogue makes of accumulators: onnxruntime's arithmetic, float32 step by step."""
    how = task.requantisation
    assert how is not None
    if task.parameters > 1:
        assert task.phases is not None
        # One pair for each phase of rows and of columns.
        params = np.tile(params.reshape(task.outputs, *task.phases.count, -1, 2), (1, task.oh, task.ow, 1, 1))
    else:
        params = params[:, None, None]
    bias, scale = params[None, :, :, :, None, :, 0], params.view(np.float32)[None, :, :, :, None, :, 1]
    rounded = np.rint((sums + bias).astype(np.float32) * scale).astype(np.int64)
    return np.clip(rounded + how.zero_point, how.low, how.high).astype(np.int8)


def random_task(rng: random.Random, max_macs: int = 3000, *, requantises: bool = False, groups: int = 1) -> ConvTask:
    """A small convolution of any stride, dilation and padding."""
    requantisation, pad_value = None, 0
    if requantises:
        low = rng.randint(-128, 0)
        requantisation = Requantisation(zero_point=rng.randint(-128, 127), low=low, high=rng.randint(low, 127))
        pad_value = rng.randint(-128, 127)
    while True:
        try:
            task = ConvTask(
                n=rng.randint(1, 2),
                groups=groups,
                ic=rng.randint(1, 4),
                oc=rng.randint(1, 4),
                ih=rng.randint(1, 9),
                iw=rng.randint(1, 9),
                kh=rng.randint(1, 3),
                kw=rng.randint(1, 3),
                stride=(rng.randint(1, 3), rng.randint(1, 2)),
                dilation=(rng.randint(1, 2), rng.randint(1, 2)),
                pads=(rng.randint(0, 2), rng.randint(0, 2), rng.randint(0, 2), rng.randint(0, 2)),
                pad_value=pad_value,
                requantisation=requantisation,
            )
        except CompileError:
            continue
        if task.macs <= max_macs:
            return task


def _aligned(size: int, step: int = 4096) -> int:
    return -(-size // step) * step


@dataclass(frozen=True)
class PlacedConv:
    """A lowered convolution with random operands in a DRAM image, guard bytes around its result."""

    program: Program
    out: slice
    expected: NDArray[np.int32] | NDArray[np.int8]

    def result(self, image: Bytes) -> NDArray[np.int32] | NDArray[np.int8]:
        """The result in an image."""
        return image[self.out].view(self.expected.dtype).reshape(self.expected.shape)

    def untouched(self, image: Bytes) -> bool:
        """Whether nothing but the result was written."""
        before, after = self.program.image.copy(), image.copy()
        before[self.out] = after[self.out] = 0
        return bool((before == after).all())


def place(lowered: LoweredConv, seed: int = 0, *, is_sound: bool = True) -> PlacedConv:
    """Lay operands, micro-ops and instructions of a convolution into a DRAM image.

    The program is checked: ``is_sound`` tells whether nothing, or something, must be found.
    """
    task, config = lowered.task, lowered.config
    rng = np.random.default_rng(seed)
    inp = rng.integers(-128, 128, (task.n, task.inputs, task.ih, task.iw, config.batch, config.block_in), np.int8)
    phases = task.phases.count if task.phases is not None else ()
    blocks = (task.outputs, task.ic, *phases, task.kh, task.kw)
    wgt = rng.integers(-128, 128, (*blocks, config.block_out, config.block_in), np.int8)
    expected = interleaved(task, inp, wgt) if phases else convolve(task, inp, wgt)
    params = np.zeros((task.outputs * task.parameters, config.block_out, 2), np.int32)
    if task.requantisation is not None:
        params[..., 0] = rng.integers(-5000, 5000, params.shape[:2])
        params.view(np.float32)[..., 1] = 10 ** rng.uniform(-4, -1, params.shape[:2])
        expected = requantised(task, expected, params)
    inp_at = 4096
    wgt_at = inp_at + _aligned(inp.nbytes)
    out_at = wgt_at + _aligned(wgt.nbytes)
    uop_at = out_at + _aligned(expected.nbytes + 64)
    param_at = uop_at + _aligned(lowered.uop_bytes)
    insn_at = param_at + _aligned(params.nbytes)
    emitted = lowered.emit(inp_at, wgt_at, out_at, uop_at, param_at)
    image = rng.integers(0, 256, insn_at + _aligned(emitted.instructions.nbytes), np.uint8)
    contents = {inp_at: inp, wgt_at: wgt, uop_at: emitted.uops, param_at: params, insn_at: emitted.instructions}
    for address, data in contents.items():
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        image[address : address + raw.size] = raw
    program = Program(config, decode(emitted.instructions, config), image, insn_address=insn_at)
    if is_sound:
        assert_sound(program)
    else:
        assert not report_of(program).passed
    return PlacedConv(program, slice(out_at, out_at + expected.nbytes), expected)
