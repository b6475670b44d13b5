"""The compiler as its tests call it: every program that it emits is checked."""

from __future__ import annotations

from typing import Any

import weft_compiler
from support.soundness import assert_module_sound
from weft_runtime.module import Module


def compile_model(*arguments: Any, **options: Any) -> Module:
    """As `weft_compiler.compile_model`; fails if a launch of the module could race, hang or fault."""
    return assert_module_sound(weft_compiler.compile_model(*arguments, **options))
