"""The layers of a network that have a choice of schedules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weft_compiler import CompileOptions
from weft_compiler.conv_task import ConvTask
from weft_hardware.config import AcceleratorConfig


@dataclass(frozen=True)
class Layer:
    """A convolution, dense layers and products included, that a network has once or several times.

    Parameters
    ----------
    names : tuple of str
        Of the nodes, in the network's order.
    task : ConvTask
        What is computed, the numbers of its requantisation left out: they change no cycle.
    """

    names: tuple[str, ...]
    task: ConvTask

    @property
    def name(self) -> str:
        """The first node, and how many more there are like it."""
        more = len(self.names) - 1
        return f"{self.names[0]} (+{more})" if more else self.names[0]


def layers_of(model: str | Path | bytes, config: AcceleratorConfig, options: CompileOptions) -> tuple[Layer, ...]:
    """The different convolutions that a network runs on the accelerator, in the order in which they come first.

    Parameters
    ----------
    model : path or bytes
        The ONNX file, or its content.
    options : CompileOptions
        With which it will be compiled: they decide what its layers are.

    Raises
    ------
    CompileError
        If the model cannot be read or compiled.
    """
    from weft_compiler.accel.plain import without_extensions
    from weft_compiler.dialects import qgraph
    from weft_compiler.onnx_import import import_onnx
    from weft_compiler.pipeline import run_passes
    from weft_compiler.tasks import task_of, without_numbers

    module = import_onnx(model, batch=options.batch)
    run_passes(module, config if options.extensions else without_extensions(config))
    names: dict[ConvTask, list[str]] = {}
    for op in module.walk():
        if isinstance(op, qgraph.ACCELERATED) and isinstance(task := task_of(op), ConvTask):
            names.setdefault(without_numbers(task), []).append(qgraph.layer_of(op))
    return tuple(Layer(tuple(found), task) for task, found in names.items())
