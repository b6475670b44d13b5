"""What the host does by itself, one thread: layers left to it, packing, conversions, and matrix products of `te`.

Medians of CPU time. The convolutions are 3×3 with padding 1, their bytes uint8. The products are 512³, copies into
tiles included, beside numpy's float product (told to use one thread, too).
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from weft_compiler import te
from weft_compiler.dialects import qgraph
from weft_compiler.host import elementwise, layout, windows
from weft_compiler.host.codegen import compile_functions
from weft_compiler.host.intrinsics.byte_product import byte_product
from weft_compiler.host.intrinsics.float_product import float_product
from weft_compiler.te.kernel import aligned
from weft_runtime.host_functions import HostFunctions, aligned_bytes
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, SSAValue

SECONDS = 0.3
"""For how long each kernel runs."""

SIZE = 512
"""Rows, columns and depth of the matrix products."""

_NUMPY = """
import time, numpy as np
a, b = np.random.rand(2, {size}, {size}).astype(np.float32)
best = []
for _ in range(60):
    begin = time.thread_time(); a @ b; best.append(time.thread_time() - begin)
print(sorted(best)[30])
"""


def _median(run: Callable[[], object]) -> float:
    run()
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 5:
        begin = time.thread_time()
        run()
        times.append(time.thread_time() - begin)
    return statistics.median(times)


def _argument(shape: Sequence[int], dtype: Any) -> SSAValue:
    return Block(arg_types=[qgraph.tensor_type(shape, dtype)]).args[0]


def _seconds(function: FuncOp, sizes: Sequence[int]) -> float:
    """Of one call, on zeros: no kernel's time depends on values."""
    functions = HostFunctions((compile_functions([function]),), [function.sym_name.data])
    memory = [aligned_bytes(size) for size in sizes]
    addresses = (ctypes.c_void_p * len(memory))(*(values.ctypes.data for values in memory))
    run = functions[function.sym_name.data]
    return _median(lambda: run(addresses))


