"""How each level multiplies bytes: four products of one output element at a time, added up in 32 bits, exactly.

The right operand holds signed bytes, the four that belong to one output element side by side. No unit saturates: where
the CPU lacks 8-bit dot products, bytes are widened to 16 bits first, which hold every product of two bytes of which one
is signed.
"""

from __future__ import annotations

from ..targets import AVX2, DOTPROD, NEON, NEON32, VNNI, Level
from .writer import Writer

GROUP = 4
"""Products that are added up at once."""


class Unit:
    """Plain vector operations; other levels override what they do better.

    Parameters
    ----------
    signed : bool
        Whether the left operand's bytes are signed; those of the right one are.

    Attributes
    ----------
    columns : int
        Output elements of one vector of the right operand.
    lanes : int
        32-bit lanes of their sums.
    """

    columns, lanes = 4, 4

    def __init__(self, f: Writer, signed: bool) -> None:
        self.f, self.signed = f, signed
        self.sums = f"<{self.lanes} x i32>"
        self.bytes = f"<{GROUP * self.columns} x i8>"
        self.words = f"<{GROUP * self.columns} x i16>"

    def left(self, word: str) -> str:
        """Four bytes of one row, as the multiplication wants them."""
        many = self.f.splat("i32", self.columns, word)
        return self._widened(self.f.op(f"bitcast <{self.columns} x i32> {many} to {self.bytes}"), self.signed)

    def right(self, pointer: str) -> str:
        """One vector of the right operand."""
        return self._widened(self.f.load(self.bytes, pointer), True)

    def _widened(self, value: str, signed: bool) -> str:
        return self.f.op(f"{'sext' if signed else 'zext'} {self.bytes} {value} to {self.words}")

    def add(self, total: str, left: str, right: str) -> str:
        """The sums with products added."""
        f, wide = self.f, f"<{GROUP * self.columns} x i32>"
        products = f.op(f"sext {self.words} {f.op(f'mul {self.words} {left}, {right}')} to {wide}")
        for k in range(GROUP):
            part = f.shuffle(wide, products, products, range(k, GROUP * self.columns, GROUP))
            total = f.op(f"add {self.sums} {total}, {part}")
        return total

    def sum_right(self, total: str, right: str) -> str:
        """Whatever `correct` needs of the right operand, added; nothing unless `corrects`."""
        raise AssertionError

    corrects = False
    """Whether the left operand is held off by 128, which `correct` makes up for."""

    def correct(self, total: str, of_right: str) -> str:
        raise AssertionError

    def finished(self, total: str) -> str:
        """The sums as ``<columns x i32>``."""
        return total


class _Avx2(Unit):
    """`vpmaddwd`: two lanes an element."""

    columns, lanes = 4, 8

    def left(self, word: str) -> str:
        f = self.f
        four = f.op(f"bitcast i32 {word} to <4 x i8>")
        wide = f.op(f"{'sext' if self.signed else 'zext'} <4 x i8> {four} to <4 x i16>")
        many = f.splat("i64", 4, f.op(f"bitcast <4 x i16> {wide} to i64"))
        return f.op(f"bitcast <4 x i64> {many} to <16 x i16>")

    def add(self, total: str, left: str, right: str) -> str:
        words = self.words
        products = self.f.call(self.sums, "llvm.x86.avx2.pmadd.wd", (words, left), (words, right))
        return self.f.op(f"add {self.sums} {total}, {products}")

    def finished(self, total: str) -> str:
        return _pairs(self.f, total, self.lanes)


class _Neon(Unit):
    """16-bit products, `sadalp` (`vpadal`) adds pairs of them."""

    columns, lanes = 2, 4

    def add(self, total: str, left: str, right: str) -> str:
        products = self.f.op(f"mul <8 x i16> {left}, {right}")
        pairs = self.f.call("<4 x i32>", "llvm.aarch64.neon.saddlp.v4i32.v8i16", ("<8 x i16>", products))
        return self.f.op(f"add <4 x i32> {total}, {pairs}")

    def finished(self, total: str) -> str:
        return _pairs(self.f, total, self.lanes)


class _Neon32(_Neon):
    def add(self, total: str, left: str, right: str) -> str:
        products = self.f.op(f"mul <8 x i16> {left}, {right}")
        name = "llvm.arm.neon.vpadals.v4i32.v8i16"
        return self.f.call("<4 x i32>", name, ("<4 x i32>", total), ("<8 x i16>", products))


class _Dot(Unit):
    """Instructions that add four products of bytes; of which signedness, the subclass says."""

    left_is_signed: bool

    @property
    def corrects(self) -> bool:  # type: ignore[override]
        return self.signed != self.left_is_signed

    def left(self, word: str) -> str:
        if self.corrects:
            # Adding or taking away 128 flips a byte's sign bit.
            word = self.f.op(f"xor i32 {word}, {-0x7F7F7F80}")
        many = self.f.splat("i32", self.columns, word)
        return self.f.op(f"bitcast <{self.columns} x i32> {many} to {self.bytes}")

    def right(self, pointer: str) -> str:
        return self.f.load(self.bytes, pointer)

    def sum_right(self, total: str, right: str) -> str:
        ones = ", ".join(["i8 1"] * GROUP * self.columns)
        return self.add(total, f"<{ones}>", right)

    def correct(self, total: str, of_right: str) -> str:
        shift = ", ".join(["i32 7"] * self.lanes)
        product = self.f.op(f"shl {self.sums} {of_right}, <{shift}>")
        return self.f.op(f"{'add' if self.left_is_signed else 'sub'} {self.sums} {total}, {product}")


class _Vnni(_Dot):
    """`vpdpbusd`: unsigned by signed."""

    columns, lanes, left_is_signed = 16, 16, False

    def add(self, total: str, left: str, right: str) -> str:
        kind = self.sums
        operands = (kind, total), (self.bytes, left), (self.bytes, right)
        return self.f.call(kind, "llvm.x86.avx512.vpdpbusd.512", *operands)


class _Dotprod(_Dot):
    """`sdot`: signed by signed."""

    columns, lanes, left_is_signed = 4, 4, True

    def add(self, total: str, left: str, right: str) -> str:
        operands = (self.sums, total), (self.bytes, left), (self.bytes, right)
        return self.f.call(self.sums, "llvm.aarch64.neon.sdot.v4i32.v16i8", *operands)


def _pairs(f: Writer, total: str, lanes: int) -> str:
    kind = f"<{lanes} x i32>"
    even, odd = (f.shuffle(kind, total, total, range(k, lanes, 2)) for k in (0, 1))
    return f.op(f"add <{lanes // 2} x i32> {even}, {odd}")


UNITS: dict[Level, type[Unit]] = {AVX2: _Avx2, VNNI: _Vnni, NEON: _Neon, NEON32: _Neon32, DOTPROD: _Dotprod}
"""Of each level that has something better than plain operations."""


def unit(level: Level, f: Writer, signed: bool) -> Unit:
    return UNITS.get(level, Unit)(f, signed)
