"""Templates by their names, which say everything about them."""

from __future__ import annotations

import re

from . import float_product, int8_product
from .depthwise import depthwise
from .requantised_product import requantised_product
from .template import Template
from .transpose import transpose

PREFIX = "weft."
"""What the names of templates begin with."""

_TILE = (("ptr", "c"), ("ptr", "a"), ("ptr", "b"))


def float32_product(rows: int, columns: int, depth: int) -> Template:
    """``c[i, j] += Σₖ a[i, k] · b[k, j]``, reassociable."""
    return Template(
        f"{PREFIX}product.float32.{rows}x{columns}x{depth}",
        _TILE,
        lambda f, level: float_product.write(f, level, rows, columns, depth),
    )


def byte_product(dtype: str, rows: int, columns: int, depth: int) -> Template:
    """``c[i, j] += Σₖ a[k / 4, i, k % 4] · b[k / 4, j, k % 4]`` of int32, a of ``dtype`` and b of int8."""
    return Template(
        f"{PREFIX}product.{dtype}.{rows}x{columns}x{depth}",
        _TILE,
        lambda f, level: int8_product.write_accumulating(f, level, rows, columns, depth, dtype == "int8"),
    )


_PRODUCT = re.compile(re.escape(PREFIX) + r"product\.(float32|int8|uint8)\.(\d+)x(\d+)x(\d+)")
_REQUANTISED = re.compile(re.escape(PREFIX) + r"requantised\.(\d+)x(\d+)")


def is_named(name: str) -> bool:
    """Whether there is a template of a name."""
    return name in (transpose().name, depthwise().name) or any(p.fullmatch(name) for p in (_PRODUCT, _REQUANTISED))


def named(name: str) -> Template:
    """The template of a name."""
    for template in (transpose(), depthwise()):
        if name == template.name:
            return template
    if found := _REQUANTISED.fullmatch(name):
        return requantised_product(int(found[1]), int(found[2]))
    found = _PRODUCT.fullmatch(name)
    assert found is not None, name
    dtype, *sizes = found.groups()
    rows, columns, depth = map(int, sizes)
    return float32_product(rows, columns, depth) if dtype == "float32" else byte_product(dtype, rows, columns, depth)
