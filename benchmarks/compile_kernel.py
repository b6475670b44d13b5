"""From a tensor expression to instructions, in a warm process without caches; medians of five.

The convolution is 3×3, 56²·64→64, requantised: expression, tiling, schedule, loop nest, instructions and micro-ops. The
long program is a matrix product cut into single tiles, where nothing can be shared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from weft_compiler.accel.convolution import schedule_convolution
from weft_compiler.accel.lower import lower_nest
from weft_compiler.accel.stream import UOPS
from weft_compiler.conv_task import ConvTask, Requantisation
from weft_compiler.lowering import lower_conv
from weft_compiler.tiling_search import choose_tiling
from weft_hardware.presets import VTA

RUNS = 5
PLACES = {"inp": 1 << 26, "wgt": 2 << 26, "out": 3 << 26, "param": 0, UOPS: 1 << 25}


def _median(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def measure() -> dict[str, str]:
    """Milliseconds, and instructions a second."""
    task = ConvTask(ic=4, oc=4, ih=56, iw=56, kh=3, kw=3, pads=(1, 1, 1, 1), requantisation=Requantisation())
    whole = _median(lambda: lower_conv(task, VTA).stream.emit(PLACES))
    tiling = choose_tiling(task, VTA)
    nest = schedule_convolution(task, tiling, VTA).lower()
    emission = _median(lambda: lower_nest(nest, VTA).emit(PLACES))
    product = ConvTask(ic=64, oc=64, ih=1, iw=64, kh=1, kw=1)
    cut = choose_tiling(product, VTA)
    cut.tiles.update(oc=1, x=1, ic=1)
    long = schedule_convolution(product, cut, VTA).lower()
    count = len(lower_nest(long, VTA).emit(PLACES).instructions)
    seconds = _median(lambda: lower_nest(long, VTA).emit(PLACES))
    return {
        "convolution, expression to bytes": f"{1e3 * whole:.0f} ms",
        "convolution, loop nest to bytes": f"{1e3 * emission:.0f} ms",
        "long program": f"{count:,} instructions, {count / seconds / 1e6:.2f} million a second",
    }
