"""Pooling as the accelerator sees it: channels counted in blocks of the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from .conv_task import Requantisation
from .errors import CompileError

MAX, SUM = "max", "sum"


@dataclass(frozen=True, kw_only=True)
class PoolTask:
    """Windows of an image, each of which becomes one pixel; no window reaches from one channel to another.

    In DRAM, row-major: ``inp`` (n, channels, ih, iw, batch, block) int8 and the result (n, channels, oh, ow, batch,
    block) int8.

    Parameters
    ----------
    kind : str
        ``"max"``: the largest value of each window; ``"sum"``: their sum, requantised.
    n : int
        Images, in groups of ``config.batch``.
    channels : int
        In blocks.
    ih, iw, kh, kw : int
        Image and window, in pixels.
    stride : tuple of int
        By rows and by columns.
    pads : tuple of int
        Pixels of padding at the top, left, bottom and right.
    pad_value : int
        What the padding holds; of a maximum the least int8, so that it never wins.
    requantisation : Requantisation, optional
        What is done to sums on their way out; maxima have none.

    Raises
    ------
    CompileError
        If a size is below one or the window does not fit the padded image.
    """

    kind: str
    n: int = 1
    channels: int
    ih: int
    iw: int
    kh: int
    kw: int
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = -128
    requantisation: Requantisation | None = None

    def __post_init__(self) -> None:
        assert self.kind in (MAX, SUM)
        assert (self.kind == SUM) == (self.requantisation is not None)
        if min(self.oh, self.ow) < 1:
            raise CompileError(
                f"window {self.kh}×{self.kw} does not fit the image {self.ih}×{self.iw} with pads {self.pads}; "
                "enlarge one of them"
            )

    @property
    def oh(self) -> int:
        """Rows of the result."""
        return (self.ih + self.pads[0] + self.pads[2] - self.kh) // self.stride[0] + 1

    @property
    def ow(self) -> int:
        """Columns of the result."""
        return (self.iw + self.pads[1] + self.pads[3] - self.kw) // self.stride[1] + 1

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of the padded image that any window touches."""
        return (self.oh - 1) * self.stride[0] + self.kh, (self.ow - 1) * self.stride[1] + self.kw
