"""`PynqDevice`: a Zynq board, through the pynq package that its image has (3.0 to 4.0).

pynq loads the bitstream (`Overlay`), reaches the registers (`MMIO`) and gives contiguous memory (`allocate`). The
memory port is not coherent with the processors' caches: a cacheable buffer is flushed after it was written and
invalidated before it is read. pynq synchronises whole buffers, so none may hold unflushed data while another part of it
is invalidated: every write is flushed at once.
"""

from __future__ import annotations

import importlib
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.encoding import Words, as_words
from weft_hardware.isa import instruction_bytes
from weft_hardware.registers import ADDRESS_BITS
from weft_runtime.device import Bytes, Device, Launch, MemoryUse, RunReport, check_launch
from weft_runtime.engine import DRAIN_LIMIT, TIMEOUT, WRONG_BITSTREAM, Engine, TimedPort, check_timeout
from weft_runtime.errors import DeviceError

from .vivado.component import LIBRARY, NAME, VENDOR

ALIGNMENT = 64
"""Every allocation starts at a multiple of this many bytes."""

WATCHDOG = 100_000_000
"""Cycles without progress after which a program is stopped where none are chosen: a second at 100 MHz."""

POLL = 50e-6
"""Seconds between two looks at the status of a launch, see `TimedPort`."""


class _OverlayPort(TimedPort):
    """The registers as pynq maps them."""

    def __init__(self, overlay: Any, mmio: Any, timeout: float) -> None:
        super().__init__(timeout, POLL)
        self._overlay, self._mmio = overlay, mmio

    def read(self, offset: int) -> int:
        return int(self._mmio.read(offset))

    def write(self, offset: int, value: int) -> None:
        self._mmio.write(offset, value)

    def reset_hardware(self) -> None:
        # Nothing less than the bitstream resets accelerator and interconnect.
        self._overlay.download()


