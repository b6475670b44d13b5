"""Importers of ONNX operators that pick, place and rename elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.ir import SSAValue

from .dialects import movement, qgraph
from .onnx_graph import Graph, Node, axis_of


def _axes(graph: Graph, node: Node, rank: int) -> list[int] | None:
    """Axes as an attribute (old opsets) or as input 1, counted from the front."""
    axes = node.attributes.get("axes")
    if axes is None and node.has_input(1):
        axes = graph.constant(node, 1, "axes").reshape(-1).tolist()
    if axes is None:
        return None
    if not all(-rank <= axis < rank for axis in axes):
        node.refuse(f"has axes {tuple(axes)}, outside {rank} dimensions; correct them")
    return [int(axis) % rank for axis in axes]


def _concat(graph: Graph, node: Node) -> SSAValue:
    parts = [graph.value(node, k) for k in range(len(node.inputs))]
    return graph.emit(movement.ConcatOp(parts, axis_of(node, len(qgraph.shape_of(parts[0])), 0)), node)


def _squeeze(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    shape = qgraph.shape_of(x)
    axes = _axes(graph, node, len(shape))
    axes = [k for k, n in enumerate(shape) if n == 1] if axes is None else axes
    if any(shape[axis] != 1 for axis in axes):
        node.refuse(f"squeezes axes {tuple(axes)} of shape {shape}; only axes of size 1 can go")
    return graph.emit(qgraph.ReshapeOp(x, [n for k, n in enumerate(shape) if k not in axes]), node)


def _unsqueeze(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    shape = list(qgraph.shape_of(x))
    count = node.attributes.get("axes")
    given = graph.constant(node, 1, "axes").reshape(-1).tolist() if count is None else count
    axes = _axes(graph, node, len(shape) + len(given)) or []
    for axis in sorted(axes):
        shape.insert(axis, 1)
    return graph.emit(qgraph.ReshapeOp(x, shape), node)


def _slice(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    shape = qgraph.shape_of(x)
    if "starts" in node.attributes:
        first, last = node.attributes["starts"], node.attributes["ends"]
        axes = list(node.attributes.get("axes", range(len(first))))
        steps = [1] * len(first)
    else:
        first, last = (graph.constant(node, k, name).reshape(-1) for k, name in ((1, "starts"), (2, "ends")))
        axes = graph.constant(node, 3, "axes").reshape(-1) if node.has_input(3) else range(len(first))
        steps = graph.constant(node, 4, "steps").reshape(-1) if node.has_input(4) else [1] * len(first)
    chosen = [range(n) for n in shape]
    for axis, start, end, step in zip(axes, first, last, steps, strict=True):
        begin, stop, stride = slice(int(start), int(end), int(step)).indices(shape[int(axis)])
        # Python's slice counts an end of −1 from the back; ONNX's INT_MIN end of a negative step arrives as −1 too.
        chosen[int(axis) % len(shape)] = range(begin, stop, stride)
    if not all(chosen):
        node.refuse(f"takes nothing of shape {shape}; correct its bounds")
    starts, strides = [r[0] for r in chosen], [r.step if len(r) > 1 else 1 for r in chosen]
    return graph.emit(movement.SliceOp(x, starts, strides, [len(r) for r in chosen]), node)


def _split(graph: Graph, node: Node) -> Sequence[SSAValue]:
    x = graph.value(node, 0)
    shape = qgraph.shape_of(x)
    axis, count = axis_of(node, len(shape), 0), len(node.outputs)
    sizes = node.attributes.get("split")
    if sizes is None and node.has_input(1):
        sizes = graph.constant(node, 1, "split").reshape(-1).tolist()
    if sizes is None:
        each = -(-shape[axis] // count)
        sizes = [min(each, shape[axis] - k * each) for k in range(count)]
    if sum(sizes) != shape[axis] or min(sizes) < 1 or len(sizes) != count:
        node.refuse(f"splits {shape[axis]} indices into {tuple(sizes)}; correct its sizes")
    parts, first = [], 0
    for size in sizes:
        starts, part = [0] * len(shape), list(shape)
        starts[axis], part[axis] = first, int(size)
        parts.append(graph.emit(movement.SliceOp(x, starts, [1] * len(shape), part), node))
        first += int(size)
    return parts


def _gather(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    shape = qgraph.shape_of(x)
    axis, indices = axis_of(node, len(shape), 0), graph.constant(node, 1, "indices")
    if indices.size and (indices.min() < -shape[axis] or indices.max() >= shape[axis]):
        node.refuse(f"takes indices {indices.min()}..{indices.max()} of {shape[axis]}; correct them")
    picked = graph.emit(movement.GatherOp(x, axis, (indices.reshape(-1) % shape[axis]).tolist()), node)
    wanted = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    return picked if wanted == qgraph.shape_of(picked) else graph.emit(qgraph.ReshapeOp(picked, wanted), node)


def _pad(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    rank, mode = len(qgraph.shape_of(x)), node.text("mode", "constant")
    value = float(node.attributes.get("value", 0.0))
    if "pads" in node.attributes:
        pads = [int(v) for v in node.attributes["pads"]]
    else:
        given = graph.constant(node, 1, "pads").reshape(-1).tolist()
        axes = graph.constant(node, 3, "axes").reshape(-1) % rank if node.has_input(3) else range(rank)
        pads = [0] * (2 * rank)
        for k, axis in enumerate(axes):
            pads[int(axis)], pads[rank + int(axis)] = int(given[k]), int(given[len(given) // 2 + k])
        if node.has_input(2):
            value = float(graph.constant(node, 2, "value").reshape(-1)[0])
    x, pads = _cropped(graph, node, x, pads)
    if mode == "constant":
        return graph.emit(movement.PadOp(x, pads, value), node) if any(pads) else x
    if mode not in ("reflect", "edge", "wrap"):
        node.refuse(f"has mode = {mode!r}; use constant, reflect, edge or wrap")
    for axis in range(rank):
        before, after = pads[axis], pads[rank + axis]
        if before or after:
            numbers = np.arange(qgraph.shape_of(x)[axis])
            padded = np.pad(numbers, (before, after), mode=mode)  # type: ignore[call-overload]
            x = graph.emit(movement.GatherOp(x, axis, padded.tolist()), node)
    return x


def _cropped(graph: Graph, node: Node, x: SSAValue, pads: Sequence[int]) -> tuple[SSAValue, list[int]]:
    """Negative pads cut off; what is left of the pads is not negative."""
    if min(pads) >= 0:
        return x, list(pads)
    shape, rank = qgraph.shape_of(x), len(qgraph.shape_of(x))
    starts = [max(0, -pads[k]) for k in range(rank)]
    sizes = [n - starts[k] - max(0, -pads[rank + k]) for k, n in enumerate(shape)]
    if min(sizes) < 1:
        node.refuse(f"pads shape {shape} by {tuple(pads)}, which leaves nothing; correct the pads")
    return graph.emit(movement.SliceOp(x, starts, [1] * rank, sizes), node), [max(0, pad) for pad in pads]


def _expand(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    target = tuple(int(n) for n in graph.constant(node, 1, "shape").reshape(-1))
    try:
        shape = np.broadcast_shapes(qgraph.shape_of(x), target)
    except ValueError:
        node.refuse(f"expands shape {qgraph.shape_of(x)} to {target}, which does not broadcast; correct it")
    return x if shape == qgraph.shape_of(x) else graph.emit(movement.BroadcastOp(x, shape), node)


def _tile(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    for axis, times in enumerate(graph.constant(node, 1, "repeats").reshape(-1).tolist()):
        if times != 1:
            x = graph.emit(movement.ConcatOp([x] * int(times), axis), node)
    return x


def _resize(graph: Graph, node: Node) -> SSAValue:
    """By nearest neighbours: every index of the result comes from one of the input."""
    x = graph.value(node, 0)
    shape = qgraph.shape_of(x)
    if node.text("mode", "nearest") != "nearest":
        node.refuse(f"has mode = {node.text('mode', 'nearest')!r}; only nearest is supported")
    scales, sizes = _resize_scales(graph, node, shape)
    for axis, (scale, size) in enumerate(zip(scales, sizes, strict=True)):
        if size != shape[axis] or scale != 1:
            indices = _nearest(node, shape[axis], size, scale)
            x = graph.emit(movement.GatherOp(x, axis, indices), node)
    return x


def _resize_scales(graph: Graph, node: Node, shape: Sequence[int]) -> tuple[list[float], list[int]]:
    """Scale and size of every axis."""
    scales_at = 1 if node.op == "Upsample" or (len(node.inputs) == 2 and graph.opset < 11) else 2
    scales, sizes = [1.0] * len(shape), list(shape)
    axes = [int(a) % len(shape) for a in node.attributes.get("axes", range(len(shape)))]
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        node.refuse("has a keep_aspect_ratio_policy; only stretch is supported")
    given = graph.constant(node, scales_at, "scales").reshape(-1) if node.has_input(scales_at) else np.zeros(0)
    if given.size:
        for axis, scale in zip(axes, given, strict=True):
            scales[axis] = float(np.float32(scale))
            sizes[axis] = int(np.floor(np.float32(shape[axis]) * np.float32(scale)))
    else:
        for axis, size in zip(axes, graph.constant(node, 3, "sizes").reshape(-1), strict=True):
            sizes[axis] = int(size)
            scales[axis] = float(np.float32(size) / np.float32(shape[axis]))
    return scales, sizes


def _nearest(node: Node, size: int, result: int, scale: float) -> list[int]:
    """The index that each index of the result takes."""
    at = np.arange(result, dtype=np.float32)
    factor = np.float32(scale)
    default = "half_pixel" if "coordinate_transformation_mode" in node.attributes or node.op == "Resize" else ""
    mode = "asymmetric" if node.op == "Upsample" else node.text("coordinate_transformation_mode", default)
    half = np.float32(0.5)
    places = {
        "asymmetric": lambda: at / factor,
        "half_pixel": lambda: (at + half) / factor - half,
        "pytorch_half_pixel": lambda: (at + half) / factor - half if result > 1 else at * 0,
        "align_corners": lambda: at * np.float32(size - 1) / np.float32(result - 1) if result > 1 else at * 0,
    }
    if mode not in places:
        node.refuse(f"has coordinate_transformation_mode = {mode!r}; use one of {', '.join(places)}")
    rounding = "floor" if node.op == "Upsample" else node.text("nearest_mode", "round_prefer_floor")
    rounds = {
        "round_prefer_floor": lambda v: np.ceil(v - half),
        "round_prefer_ceil": lambda v: np.floor(v + half),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    if rounding not in rounds:
        node.refuse(f"has nearest_mode = {rounding!r}; use one of {', '.join(rounds)}")
    return np.clip(rounds[rounding](places[mode]()), 0, size - 1).astype(int).tolist()


def _depth_to_space(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    n, channels, height, width = qgraph.shape_of(x)
    block = int(node.attributes["blocksize"])
    if block < 1 or channels % (block * block):
        node.refuse(f"has blocksize = {block} for {channels} channels; its square must divide them")
    depth = channels // (block * block)
    rows_first = node.text("mode", "DCR") == "DCR"
    split = (n, block, block, depth, height, width) if rows_first else (n, depth, block, block, height, width)
    x = graph.emit(qgraph.ReshapeOp(x, split), node)
    x = graph.emit(qgraph.TransposeOp(x, (0, 3, 4, 1, 5, 2) if rows_first else (0, 1, 4, 2, 5, 3)), node)
    return graph.emit(qgraph.ReshapeOp(x, (n, depth, height * block, width * block)), node)


def _space_to_depth(graph: Graph, node: Node) -> SSAValue:
    x = graph.value(node, 0)
    n, channels, height, width = qgraph.shape_of(x)
    block = int(node.attributes["blocksize"])
    if block < 1 or height % block or width % block:
        node.refuse(f"has blocksize = {block} for a {height}×{width} image; it must divide both")
    x = graph.emit(qgraph.ReshapeOp(x, (n, channels, height // block, block, width // block, block)), node)
    blocks_first = node.text("mode", "DCR") == "DCR"
    x = graph.emit(qgraph.TransposeOp(x, (0, 3, 5, 1, 2, 4) if blocks_first else (0, 1, 3, 5, 2, 4)), node)
    return graph.emit(qgraph.ReshapeOp(x, (n, channels * block * block, height // block, width // block)), node)


def _dropout(graph: Graph, node: Node) -> SSAValue:
    if node.has_input(2) and bool(graph.constant(node, 2, "training mode").reshape(-1)[0]):
        node.refuse("has training_mode = true; export the model for inference")
    return graph.value(node, 0)


IMPORTERS: dict[str, Callable[[Graph, Node], SSAValue | Sequence[SSAValue]]] = {
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Pad": _pad,
    "Expand": _expand,
    "Tile": _tile,
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Dropout": _dropout,
}
"""Importers by operator."""
