"""`import weft`: the public face of the stack.

>>> module = weft.compile("model.onnx", "vta")  # doctest: +SKIP
>>> with weft.open_device("functional", module.config) as device:  # doctest: +SKIP
...     y = module.run(device, x)

What an extra brings is imported where it is used, and numpy, too: a command that needs none of it starts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError
from weft_hardware.presets import PRESETS, load_config

from .devices import DEVICES, open_device
from .extras import needs_extra

if TYPE_CHECKING:
    from weft_compiler.graph import External, Graph
    from weft_compiler.options import Scheduled, Schedules
    from weft_compiler.placement import Placement
    from weft_compiler.te import Schedule
    from weft_runtime.external_functions import External as Function
    from weft_runtime.module import Module
    from weft_runtime.remote.client import Server

__all__ = [
    "DEVICES",
    "PRESETS",
    "AcceleratorConfig",
    "Module",
    "WeftError",
    "build",
    "compile",
    "connect",
    "external",
    "graph",
    "load",
    "load_config",
    "open_device",
    "placement",
]


def __getattr__(name: str) -> Any:
    if name != "Module":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from weft_runtime.module import Module

    return Module


def compile(
    model: str | Path | bytes,
    config: AcceleratorConfig | str | Path = "vta",
    *,
    batch: int = 1,
    functions: Mapping[str, Function] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    cache: bool = False,
    dump: str | Path | None = None,
    host_targets: str | Sequence[str] = "x86_64",
    link: bool = False,
    overlap: bool = True,
    extensions: bool = True,
    schedules: Schedules | None = None,
    scheduled: Callable[[Scheduled], None] | None = None,
) -> Module:
    """Compile a quantised ONNX network, or a module of IR.

    Parameters
    ----------
    model : str, Path or bytes
        The ONNX file, or its content; or a file of IR, whose name ends in ``.mlir``.
    config : AcceleratorConfig, str or Path
        The accelerator: itself, a preset's name, or a file.
    batch : int
        The batch size, where the model leaves it open.
    functions : Mapping, optional
        The external functions that the IR calls, by name.
    progress : callable, optional
        Told each finished stage's name, the stages done, and all of them.
    cache : bool
        Take a network's module from the user's cache, or leave it there; not with ``dump``.
    dump : path, optional
        A folder that every level of the compilation is written to, as numbered files.
    host_targets : str or sequence of str
        CPUs that the module carries the host's code for as objects: ``"x86_64"``, ``"aarch64"``, ``"armv7"``,
        ``"riscv64"``, and without an operating system ``"riscv32"``, ``"cortex-m4"``. Other CPUs compile the code when
        they load it.
    link : bool
        Whether the objects for Linux are also carried as shared libraries, which are loaded without llvmlite; takes the
        ``export`` extra.
    overlap : bool
        Whether layers of the accelerator that follow each other are one program, so that the next one loads while this
        one drains; otherwise each is a launch of its own.
    extensions : bool
        Whether programs may use more than the base instruction set; without, they run on other hardware of it, and keep
        clear of what that gets wrong. The host requantises then.
    schedules : Mapping, optional
        Schedules found by tuning, by the layer's digest, one or the best ones in turn; all other layers have the
        compiler's own. See docs/tuning.md.
    scheduled : callable, optional
        Told of each layer that has a choice of schedules what became of those given for it; not if the module comes
        from the cache.

    Raises
    ------
    WeftError
        If the model cannot be read or holds what cannot be compiled, or the ``compiler`` extra is missing.
    """
    chosen = load_config(config)
    with needs_extra("compiler", "compiling a network"):
        from weft_compiler import CompileOptions, compile_file, compile_model

        options = CompileOptions(
            batch=batch,
            progress=progress,
            dump=dump,
            host_targets=host_targets,
            overlap=overlap,
            extensions=extensions,
            schedules=schedules or {},
            scheduled=scheduled,
        )
        if not isinstance(model, bytes) and Path(model).suffix == ".mlir":
            made = compile_file(model, chosen, options, functions=functions)
            return made.linked() if link else made

        def make() -> Module:
            made = compile_model(model, chosen, options)
            return made.linked() if link else made

        if not cache or dump is not None:
            return make()
        try:
            data = model if isinstance(model, bytes) else Path(model).read_bytes()
        except OSError:
            return make()  # which says what is wrong
        from .compile_cache import Place, kept_file

        return kept_file(Place(data, chosen, options.key, link), make).module()


def placement(
    model: str | Path | bytes,
    config: AcceleratorConfig | str | Path = "vta",
    *,
    batch: int = 1,
    extensions: bool = True,
) -> list[Placement]:
    """Say of every node of a network where it will run and why, without compiling it.

    Parameters
    ----------
    model, config, batch, extensions
        As for `compile`.

    Raises
    ------
    WeftError
        If the model cannot be read or holds what cannot be compiled, or the ``compiler`` extra is missing.
    """
    chosen = load_config(config)
    with needs_extra("compiler", "compiling a network"):
        from weft_compiler.placement import placement

        return placement(model, chosen, batch=batch, extensions=extensions)


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
    chosen = load_config(config)
    with needs_extra("compiler", "compiling a kernel"):
        from weft_compiler.accel.build import build_kernel

        return build_kernel(schedule, chosen, name)


def graph(config: AcceleratorConfig | str | Path = "vta") -> Graph:
    """Begin a module of one's own: a graph that calls scheduled kernels, networks and external functions.

    Parameters
    ----------
    config : AcceleratorConfig, str or Path
        The accelerator: itself, a preset's name, or a file.

    Returns
    -------
    Graph
        See `weft_compiler.graph.Graph` and docs/modules.md.
    """
    chosen = load_config(config)
    with needs_extra("compiler", "building a graph"):
        from weft_compiler.graph import Graph

        return Graph(chosen)


def external(
    name: str,
    outputs: Sequence[tuple[Sequence[int], str]],
    function: Function | None = None,
    *,
    language: str = "python",
) -> External:
    """A function that a graph calls and its module does not hold.

    Parameters
    ----------
    name : str
        How the module calls it.
    outputs : sequence of (shape, dtype)
        The tensors that it writes.
    function : callable, optional
        Takes the inputs, then the outputs, as numpy arrays, or as pointers if it is a function of `ctypes`. Left out,
        it is given when the module is loaded.
    language : str
        ``"python"`` or ``"c"``.
    """
    with needs_extra("compiler", "building a graph"):
        from weft_compiler.graph import External

        return External(name, tuple(outputs), function, language)


def connect(address: str) -> Server:
    """Connect to a server of devices, to give it modules and run them by name.

    Parameters
    ----------
    address : str
        Such as ``grpc://board.lan:7350?credentials=FOLDER``, see docs/remote.md.

    Raises
    ------
    WeftError
        If the server does not answer, or the ``remote`` extra is missing.
    """
    with needs_extra("remote", "a remote device"):
        from weft_runtime.remote.client import Server
    return Server(address)


def load(path: str | Path, functions: Mapping[str, Function] | None = None) -> Module:
    """Read a compiled module from a ``.weft`` file.

    Parameters
    ----------
    functions : Mapping, optional
        The external functions that the module calls, by name.

    Raises
    ------
    ModuleError
        If the file is missing, truncated or damaged.
    """
    from weft_runtime.module import Module

    return Module.load(path, functions)
