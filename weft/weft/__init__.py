"""`import weft`: the public face of the stack.

>>> module = weft.compile("model.onnx", "vta")  # doctest: +SKIP
>>> with weft.open_device("functional", module.config) as device:  # doctest: +SKIP
...     y = module.run(device, x)

What an extra brings is imported where it is used: ``import weft`` itself needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError
from weft_hardware.presets import PRESETS, load_config
from weft_runtime.module import Module

from .devices import DEVICES, open_device
from .extras import needs_extra

if TYPE_CHECKING:
    from weft_compiler.te import Schedule

__all__ = [
    "DEVICES",
    "PRESETS",
    "AcceleratorConfig",
    "Module",
    "WeftError",
    "build",
    "compile",
    "load",
    "load_config",
    "open_device",
]


def compile(
    model: str | Path | bytes,
    config: AcceleratorConfig | str | Path = "vta",
    *,
    batch: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Module:
    """Compile a quantised ONNX network.

    Parameters
    ----------
    model : str, Path or bytes
        The ONNX file, or its content.
    config : AcceleratorConfig, str or Path
        The accelerator: itself, a preset's name, or a file.
    batch : int
        The batch size, where the model leaves it open.
    progress : callable, optional
        Told each finished stage's name, the stages done, and all of them.

    Raises
    ------
    WeftError
        If the model cannot be read or holds what cannot be compiled, or the ``compiler`` extra is missing.
    """
    chosen = config if isinstance(config, AcceleratorConfig) else load_config(config)
    with needs_extra("compiler", "compiling a network"):
        from weft_compiler import compile_model

        return compile_model(model, chosen, batch=batch, progress=progress)


def build(schedule: Schedule, config: AcceleratorConfig | str | Path = "vta", *, name: str = "kernel") -> Module:
    """Compile a scheduled tensor expression of one's own for the accelerator.

    Parameters
    ----------
    schedule : weft_compiler.te.Schedule
        Every stage is tensorized, see docs/tensor_expressions.md and the notebooks.
    config : AcceleratorConfig, str or Path
        The accelerator: itself, a preset's name, or a file.
    name : str
        Of the module's only layer.

    Raises
    ------
    WeftError
        If the accelerator cannot hold or express what is asked for, or the ``compiler`` extra is missing.
    """
    chosen = config if isinstance(config, AcceleratorConfig) else load_config(config)
    with needs_extra("compiler", "compiling a kernel"):
        from weft_compiler.accel.build import build_kernel

        return build_kernel(schedule, chosen, name)


def load(path: str | Path) -> Module:
    """Read a compiled module from a ``.weft`` file.

    Raises
    ------
    ModuleError
        If the file is missing, truncated or damaged.
    """
    return Module.load(path)
