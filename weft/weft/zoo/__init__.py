"""Networks to try things on: real topologies, seeded weights, quantised by onnxruntime's own quantiser.

Nothing is downloaded and nothing is trained: the weights are random, scaled so that no layer saturates and the output
depends on the input. What they are for is arithmetic, cycles and memory, which do not know what a network has learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weft_hardware.errors import WeftError

from ..extras import needs_extra


class ZooError(WeftError):
    """A network that the zoo does not have, or not so."""


@dataclass(frozen=True)
class Entry:
    """One network of the zoo.

    Parameters
    ----------
    module : str
        The file that builds it, below `weft.zoo`; its function has the network's name.
    size : int
        Pixels of a side, elements, or steps of the input, unless another is chosen.
    summary : str
        For the list of networks.
    scan : bool
        Whether the function builds one step, the body of a Scan of ``size`` steps.
    """

    module: str
    size: int
    summary: str
    scan: bool = False


NETWORKS: dict[str, Entry] = {
    "lenet5": Entry("plain", 32, "LeNet-5: tanh and average pools"),
    "mlp": Entry("plain", 784, "three dense layers"),
    "vgg11": Entry("plain", 224, "VGG-11 with a small classifier"),
    "resnet18": Entry("resnet", 224, "ResNet-18: residual blocks"),
    "resnet50": Entry("resnet", 224, "ResNet-50: bottlenecks"),
    "mobilenet_v1": Entry("mobilenet", 224, "MobileNet V1: depthwise convolutions, ReLU6"),
    "mobilenet_v2": Entry("mobilenet", 224, "MobileNet V2: inverted residuals"),
    "dcgan": Entry("dense_images", 64, "DCGAN's generator: transposed convolutions"),
    "unet": Entry("dense_images", 128, "U-Net: concatenation, nearest-neighbour upsampling"),
    "bert_block": Entry("sequences", 128, "an encoder block of BERT-base: attention, layer norm, GELU"),
    "rnn": Entry("sequences", 8, "a quantised tanh cell, unrolled"),
    "rnn_scan": Entry("sequences", 8, "a quantised tanh cell in a Scan", scan=True),
    "lstm": Entry("sequences", 16, "a float LSTM with quantised layers around it"),
    "gru": Entry("sequences", 16, "a float bidirectional GRU with quantised layers around it"),
}
"""Every network by name."""


def float_network(name: str, *, size: int | None = None, seed: int = 0, **options: Any) -> bytes:
    """A network before quantisation, as ONNX.

    Parameters
    ----------
    size : int, optional
        Another input size than `NETWORKS` says.
    options
        Further parameters of the network's own function, for example ``width``.

    Raises
    ------
    WeftError
        If there is no such network or size, or the ``compiler`` extra is missing.
    """
    entry, chosen = _entry(name, size)
    step = _built(name, chosen, seed, options)
    return _scanned(step, chosen) if entry.scan else step


def _entry(name: str, size: int | None) -> tuple[Entry, int]:
    """What the zoo has under a name, and its size."""
    if name not in NETWORKS:
        raise ZooError(f"{name!r} is no network of the zoo; choose one of {', '.join(NETWORKS)}")
    entry = NETWORKS[name]
    return entry, entry.size if size is None else size


def _built(name: str, size: int, seed: int, options: dict[str, Any]) -> bytes:
    """What the network's function builds: the network, or one step of it."""
    entry = NETWORKS[name]
    with needs_extra("compiler", "building a network"):
        from importlib import import_module

        build: Callable[..., bytes] = getattr(import_module(f".{entry.module}", __name__), name)
    return build(seed=seed, **options) if entry.scan else build(size=size, seed=seed, **options)


def _scanned(step: bytes, size: int) -> bytes:
    with needs_extra("compiler", "building a network"):
        from .sequences import scanned
    return scanned(step, size)


def network(
    name: str,
    *,
    size: int | None = None,
    activations: str = "uint8",
    per_channel: bool = True,
    qdq: bool = True,
    bytes_in: bool = False,
    seed: int = 0,
    **options: Any,
) -> bytes:
    """A quantised network, as ONNX.

    Parameters
    ----------
    activations : str
        ``"uint8"`` (asymmetric) or ``"int8"`` (symmetric). Weights are symmetric int8.
    per_channel : bool
        One weight scale for each output channel, or one a tensor.
    qdq : bool
        QuantizeLinear/DequantizeLinear around float operators; otherwise onnxruntime's quantised operators.
    bytes_in : bool
        Whether the input is the quantised image itself, instead of floats that the network quantises first.

    Raises
    ------
    WeftError
        As `float_network`, or if the ``reference`` extra, which has the quantiser, is missing.
    """
    entry, chosen = _entry(name, size)
    if entry.scan and bytes_in:
        raise ZooError(f"{name} quantises its sequence step by step; leave bytes_in out")
    model = _built(name, chosen, seed, options)
    with needs_extra("reference", "quantising a network"):
        from .quantiser import quantised
    made = quantised(model, activations=activations, per_channel=per_channel, qdq=qdq, bytes_in=bytes_in, seed=seed)
    return _scanned(made, chosen) if entry.scan else made
