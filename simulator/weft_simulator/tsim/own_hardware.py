"""Hardware of one's own in tsim: any Amaranth component or Verilog file with the same host and memory ports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from weft_runtime.device import Bytes
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError

from .build import ANY_DESIGN, TOP, Builder, Progress
from .model import MemoryTiming, RtlModel, Wave
from .toolchain import require_hdl

if TYPE_CHECKING:
    from amaranth.lib import wiring

DRAM_SIZE = 64 << 20


class OwnHardware:
    """A design behind an AXI4-Lite host port and an AXI4 memory port, with tsim's memory, build and cache.

    docs/own_hardware.md has the ports. The bus protocol is watched: a design that breaks it gets a `DeviceError` with
    the cycle and the rule.

    Parameters
    ----------
    design : Amaranth component, or Path of a Verilog file
        Clock ``clk`` and synchronous reset ``rst``, active high.
    top : str, optional
        The Verilog file's top module, by default named as the file is.
    dram_size : int
        Bytes of memory, from address 0.
    memory : MemoryTiming
        How the memory answers.
    wave : Wave, optional
        A waveform of all that happens, its cycles counted from the first after reset.
    cache_dir, compiler, progress
        See `build.Builder`.

    Raises
    ------
    DeviceError
        If a tool is missing, the file cannot be read or lacks the module, or a tool refuses the design.
    """

    def __init__(
        self,
        design: wiring.Component | Path | str,
        *,
        top: str | None = None,
        dram_size: int = DRAM_SIZE,
        memory: MemoryTiming | None = None,
        wave: Wave | None = None,
        cache_dir: Path | str | None = None,
        compiler: str = "auto",
        progress: Progress | None = None,
    ) -> None:
        self.dram = Dram.zeros(dram_size)
        builder = Builder(cache_dir, compiler, progress, wave.kind if wave else None)
        if isinstance(design, Path | str):
            text = _named_top(Path(design), top)
            library = builder.library(text, lambda: text, ANY_DESIGN)
        else:
            library = _component_library(design, builder)
        self._model = RtlModel(library, self.dram, memory or MemoryTiming())
        if wave is not None:
            self._model.start_wave(wave)

    def __enter__(self) -> OwnHardware:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the model."""
        self._model.close()

    def allocate(self, nbytes: int) -> int:
        """Reserve memory; returns its address, a multiple of 64."""
        return self.dram.allocate(nbytes)

    def free(self, address: int) -> None:
        """Give back what `allocate` reserved."""
        self.dram.free(address)

    def write(self, address: int, data: Bytes | np.ndarray) -> None:
        """Copy an array's bytes to memory."""
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        self.dram.view(address, raw.size)[:] = raw

    def read(self, address: int, nbytes: int) -> Bytes:
        """Copy bytes from memory."""
        return self.dram.view(address, nbytes).copy()

    def write_register(self, offset: int, value: int) -> None:
        """Write 32 bits over the host port."""
        self._model.write(offset, value)

    def read_register(self, offset: int) -> int:
        """Read 32 bits over the host port."""
        return self._model.read(offset)

    def run_until(self, offset: int, mask: int, max_cycles: int = 1_000_000_000) -> int:
        """Run until a register shows one of the masked bits, which is looked at every few dozen cycles.

        Returns
        -------
        cycles : int
            Clock cycles that passed.

        Raises
        ------
        DeviceError
            If it does not in so many cycles, or the design breaks the bus protocol.
        """
        start = self.cycles
        if not self._model.run_until(offset, mask, max_cycles) & mask:
            raise DeviceError(
                f"register {offset:#x} showed no bit of {mask:#x} in max_cycles = {max_cycles}; "
                "raise max_cycles, or look for what the design waits for"
            )
        return self.cycles - start

    def reset(self) -> None:
        """Hold ``rst`` for a few cycles; memory keeps its content."""
        self._model.reset()

    @property
    def cycles(self) -> int:
        """Clock cycles since the design was opened."""
        return self._model.cycles

    @property
    def irq(self) -> bool:
        """The design's output ``irq``; False if it has none."""
        return self._model.irq


def _component_library(design: wiring.Component, builder: Builder) -> Path:
    versions = require_hdl()
    from weft_hardware.rtl.verilog import to_rtlil, to_verilog

    text = to_rtlil(design)
    return builder.library(f"{text} {versions}", lambda: to_verilog(text), ANY_DESIGN)


def _named_top(path: Path, top: str | None) -> str:
    """The file's text, its top module named as the harness expects it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DeviceError(f"Verilog file {str(path)!r} cannot be read: {error.strerror}; check its path") from None
    except UnicodeDecodeError:
        raise DeviceError(f"Verilog file {str(path)!r} is not UTF-8 text; give Verilog source") from None
    name = top or path.stem
    renamed, count = re.subn(rf"\bmodule(\s+){re.escape(name)}\b", rf"module\g<1>{TOP}", text)
    if count != 1:
        raise DeviceError(
            f"Verilog file {str(path)!r} declares module {name!r} {count} times, not once; name its top module in top="
        )
    return renamed
