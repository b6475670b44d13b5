"""Products of tiles as GEMM instructions and micro-ops: `weft_compiler.accel.gemm` and `accel.kernels`, compiled."""

from __future__ import annotations

import numpy as np
from weft_compiler.accel.kernels import MAX_ITERATIONS

from .compiled import compiled
from .pieces import LOOPS
from .tables import find, grown
from .timed_records import ACCUMULATE, OVERWRITE, RESET

_OWN = len(LOOPS) - 1
"""Loops that an instruction can run: all but the images."""


@compiled
def _kernel(gemms, gemm_count, uops, uop_count, mode, counts, steps, starts, start_count, both, most):
    """One more instruction, or several of at most ``most`` micro-ops: see `accel.kernels.make_kernel`.

    ``both`` is whether src and wgt count, too.
    """
    loops = np.zeros((_OWN, 4), np.int64)
    n = 0
    for k in range(_OWN):
        count = counts[k]
        if count == 1:
            continue
        d, s, w = steps[k, 0], steps[k, 1] * both, steps[k, 2] * both
        if n:
            o = loops[n - 1]
            if o[1] == count * d and o[2] == count * s and o[3] == count * w and o[0] * count <= MAX_ITERATIONS:
                o[0], o[1], o[2], o[3] = o[0] * count, d, s, w
                continue
        loops[n, 0], loops[n, 1], loops[n, 2], loops[n, 3] = count, d, s, w
        n += 1
    first = second = -1
    for k in range(n):
        if loops[k, 0] > MAX_ITERATIONS:
            continue
        if first < 0 or loops[k, 0] > loops[first, 0]:
            first, second = k, first
        elif second < 0 or loops[k, 0] > loops[second, 0]:
            second = k
    low, high = min(first, second), max(first, second)
    g = np.zeros(9, np.int64)
    g[0], g[1], g[2] = mode, 1, 1
    if low >= 0:
        g[1], g[3], g[5], g[7] = loops[low, 0], loops[low, 1], loops[low, 2], loops[low, 3]
    if high >= 0:
        g[2], g[4], g[6], g[8] = loops[high, 0], loops[high, 1], loops[high, 2], loops[high, 3]
    total = start_count
    for k in range(n):
        if k != first and k != second:
            total *= loops[k, 0]
    while uop_count + total > len(uops):
        uops = grown(uops, len(uops))
    for s in range(start_count):
        u = uops[uop_count + s * (total // start_count)]
        u[:] = 0
        for k in range(_OWN):
            u[0] += steps[k, 0] * starts[s, k]
            u[1] += steps[k, 1] * starts[s, k] * both
            u[2] += steps[k, 2] * starts[s, k] * both
        # The other loops, the innermost one fastest.
        size = 1
        span = total // start_count
        for k in range(n):
            if k in (first, second):
                continue
            span //= loops[k, 0]
            for have in range(size - 1, -1, -1):
                source = uop_count + s * (total // start_count) + have * span * loops[k, 0]
                for turn in range(1, loops[k, 0]):
                    for o in range(3):
                        uops[source + turn * span, o] = uops[source, o] + turn * loops[k, 1 + o]
            size *= loops[k, 0]
    for begin in range(uop_count, uop_count + total, most):
        end = min(begin + most, uop_count + total)
        gemms = grown(gemms, gemm_count)
        part = gemms[gemm_count]
        part[:9] = g
        part[9], part[10] = begin, end - begin
        for o in range(3):
            least = last = uops[begin, o]
            for k in range(begin + 1, end):
                least, last = min(least, uops[k, o]), max(last, uops[k, o])
            part[11 + 2 * o] = least
            part[12 + 2 * o] = last + 1 + (g[1] - 1) * g[3 + 2 * o] + (g[2] - 1) * g[4 + 2 * o]
        gemm_count += 1
    return gemms, gemm_count, uops, uop_count + total


@compiled
def _cut(low, high, extent, before, after, step):
    """``[low, high)`` of a loop whose iterations are ``step`` apart, of those at least −before and at most after."""
    low = max(low, -(before // step))
    high = min(high, after // step + 1)
    return low, max(high, low)


@compiled
def plan(gemms, gemm_count, uops, uop_count, cls, tiles, steps, geometry):
    """All instructions of a kind of step: see `accel.gemm.StepPlan`.

    ``cls`` has what is done of g, oc, ic, ky and kx, of y and x, what there is before and behind the first pixel's
    first tap in the image, for rows and columns, and whether the sums begin. ``geometry`` is stride and dilation,
    whether taps above or below and those left or right of the image are left out, whether GEMMs can overwrite, and how
    many micro-ops one can have.
    """
    stride_y, stride_x, dilation_y, dilation_x, zeros_y, zeros_x, overwrites, most = geometry
    ky_whole, kx_whole = tiles[5], tiles[6]
    enum_y = zeros_y and tiles[2] > 1 and ky_whole > 1
    enum_x = zeros_x and tiles[3] > 1 and kx_whole > 1
    points_y, points_x = ky_whole if enum_y else 1, kx_whole if enum_x else 1
    count = points_y * points_x
    counts = np.zeros((count, _OWN), np.int64)
    starts = np.zeros((count, _OWN), np.int64)
    group_of = np.zeros(count, np.int64)
    group_count = boxes = 0
    lo, hi = np.zeros(_OWN, np.int64), np.zeros(_OWN, np.int64)
    for point in range(count):
        py, px = point // points_x, point % points_x
        lo[:] = 0
        hi[0], hi[1], hi[4], hi[5], hi[6] = cls[0], cls[1], cls[2], cls[3], cls[4]
        hi[2], hi[3] = cls[5], cls[6]
        empty = False
        for axis in range(2):
            p, k = 2 + axis, 5 + axis
            before, after = cls[7 + 2 * axis], cls[8 + 2 * axis]
            stride, dilation = (stride_x, dilation_x) if axis else (stride_y, dilation_y)
            if not (zeros_x if axis else zeros_y):
                continue
            if enum_x if axis else enum_y:
                at = px if axis else py
                if at >= hi[k]:
                    empty = True
                lo[k], hi[k] = at, at + 1
                lo[p], hi[p] = _cut(0, hi[p], 0, before + at * dilation, after - at * dilation, stride)
            elif tiles[p] > 1:
                lo[p], hi[p] = _cut(0, hi[p], 0, before, after, stride)
            elif tiles[k] > 1:
                lo[k], hi[k] = _cut(0, hi[k], 0, before, after, dilation)
            elif before < 0 or after < 0:
                empty = True
        for k in range(_OWN):
            if hi[k] <= lo[k]:
                empty = True
        if empty:
            continue
        group = find(counts, group_count, hi - lo)
        if group < 0:
            group = group_count
            group_count += 1
            counts[group] = hi - lo
        starts[boxes] = lo
        group_of[boxes] = group
        boxes += 1
    chosen = -1
    if cls[11]:
        if overwrites:
            # The first box, group by group, that has every accumulator.
            for group in range(group_count):
                for box in range(boxes):
                    if group_of[box] != group or chosen >= 0:
                        continue
                    c = counts[group]
                    if c[0] == cls[0] and c[1] == cls[1] and c[2] == cls[5] and c[3] == cls[6]:
                        chosen = box
        if chosen < 0:
            whole = np.ones(_OWN, np.int64)
            whole[0], whole[1], whole[2], whole[3] = cls[0], cls[1], cls[5], cls[6]
            nothing = np.zeros((1, _OWN), np.int64)
            gemms, gemm_count, uops, uop_count = _kernel(
                gemms, gemm_count, uops, uop_count, RESET, whole, steps, nothing, 1, 0, most
            )
        else:
            full = counts[group_of[chosen]].copy()
            once = full.copy()
            once[4:] = 1
            one = starts[chosen : chosen + 1].copy()
            gemms, gemm_count, uops, uop_count = _kernel(
                gemms, gemm_count, uops, uop_count, OVERWRITE, once, steps, one, 1, 1, most
            )
            for k in range(4, _OWN):
                if full[k] <= 1:
                    continue
                left = full.copy()
                for j in range(4, k):
                    left[j] = once[j]
                left[k] -= 1
                behind = one.copy()
                behind[0, k] += 1
                gemms, gemm_count, uops, uop_count = _kernel(
                    gemms, gemm_count, uops, uop_count, ACCUMULATE, left, steps, behind, 1, 1, most
                )
    for group in range(group_count):
        members = np.zeros((boxes, _OWN), np.int64)
        n = 0
        for box in range(boxes):
            if group_of[box] == group and box != chosen:
                members[n] = starts[box]
                n += 1
        if n:
            gemms, gemm_count, uops, uop_count = _kernel(
                gemms, gemm_count, uops, uop_count, ACCUMULATE, counts[group], steps, members, n, 1, most
            )
    return gemms, gemm_count, uops, uop_count
