"""One network for many accelerators: what does not depend on the accelerator is done once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_runtime.module_model import ModuleContent
from xdsl.dialects.builtin import ModuleOp

from .assemble import assemble
from .conv_task import ConvTask
from .dialects import qgraph
from .onnx_import import import_onnx
from .options import CompileOptions
from .pipeline import accelerator_passes, network_passes, run_passes
from .tasks import Task, task_of, without_numbers


class Network:
    """An ONNX network, read and simplified.

    Parameters
    ----------
    source, batch
        As for `weft_compiler.compile_model`.

    Raises
    ------
    CompileError
        If it cannot be read or holds something that is not supported.
    """

    def __init__(self, source: str | Path | bytes, batch: int = 1) -> None:
        self._options = CompileOptions(batch=batch)
        self._module = import_onnx(source, batch=batch)
        run_passes(self._module, AcceleratorConfig(), passes=network_passes())
        self._last: tuple[AcceleratorConfig, ModuleOp] | None = None

    def programs(
        self, config: AcceleratorConfig, schedules: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    ) -> ModuleContent:
        """What the accelerator executes, where a module has it: its launches are those of `compile_model`.

        The host's code is left out, so this is for those who count cycles and cannot be run.

        Parameters
        ----------
        schedules : Mapping
            As of `CompileOptions`.

        Raises
        ------
        CompileError
            As `compile_model`.
        """
        options = replace(self._options, schedules=schedules) if schedules else self._options
        return assemble(self._laid_out(config), config, options, targets=None)

    def tasks(self, config: AcceleratorConfig) -> Counter[Task]:
        """What the accelerator computes, and how often; tasks that take the same cycles are one."""
        found: Counter[Task] = Counter()
        for op in self._laid_out(config).walk():
            if isinstance(op, qgraph.ACCELERATED):
                task = task_of(op)
                found[without_numbers(task) if isinstance(task, ConvTask) else task] += 1
        return found

    def _laid_out(self, config: AcceleratorConfig) -> ModuleOp:
        """The network after all passes; that of the last configuration is kept."""
        if self._last is None or self._last[0] != config:
            module = self._module.clone()
            run_passes(module, config, passes=accelerator_passes(config))
            self._last = config, module
        return self._last[1]
