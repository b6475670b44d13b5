"""The geometry of ONNX's windows: convolutions, their transposes, and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.ir import SSAValue

from .dialects import qgraph
from .onnx_graph import Node


def auto_pads(
    node: Node, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...]:
    """Pads at the top, left, bottom and right, explicit or by ``auto_pad``."""
    mode = node.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return tuple(node.attributes.get("pads", (0, 0, 0, 0)))
    if mode == "VALID":
        return (0, 0, 0, 0)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        node.refuse(f"has auto_pad = {mode!r}; use NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    before, after = [], []
    for pixels, taps, stride, dilation in zip(size, kernel, strides, dilations, strict=True):
        total = max(0, (-(-pixels // stride) - 1) * stride + dilation * (taps - 1) + 1 - pixels)
        small, large = total // 2, total - total // 2
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return (*before, *after)


def window_of(node: Node, x: SSAValue, kernel: Sequence[int]) -> tuple[dict[str, Any], tuple[int, int]]:
    """The properties of a 2-D window and the size of its result."""
    shape = qgraph.shape_of(x)
    if len(shape) != 4 or len(kernel) != 2:
        node.refuse(f"works on a tensor of shape {shape}; only 2-D windows over (N, C, H, W) are supported")
    strides = tuple(node.attributes.get("strides", (1, 1)))
    dilations = tuple(node.attributes.get("dilations", (1, 1)))
    pads = auto_pads(node, shape[2:], kernel, strides, dilations)
    if min(pads) < 0 or min(strides) < 1 or min(dilations) < 1:
        node.refuse(f"has strides {strides}, dilations {dilations}, pads {pads}; pads must be ≥ 0, the others ≥ 1")
    size = []
    for axis in range(2):
        span = shape[2 + axis] + pads[axis] + pads[2 + axis] - dilations[axis] * (kernel[axis] - 1) - 1
        steps = -(-span // strides[axis]) if node.attributes.get("ceil_mode", 0) else span // strides[axis]
        # A window of ceil mode must start inside the image or its leading padding.
        if node.attributes.get("ceil_mode", 0) and steps * strides[axis] >= shape[2 + axis] + pads[axis]:
            steps -= 1
        size.append(steps + 1)
    if min(size) < 1:
        node.refuse(
            f"has a {kernel[0]}×{kernel[1]} window that does not fit its {shape[2]}×{shape[3]} input; enlarge it"
        )
    return qgraph.window_properties(strides, pads, dilations), (size[0], size[1])


def conv_geometry(node: Node, x: SSAValue, w_shape: Sequence[int]) -> tuple[dict[str, Any], int, tuple[int, ...]]:
    """Window properties, groups and result shape of a convolution."""
    if len(w_shape) != 4:
        node.refuse(f"has weights of shape {tuple(w_shape)}; only 2-D convolutions are supported")
    window, (height, width) = window_of(node, x, tuple(w_shape[2:]))
    groups = int(node.attributes.get("group", 1))
    images, channels = qgraph.shape_of(x)[:2]
    if groups < 1 or channels != w_shape[1] * groups or w_shape[0] % groups:
        node.refuse(
            f"has {channels} input channels, weights of shape {tuple(w_shape)} and {groups} groups, "
            "which do not match; correct the model"
        )
    return window, groups, (images, w_shape[0], height, width)


def pool_geometry(node: Node, x: SSAValue) -> tuple[tuple[int, ...], dict[str, Any], tuple[int, ...]]:
    """Kernel, window properties and result shape of a pool."""
    kernel = tuple(node.attributes.get("kernel_shape", ()))
    window, (height, width) = window_of(node, x, kernel)
    pads = qgraph.ints(window["pads"])
    reach = [d * (k - 1) + 1 for d, k in zip(qgraph.ints(window["dilations"]), kernel, strict=True)]
    if any(pads[k] >= reach[k % 2] for k in range(4)):
        node.refuse(f"pads by {pads}, more than its {kernel[0]}×{kernel[1]} window reaches; reduce the pads")
    return kernel, window, (*qgraph.shape_of(x)[:2], height, width)


def transpose_geometry(
    node: Node, x: SSAValue, w_shape: Sequence[int]
) -> tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], int, tuple[int, ...]]:
    """Expansion, pads and dilations of a transposed convolution as a convolution, its groups and its result's shape."""
    shape = qgraph.shape_of(x)
    if len(shape) != 4 or len(w_shape) != 4:
        node.refuse(f"has weights of shape {tuple(w_shape)}; only 2-D convolutions are supported")
    strides, dilations = (tuple(node.attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
    extra = tuple(node.attributes.get("output_padding", (0, 0)))
    groups = int(node.attributes.get("group", 1))
    if groups < 1 or shape[1] != w_shape[0] or shape[1] % groups:
        node.refuse(
            f"has {shape[1]} input channels, weights of shape {tuple(w_shape)} and {groups} groups, "
            "which do not match; correct the model"
        )
    fits = all(0 <= extra[k] < max(strides[k], dilations[k]) for k in range(2))
    if min(strides) < 1 or min(dilations) < 1 or not fits:
        node.refuse(
            f"has strides {strides}, dilations {dilations}, output_padding {extra}, which do not fit; correct them"
        )
    reach = [dilations[k] * (w_shape[2 + k] - 1) + 1 for k in range(2)]
    whole = [(shape[2 + k] - 1) * strides[k] + reach[k] + extra[k] for k in range(2)]
    size, pads = _transpose_pads(node, shape[2:], strides, whole)
    if min(size) < 1:
        node.refuse(f"pads by {pads}, which leaves nothing of its {whole[0]}×{whole[1]} result; reduce the pads")
    before = tuple(reach[k] - 1 - pads[k] for k in range(2))
    after = tuple(reach[k] - 1 - pads[2 + k] + extra[k] for k in range(2))
    return (strides, (*before, *after), dilations), groups, (shape[0], w_shape[1] * groups, *size)


def _transpose_pads(
    node: Node, image: Sequence[int], strides: Sequence[int], whole: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Size of a transposed convolution's result, and what is cut off ``whole`` at the top, left, bottom and right."""
    mode = node.text("auto_pad", "NOTSET")
    size = node.attributes.get("output_shape")
    if size is not None:
        size = tuple(size)[-2:]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        size = tuple(image[k] * strides[k] for k in range(2))
    else:
        pads = tuple(node.attributes.get("pads", (0, 0, 0, 0))) if mode == "NOTSET" else (0, 0, 0, 0)
        return tuple(whole[k] - pads[k] - pads[2 + k] for k in range(2)), pads
    total = [max(0, whole[k] - size[k]) for k in range(2)]
    small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return size, (*small, *large) if mode == "SAME_UPPER" else (*large, *small)