def _convolution(size: int, channels: int, groups: int = 1) -> float:
    """Multiply-accumulates a second."""
    weights = qgraph.ConstantOp(np.ones((channels, channels // groups, 3, 3), np.int8)).y
    y = qgraph.tensor_type((1, channels, size, size), np.uint8)
    properties = qgraph.requantising_properties(3, [0], [1e-3], 4, y)
    properties |= qgraph.window_properties((1, 1), (1, 1, 1, 1), (1, 1)) | {"groups": qgraph.integer(groups)}
    op = qgraph.QConvOp(_argument((1, channels, size, size), np.uint8), weights, None, properties, y)
    bytes_of = [values.nbytes for values in windows.requantising_parameters(op)]
    pixels = channels * size * size
    seconds = _seconds(windows.qconv(op, "f"), [pixels, 9 * channels**2 // groups, *bytes_of, pixels])
    return 9 * channels // groups * pixels / seconds


def _dense(rows: int, depth: int, channels: int) -> float:
    """Multiply-accumulates a second."""
    weights = qgraph.ConstantOp(np.ones((channels, depth), np.int8)).y
    y = qgraph.tensor_type((rows, channels), np.uint8)
    properties = qgraph.requantising_properties(3, [0], [1e-3], 4, y)
    op = qgraph.QDenseOp(_argument((rows, depth), np.uint8), weights, None, properties, y)
    bytes_of = [values.nbytes for values in windows.requantising_parameters(op)]
    seconds = _seconds(windows.qdense(op, "f"), [rows * depth, depth * channels, *bytes_of, rows * channels])
    return rows * depth * channels / seconds


def _pack(channels: int, size: int) -> float:
    """Seconds."""
    shape = (1, -(-channels // 16), size, size, 1, 16)
    op = qgraph.PackOp(
        _argument((1, channels, size, size), np.uint8),
        shift=128,
        pad_value=0,
        pads=(0,) * 4,
        rows=False,
        y=qgraph.tensor_type(shape, np.int8),
    )
    return _seconds(layout.pack(op, "f"), [channels * size * size, int(np.prod(shape))])


def _unpack(channels: int, size: int) -> float:
    """Seconds."""
    shape = (1, -(-channels // 16), size, size, 1, 16)
    y = qgraph.tensor_type((1, channels, size, size), np.uint8)
    op = qgraph.UnpackOp(_argument(shape, np.int8), shift=128, rows=False, y=y)
    return _seconds(layout.unpack(op, "f"), [int(np.prod(shape)), channels * size * size])


def _conversion(kind: str) -> float:
    """Bytes of floats a second."""
    shape, one = (1, 64, 112, 112), [np.float32(0.1)]
    count = int(np.prod(shape))
    if kind == "quantize":
        op = qgraph.QuantizeOp(_argument(shape, np.float32), one, [3], qgraph.tensor_type(shape, np.uint8))
        sizes = [4 * count, 4, 4, count]
        return 4 * count / _seconds(elementwise.quantize(op, "f"), sizes)
    op = qgraph.DequantizeOp(_argument(shape, np.uint8), one, [3], qgraph.tensor_type(shape, np.float32))
    return 4 * count / _seconds(elementwise.dequantize(op, "f"), [count, 4, 4, 4 * count])


def _kernel_seconds(schedule: te.Schedule) -> float:
    kernel = te.build(schedule, threads=1)
    memory = [aligned(buffer) for buffer in (*kernel.inputs, *kernel.outputs)]
    return _median(lambda: kernel.run(*memory))


def _float_product() -> te.Schedule:
    a, b = (te.placeholder((SIZE, SIZE), "float32", name) for name in "AB")
    k = te.reduce_axis(SIZE, "k")
    c = te.compute((SIZE, SIZE), lambda i, j: te.sum(a[i, k] * b[k, j], k, reassociable=True), "C")
    s = te.Schedule(c)
    te.auto_tensorize(s, c, float_product(8, 32, SIZE))
    return s


def _byte_product(dtype: str) -> te.Schedule:
    a, w = te.placeholder((SIZE, SIZE), dtype, "A"), te.placeholder((SIZE, SIZE), "int8", "W")
    k = te.reduce_axis(SIZE, "k")
    c = te.compute((SIZE, SIZE), lambda i, j: te.sum(a[i, k].cast("int32") * w[j, k].cast("int32"), k), "C")
    s = te.Schedule(c)
    sums, left, right = s.cache_write(c, "local"), s.cache_read(a, "local"), s.cache_read(w, "local")
    s[left].pack(("i0", 8), ("i1", 4))
    s[right].pack(("i0", 32), ("i1", 4))
    s[sums].pack(("i", 8), ("j", 32))
    outer, inner = s[sums].split("i", 8)
    across, lane = s[sums].split("j", 32)
    group, byte = s[sums].split("k", 4)
    s[sums].reorder(outer, across, group, inner, lane, byte)
    s[sums].tensorize(group, byte_product(dtype, 8, 32, SIZE))
    return s


def _numpy_seconds() -> float:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _NUMPY.format(size=SIZE)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def measure() -> dict[str, str]:
    """Rates and times of one thread."""
    flops = 2 * SIZE**3
    figures = {
        f"convolution {size}², {channels}→{channels}: GMAC/s": f"{_convolution(size, channels) / 1e9:.1f}"
        for size, channels in ((56, 64), (28, 128), (14, 256), (7, 512))
    }
    figures["depthwise 56², 128 channels: GMAC/s"] = f"{_convolution(56, 128, 128) / 1e9:.1f}"
    figures["dense 1×512→1000: GMAC/s"] = f"{_dense(1, 512, 1000) / 1e9:.1f}"
    figures["dense 64×768→768: GMAC/s"] = f"{_dense(64, 768, 768) / 1e9:.1f}"
    figures["pack 3×224×224: ms (goal ≤ 1)"] = f"{1e3 * _pack(3, 224):.3f}"
    figures["pack 64×56×56: ms"] = f"{1e3 * _pack(64, 56):.3f}"
    figures["unpack 64×56×56: ms"] = f"{1e3 * _unpack(64, 56):.3f}"
    for kind in ("quantize", "dequantize"):
        figures[f"{kind}: GB/s of floats"] = f"{_conversion(kind) / 1e9:.1f}"
    numpy = _numpy_seconds()
    ours = _kernel_seconds(_float_product())
    figures["te float product: GFLOP/s"] = f"{flops / ours / 1e9:.0f}"
    figures["numpy's float product: GFLOP/s"] = f"{flops / numpy / 1e9:.0f}"
    for dtype in ("uint8", "int8"):
        rate = flops / 2 / _kernel_seconds(_byte_product(dtype)) / 1e9
        figures[f"te product of {dtype} by int8: GMAC/s (goal ≥ 40)"] = f"{rate:.0f}"
    return figures
