"""Small tensor expressions of the kinds that networks are made of, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from weft_compiler import te


@dataclass(frozen=True)
class Workload:
    """What is computed, and whether sums may come out differently rounded."""

    name: str
    outputs: tuple[te.Tensor, ...]
    exact: bool = True


def matmul(rng: random.Random) -> Workload:
    m, n, depth = (rng.randint(1, 13) for _ in range(3))
    source, wide = rng.choice([("int8", "int32"), ("uint8", "int32"), ("int16", "int16"), ("float32", "float32")])
    loose = source == "float32" and rng.random() < 0.5
    a, b = te.placeholder((m, depth), source, "A"), te.placeholder((n, depth), source, "B")
    k = te.reduce_axis(depth, "k")
    c = te.compute(
        (m, n), lambda i, j: te.sum(a[i, k].cast(wide) * b[j, k].cast(wide), k, reassociable=loose or None), "C"
    )
    if rng.random() < 0.5:
        c = te.compute((m, n), lambda i, j: te.maximum(c[i, j] + c[i, (j + 1) % n], 0), "D")
    return Workload("matmul", (c,), not loose)


def batched_matmul(rng: random.Random) -> Workload:
    batch, m, n, depth = (rng.randint(1, 5) for _ in range(4))
    a, b = te.placeholder((batch, m, depth), "int8", "A"), te.placeholder((batch, depth, n), "int8", "B")
    k = te.reduce_axis(depth, "k")
    wide = te.compute(
        (batch, m, n), lambda q, i, j: te.sum(a[q, i, k].cast("int32") * b[q, k, j].cast("int32"), k), "C"
    )
    return Workload("batched matmul", (te.compute(wide.shape, lambda q, i, j: (wide[q, i, j] >> 3).cast("int8"), "D"),))


def _padded(x: te.Tensor, pads: tuple[int, int, int, int], value: int) -> te.Tensor:
    _, _, height, width = x.shape
    top, left, bottom, right = pads
    return te.compute(
        (*x.shape[:2], height + top + bottom, width + left + right),
        lambda n, c, y, x_: te.select(
            (y >= top) & (y < height + top) & (x_ >= left) & (x_ < width + left), x[n, c, y - top, x_ - left], value
        ),
        "pad",
    )


@dataclass(frozen=True)
class _Window:
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    image: tuple[int, int]
    pads: tuple[int, int, int, int]
    result: tuple[int, int]


def _window(rng: random.Random) -> _Window:
    kernel = rng.randint(1, 3), rng.randint(1, 3)
    strides, dilation = (rng.randint(1, 3), rng.randint(1, 2)), (rng.randint(1, 2), rng.randint(1, 2))
    pads = tuple(rng.randint(0, 2) for _ in range(4))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    image = tuple(rng.randint(max(1, r - pads[d] - pads[d + 2]), 9) for d, r in enumerate(reach))
    result = tuple((image[d] + pads[d] + pads[d + 2] - reach[d]) // strides[d] + 1 for d in range(2))
    return _Window(kernel, strides, dilation, image, pads, result)  # type: ignore[arg-type]


def conv2d(rng: random.Random) -> Workload:
    w = _window(rng)
    depth, channels = rng.randint(1, 4), rng.randint(1, 5)
    x = te.placeholder((1, depth, *w.image), "int8", "X")
    weights = te.placeholder((channels, depth, *w.kernel), "int8", "W")
    pad = _padded(x, w.pads, rng.randint(-3, 3)) if any(w.pads) else x
    c, p, q = te.reduce_axis(depth, "c"), te.reduce_axis(w.kernel[0], "p"), te.reduce_axis(w.kernel[1], "q")
    (sy, sx), (dy, dx) = w.strides, w.dilation
    conv = te.compute(
        (1, channels, *w.result),
        lambda n, o, i, j: te.sum(
            pad[n, c, i * sy + p * dy, j * sx + q * dx].cast("int32") * weights[o, c, p, q].cast("int32"), (c, p, q)
        ),
        "conv",
    )
    bias = te.placeholder((channels,), "int32", "bias")
    out = te.compute(
        conv.shape,
        lambda n, o, i, j: te.minimum(te.maximum(conv[n, o, i, j] + bias[o] >> 4, 0), 127).cast("int8"),
        "out",
    )
    return Workload("conv2d", (out,) if rng.random() < 0.8 else (conv, out))


def depthwise(rng: random.Random) -> Workload:
    w = _window(rng)
    channels = rng.randint(1, 5)
    x = te.placeholder((1, channels, *w.image), "int16", "X")
    weights = te.placeholder((channels, *w.kernel), "int16", "W")
    pad = _padded(x, w.pads, 0)
    p, q = te.reduce_axis(w.kernel[0], "p"), te.reduce_axis(w.kernel[1], "q")
    (sy, sx), (dy, dx) = w.strides, w.dilation
    conv = te.compute(
        (1, channels, *w.result),
        lambda n, o, i, j: te.sum(pad[n, o, i * sy + p * dy, j * sx + q * dx] * weights[o, p, q], (p, q)),
        "depthwise",
    )
    return Workload("depthwise", (conv,))


def pooling(rng: random.Random) -> Workload:
    w = _window(rng)
    channels = rng.randint(1, 4)
    dtype = rng.choice(["int8", "uint8", "float32"])
    x = te.placeholder((1, channels, *w.image), dtype, "X")
    pad = _padded(x, w.pads, 0)
    p, q = te.reduce_axis(w.kernel[0], "p"), te.reduce_axis(w.kernel[1], "q")
    (sy, sx), (dy, dx) = w.strides, w.dilation
    kind = rng.choice([te.max, te.min, te.sum])
    pool = te.compute(
        (1, channels, *w.result), lambda n, o, i, j: kind(pad[n, o, i * sy + p * dy, j * sx + q * dx], (p, q)), "pool"
    )
    if dtype == "float32" and rng.random() < 0.5:
        area = float(w.kernel[0] * w.kernel[1])
        pool = te.compute(pool.shape, lambda n, o, i, j: te.round_even(pool[n, o, i, j] / area), "mean")
    return Workload("pooling", (pool,))


def _step(rng: random.Random, dtype: str) -> Callable[[te.Expr, te.Expr], te.Expr]:
    number = rng.randint(1, 7)
    both = [
        lambda a, b: a + b,
        lambda a, b: a * number - b,
        lambda a, b: te.maximum(a, b),
        lambda a, b: te.minimum(a, number),
        lambda a, b: te.select(a < b, a, b + number),
        lambda a, b: te.select(a.equal(b), b, a * b),
    ]
    if dtype == "float32":
        return rng.choice(
            [*both, lambda a, b: te.sqrt(te.maximum(a, 0.0)) / number, lambda a, b: (a * 9.7).cast("int8").cast(dtype)]
        )
    return rng.choice(
        [
            *both,
            lambda a, b: a // number,
            lambda a, b: a % number,
            lambda a, b: a >> b,
            lambda a, b: a << number,
            lambda a, b: a & b,
            lambda a, b: (a.cast("float32") * 1.7).cast(dtype),
            lambda a, b: (a | b).cast("int64").cast(dtype),
        ]
    )


def chain(rng: random.Random) -> Workload:
    """Elementwise steps, some shifted against each other, each reading the last and one before."""
    shape = tuple(rng.randint(1, 11) for _ in range(rng.randint(1, 3)))
    dtype = rng.choice(["int8", "uint8", "int16", "int32", "int64", "float32"])
    tensors = [te.placeholder(shape, dtype, "X")]
    names = ("i", "j", "k")[: len(shape)]
    for number in range(rng.randint(2, 5)):
        step, a, b = _step(rng, dtype), tensors[-1], rng.choice(tensors)
        move = rng.choice([0, 0, 0, 1])
        last = shape[-1]

        def element(*at: te.Expr, step=step, a=a, b=b, move=move, last=last) -> te.Expr:
            if move:
                beside = (*at[:-1], at[-1] - 1)
                return te.select(at[-1] >= 1, step(a[at], b[beside]), step(a[at], a[at]))
            return step(a[at], b[at])

        tensors.append(te.compute(shape, element, f"T{number}", axes=names))
    return Workload("chain", (tensors[-1],) if rng.random() < 0.7 else (tensors[-2], tensors[-1]))


def scan(rng: random.Random) -> Workload:
    steps, n = rng.randint(1, 7), rng.randint(1, 6)
    x = te.placeholder((steps, n), "int32", "X")
    doubled = te.compute((steps, n), lambda t, i: x[t, i] * 2 + 1, "X2")
    if rng.random() < 0.5:
        state = te.scan(
            (steps, n),
            lambda i: doubled[0, i],
            lambda s, t, i: s[t - 1, i] * 3 + doubled[t, (i + 1) % n] - s[t - 1, (i + 1) % n],
            "int32",
            "S",
        )
    else:
        w, k = te.placeholder((n, n), "int32", "W"), te.reduce_axis(n, "k")
        state = te.scan(
            (steps, n),
            lambda i: x[0, i],
            lambda s, t, i: te.sum(w[i, k] * s[t - 1, k] + doubled[t, k], k),
            "int32",
            "S",
        )
    if rng.random() < 0.3:
        return Workload("scan", (te.compute((n,), lambda i: state[steps - 1, n - 1 - i] + 1, "last"),))
    return Workload("scan", (te.compute((steps, n), lambda t, i: te.maximum(state[t, i], doubled[t, i]), "out"),))


def view(rng: random.Random) -> Workload:
    """Elements moved about: flipped, transposed, reshaped, repeated, skipped, rotated; each step a tensor."""
    rows, columns = rng.randint(1, 8), rng.randint(1, 8)
    tensor = te.placeholder((rows, columns), "int16", "X")
    for number in range(rng.randint(2, 4)):
        tensor = _moved(rng, tensor, f"T{number}")
    return Workload("view", (tensor,))


def _moved(rng: random.Random, x: te.Tensor, name: str) -> te.Tensor:
    rows, columns = x.shape
    factor = rng.randint(1, 3)
    wide = rng.choice([w for w in range(1, 9) if rows * columns % w == 0])
    shape, element = rng.choice(
        [
            ((rows, columns), lambda i, j: x[rows - 1 - i, columns - 1 - j]),
            ((columns, rows), lambda i, j: x[j, i]),
            ((rows * columns // wide, wide), lambda i, j: x[(i * wide + j) // columns, (i * wide + j) % columns]),
            ((rows * factor, columns), lambda i, j: x[i // factor, j] + x[(i + factor - 1) // factor % rows, j]),
            ((-(-rows // factor), columns), lambda i, j: x[i * factor, j]),
            ((rows, columns), lambda i, j: x[i, (j + factor) % columns] - x[rows - 1 - i, j]),
            ((rows, 1), lambda i, j: x[te.minimum(te.maximum(i - factor, 0), rows - 1), j + columns // 2]),
        ]
    )
    return te.compute(shape, lambda i, j: element(i, j) * 3 + 1, name)


KINDS: tuple[Callable[[random.Random], Workload], ...] = (
    matmul,
    batched_matmul,
    conv2d,
    depthwise,
    pooling,
    chain,
    scan,
    view,
)