class PynqDevice(Device):
    """The accelerator in the programmable logic of a Zynq board.

    Parameters
    ----------
    config : AcceleratorConfig
        What the bitstream was built for.
    bitstream : str or Path
        The ``.bit``; its ``.hwh`` lies beside it. Without a directory pynq looks for it among the installed overlays.
    cacheable : bool
        Buffers that the processors' caches hold: faster for host functions, at the price of flushing and invalidating.
    download : bool
        Load the bitstream; False where it is loaded already.
    timeout : float
        Seconds that a launch may take.
    watchdog : int
        Cycles without progress of any unit after which the hardware stops a program; 0 for never.
    target : pynq Device, optional
        Which of several; the active one where none is chosen.

    Raises
    ------
    DeviceError
        If pynq is missing, the bitstream is not there or holds no accelerator of this configuration.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        bitstream: str | Path,
        cacheable: bool = True,
        download: bool = True,
        timeout: float = TIMEOUT,
        watchdog: int = WATCHDOG,
        target: Any = None,
    ) -> None:
        self._pynq = _import_pynq()
        check_timeout(timeout)
        self.config = config
        self._cacheable, self._target = cacheable, target
        self._buffers: dict[int, Any] = {}
        self._addresses: list[int] = []
        self.overlay = self._load(str(bitstream), download)
        mmio = self._registers(str(bitstream))
        self._engine = Engine(
            config,
            _OverlayPort(self.overlay, mmio, timeout),
            (0, 1 << config.axi_addr_bits),
            watchdog=watchdog,
            drain_limit=DRAIN_LIMIT,
            hint=WRONG_BITSTREAM,
        )
        self._engine.set_up()

    def _load(self, bitstream: str, download: bool) -> Any:
        try:
            return self._pynq.Overlay(bitstream, download=download, device=self._target)
        except OSError as error:
            raise DeviceError(
                f"bitstream {bitstream!r} cannot be loaded ({error}); give the path of a .bit with its .hwh beside it, "
                "as root on the board"
            ) from None
        except RuntimeError as error:
            raise DeviceError(
                f"bitstream {bitstream!r} cannot be loaded ({error}); is this a board with pynq?"
            ) from None

    def _registers(self, bitstream: str) -> Any:
        """MMIO of the one accelerator in the overlay."""
        wanted = f"{VENDOR}:{LIBRARY}:{NAME}:"
        found = [ip for ip in self.overlay.ip_dict.values() if ip["type"].startswith(wanted)]
        if len(found) != 1:
            raise DeviceError(
                f"bitstream {bitstream!r} holds {len(found)} blocks of type {wanted}*, not one; "
                "build one with `weft board build`"
            )
        size = min(found[0]["addr_range"], 1 << ADDRESS_BITS)
        return self._pynq.MMIO(found[0]["phys_addr"], size, device=self._target)

    def close(self) -> None:
        for address in list(self._buffers):
            self.free(address)

    def allocate(self, nbytes: int) -> int:
        size = -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
        try:
            # One more tile than asked for: pynq promises no alignment, though pages have it.
            buffer = self._pynq.allocate(
                size + ALIGNMENT, dtype="u1", target=self._target, cacheable=int(self._cacheable)
            )
        except (RuntimeError, MemoryError) as error:
            raise DeviceError(
                f"allocation of {nbytes} bytes of contiguous memory failed ({error}); free buffers, or give the "
                "board's kernel more of it (cma=)"
            ) from None
        skip = -buffer.device_address % ALIGNMENT
        address = buffer.device_address + skip
        if address + size > 1 << self.config.axi_addr_bits:
            raise DeviceError(
                f"pynq gave memory at {address:#x}, which axi_addr_bits = {self.config.axi_addr_bits} cannot address; "
                "build the bitstream with more address bits"
            )
        self._buffers[address] = buffer[skip : skip + size]
        self._addresses = sorted(self._buffers)
        return address

    def free(self, address: int) -> None:
        if address not in self._buffers:
            raise DeviceError(f"DRAM address {address:#x} is not allocated; free each buffer once, at its start")
        del self._buffers[address]  # pynq frees what nobody refers to
        self._addresses = sorted(self._buffers)

    def write(self, address: int, data: Bytes) -> None:
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        if raw.size:
            part = self._part(address, raw.size)
            part[:] = raw
            part.flush()

    def read(self, address: int, nbytes: int) -> Bytes:
        if not nbytes:
            return np.zeros(0, np.uint8)
        part = self._part(address, nbytes)
        part.invalidate()
        return np.array(part, np.uint8)

    def view(self, address: int, nbytes: int) -> Bytes | None:
        """The buffer itself, unless the caches hold it."""
        return None if self._cacheable else np.asarray(self._part(address, nbytes))

    def memory_use(self) -> MemoryUse | None:
        """None: the kernel's contiguous memory is everybody's."""
        return None

    def launch(self, launch: Launch) -> RunReport:
        check_launch(launch, self.config)
        nbytes = launch.insn_count * instruction_bytes(self.config)
        self._part(launch.insn_address, nbytes)  # a clear sentence, before the accelerator reads what nobody allocated
        # The rest of the board's memory is the operating system's: nothing outside the buffers may be reached.
        last = self._addresses[-1]
        self._engine.memory_range = (self._addresses[0], last + self._buffers[last].nbytes)

        def program() -> Words:
            return as_words(self.read(launch.insn_address, nbytes), self.config)

        return self._engine.run(launch, program)

    def _part(self, address: int, nbytes: int) -> Any:
        """These bytes of the buffer that holds them."""
        k = bisect_right(self._addresses, address) - 1
        if k >= 0:
            begin = self._addresses[k]
            buffer = self._buffers[begin]
            if 0 <= nbytes <= begin + buffer.nbytes - address:
                return buffer[address - begin : address - begin + nbytes]
        raise DeviceError(
            f"DRAM access of {nbytes} bytes at {address:#x} is in no buffer; allocate it, or correct the address"
        )


def _import_pynq() -> Any:
    try:
        return importlib.import_module("pynq")
    except ImportError:
        raise DeviceError(
            "the pynq device needs the Python package 'pynq', which is not installed; it comes with the board's image, "
            "elsewhere run: pip install 'weft[board]'"
        ) from None
