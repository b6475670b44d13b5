"""A convolution as the accelerator sees it: every channel dimension counted in blocks of the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import CompileError


@dataclass(frozen=True, kw_only=True)
class Addition:
    """A residual operand ``r`` added to requantised values ``q`` as QLinearAdd does it.

    ``clamp(rne(fma(q, scale, fma(r, residual_scale, offset))), low, high)``; with ``swap`` the residual operand is the
    first addend: ``fma(r, residual_scale, fma(q, scale, offset))``.

    Parameters
    ----------
    dtype : str
        Of the residual operand: ``"int8"`` or ``"uint8"``.
    scale, residual_scale, offset : float
        Float32 numbers.
    low, high : int
        Bounds of the sum.
    """

    dtype: str = "int8"
    scale: float
    residual_scale: float
    offset: float
    swap: bool = False
    low: int = -128
    high: int = 127


@dataclass(frozen=True, kw_only=True)
class Requantisation:
    """How accumulators become 8 bits, for all channels alike; each has a bias and a scale of its own beside it.

    Parameters
    ----------
    dtype : str
        ``"int8"`` or ``"uint8"``: of the result.
    zero_point : int
        Added after rounding.
    low, high : int
        Bounds of the result: of an activation, or of its type.
    addition : Addition, optional
        What is added behind that.
    table : bool
        Whether the low 8 bits of the result choose one of 256 values, last of all.
    """

    dtype: str = "int8"
    zero_point: int = 0
    low: int = -128
    high: int = 127
    addition: Addition | None = None
    table: bool = False


@dataclass(frozen=True)
class Fold:
    """Which pixels become channels, by rows and by columns.

    Pixel ``(Y, X)`` of the folded image has as channel ``(c · window[0] + i) · window[1] + j`` the pixel
    ``(Y · pitch[0] + i · dilation[0], X · pitch[1] + j · dilation[1])`` of the padded image's channel ``c``. A pitch
    and window of 2 is space-to-depth; a window as large as the kernel folds all its taps, which is *im2col*.

    Parameters
    ----------
    pitch : tuple of int
        Pixels from one window to the next.
    window : tuple of int
        Taps of the kernel in a window.
    dilation : tuple of int
        Pixels from one tap to the next: the convolution's.
    """

    pitch: tuple[int, int]
    window: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def taps(self) -> int:
        """Pixels that become one."""
        return self.window[0] * self.window[1]


def _require(ok: bool, subject: str, rule: str) -> None:
    if not ok:
        raise CompileError(f"{subject} {rule}")


@dataclass(frozen=True)
class Phases:
    """A transposed convolution without the zeros between its inputs: results that lie between one another.

    Row ``count · y + r`` of the result, ``r`` its *phase*, is row ``y`` of a convolution with every ``count``-th row of
    the kernel, from row ``count - 1 - (r + offset) % count`` on. Its window begins a row further down where
    ``r + offset`` reaches ``count``. The same holds for columns.

    Parameters
    ----------
    count : tuple of int
        Phases, by rows and by columns: the transposed convolution's stride.
    offset : tuple of int
        See above; less than ``count``.
    kernel : tuple of int
        Rows and columns of all phases' kernels together.
    size : tuple of int
        Rows and columns of each phase's result.
    own_parameters : bool
        Each phase has a bias of its own: ``param`` is (oc, phases, phases, block_out, 2).
    """

    count: tuple[int, int]
    offset: tuple[int, int]
    kernel: tuple[int, int]
    size: tuple[int, int]
    own_parameters: bool = False

    @property
    def reach(self) -> tuple[int, int]:
        """By how much the windows of different phases are apart."""
        rows, columns = ((n - 1 + a) // n for n, a in zip(self.count, self.offset, strict=True))
        return rows, columns


@dataclass(frozen=True, kw_only=True)
class ConvTask:
    """One convolution, ``acc[n, o, y, x] = Σ inp[n, i, y·s + p·d − pad, …] · wgt[o, i, p, q]ᵀ`` over tiles.

    In DRAM, row-major: ``inp`` (n, ic, ih, iw, batch, block_in), ``wgt`` (oc, ic, kh, kw, block_out, block_in) and the
    result (n, oc, oh, ow, batch, block_out). With groups there are so many times ``ic`` and ``oc`` of them, group by
    group, and each group's outputs see its inputs alone. A dense layer is a 1×1 convolution of a 1×1 image.

    Parameters
    ----------
    n : int
        Images, in groups of ``config.batch``.
    groups : int
        Convolutions side by side.
    ic, oc : int
        Input and output channels of one group, in blocks of ``config.block_in`` and ``config.block_out``.
    ih, iw, kh, kw : int
        Image and kernel, in pixels.
    stride, dilation : tuple of int
        By rows and by columns.
    pads : tuple of int
        Pixels of padding at the top, left, bottom and right.
    pad_value : int
        What the padding holds.
    requantisation : Requantisation, optional
        What is done to the sums on their way out; raw accumulators if left out.
    phases : Phases, optional
        The result's rows and columns are those of several convolutions in turn: its layout is (n, oc, oh, phases, ow,
        phases, …), that of the weights (oc, ic, phases, phases, kh, kw, …).
    pixel_parameters : bool
        Each pixel of the result has bias and scale of its own: parameters are (oc, oh, ow, block_out, 2).

    Raises
    ------
    CompileError
        If a size is below one or the kernel does not fit the padded image.
    """

    n: int = 1
    groups: int = 1
    ic: int
    oc: int
    ih: int
    iw: int
    kh: int
    kw: int
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    requantisation: Requantisation | None = None
    phases: Phases | None = None
    pixel_parameters: bool = False

    def __post_init__(self) -> None:
        for name in ("n", "groups", "ic", "oc", "ih", "iw", "kh", "kw"):
            _require(getattr(self, name) >= 1, f"{name} = {getattr(self, name)}", "must be at least 1; drop the layer")
        for name in ("stride", "dilation"):
            _require(
                min(getattr(self, name)) >= 1, f"{name} = {getattr(self, name)}", "must be at least 1×1; correct it"
            )
        _require(min(self.pads) >= 0, f"pads = {self.pads}", "must not be negative; crop the input instead")
        _require(
            min(self.oh, self.ow) >= 1,
            f"kernel {self.kh}×{self.kw} (dilation {self.dilation})",
            f"does not fit the image {self.ih}×{self.iw} with pads {self.pads}; enlarge one of them",
        )

    @property
    def inputs(self) -> int:
        """Input channels of all groups, in blocks."""
        return self.groups * self.ic

    @property
    def outputs(self) -> int:
        """Output channels of all groups, in blocks."""
        return self.groups * self.oc

    @property
    def oh(self) -> int:
        """Rows of the result, or of one phase."""
        if self.phases is not None:
            return self.phases.size[0]
        top, _, bottom, _ = self.pads
        return (self.ih + top + bottom - self.dilation[0] * (self.kh - 1) - 1) // self.stride[0] + 1

    @property
    def ow(self) -> int:
        """Columns of the result, or of one phase."""
        if self.phases is not None:
            return self.phases.size[1]
        _, left, _, right = self.pads
        return (self.iw + left + right - self.dilation[1] * (self.kw - 1) - 1) // self.stride[1] + 1

    @property
    def phase_count(self) -> int:
        """Results for each row and column of `oh` and `ow`."""
        return self.phases.count[0] * self.phases.count[1] if self.phases is not None else 1

    @property
    def results(self) -> int:
        """Tiles of the result."""
        return self.n * self.outputs * self.oh * self.ow * self.phase_count

    @property
    def parameters(self) -> int:
        """Pairs of bias and scale for each block of output channels."""
        return self.phase_count if self.phases is not None and self.phases.own_parameters else 1

    @property
    def macs(self) -> int:
        """Tile products, padding taps included: times ``config.macs`` for multiply-accumulates."""
        kh, kw = self.phases.kernel if self.phases is not None else (self.kh, self.kw)
        return self.n * self.groups * self.oc * self.ic * kh * kw * self.oh * self.ow
