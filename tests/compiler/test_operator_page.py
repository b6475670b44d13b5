"""docs/networks.md names every operator that there is an importer for."""

import re
from pathlib import Path

from weft_compiler.onnx_import import FOLDED
from weft_compiler.onnx_operators import IMPORTERS

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"


def test_every_operator_is_named() -> None:
    words = set(re.findall(r"\w+", PAGE.read_text(encoding="utf-8")))
    assert sorted({*IMPORTERS, *FOLDED, "Identity"} - words) == []
