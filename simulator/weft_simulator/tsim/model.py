"""One verilated design, driven through the C ABI of ``harness.cpp`` with ctypes."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from pathlib import Path

from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError

from .fst_compressor import set_compressor

CHUNK = 1_000_000
"""Cycles between two returns to Python, so that Ctrl-C is heard within a second."""

_LIMIT, _HIT = 0, 1
_NEVER = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True)
class MemoryTiming:
    """How the simulated AXI memory answers.

    Parameters
    ----------
    read_latency : int
        Cycles: the first beat can be taken ``read_latency + 1`` cycles after the address handshake. Requests overlap,
        one beat comes a cycle.
    write_latency : int
        Cycles: a write is acknowledged ``write_latency + 1`` cycles after its last beat.
    stall_seed : int, optional
        Every channel pauses at random; the same seed gives the same pauses. None: it never pauses.
    stall_percent : int
        How often a channel pauses with a ``stall_seed``, 1..90.
    out_of_order : bool
        Answers of different AXI ids overtake each other, at random. For robustness tests only.
    bytes_per_cycle : int, optional
        Data that moves at most in a cycle, each way; None: a beat of the bus.
    error_range : tuple[int, int], optional
        Bus beats that touch bytes ``[begin, end)`` are answered with SLVERR.

    Raises
    ------
    DeviceError
        If a value is outside its range.
    """

    read_latency: int = 0
    write_latency: int = 0
    stall_seed: int | None = None
    stall_percent: int = 30
    out_of_order: bool = False
    bytes_per_cycle: int | None = None
    error_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("read_latency", 0, 100_000),
            ("write_latency", 0, 100_000),
            ("stall_percent", 1, 90),
            ("bytes_per_cycle", 1, 64),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise DeviceError(f"{name} = {value} is outside {low}..{high}; choose a value in that range")


class _Settings(ctypes.Structure):
    """``WeftSettings`` of the harness."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "read_latency",
            "write_latency",
            "random_seed",
            "stall_percent",
            "out_of_order",
            "error_begin",
            "error_end",
            "bytes_per_cycle",
        )
    )


@dataclass(frozen=True)
class Wave:
    """A waveform of clock cycles ``[start, stop)``, counted from the first launch, in a file ``.vcd`` or ``.fst``.

    A cycle is two units of time: before and after the clock's rise.

    Raises
    ------
    DeviceError
        If the file is of another kind, or there is no cycle in between.
    """

    path: Path
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("vcd", "fst"):
            raise DeviceError(f"waveform {str(self.path)!r} is neither a .vcd nor a .fst file; name it so")
        if not 0 <= self.start < (_NEVER if self.stop is None else self.stop):
            raise DeviceError(
                f"waveform from cycle {self.start} to cycle {self.stop} has no cycle; let it start before it stops"
            )

    @property
    def kind(self) -> str:
        """``vcd``, which every tool reads, or ``fst``, which is a fraction of its size."""
        return self.path.suffix[1:]


class Response(IntEnum):
    """What a memory answers instead of OKAY."""

    SLVERR = 2
    DECERR = 3


class Channel(IntFlag):
    """The channels of the memory port."""

    AR = 1
    R = 2
    AW = 4
    W = 8
    B = 16


NO_CHANNEL = Channel(0)


@dataclass(frozen=True, kw_only=True)
class Injection:
    """What the simulated memory does wrong; numbers count from 0 at the moment it is set.

    Parameters
    ----------
    read_beat, write_burst : int, optional
        This beat read, or this burst written, is answered with an error; nothing of the burst is written.
    response : Response
        Which error.
    hang : Channel
        Nothing more happens on these channels, until the next hardware reset or injection,
    hang_after : int
        after so many handshakes on any channel.
    """

    read_beat: int | None = None
    write_burst: int | None = None
    response: Response = Response.SLVERR
    hang: Channel = NO_CHANNEL
    hang_after: int = 0


class _Injection(ctypes.Structure):
    """``WeftInjection`` of the harness."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("read_beat", "read_response", "write_burst", "write_response", "hang_channels", "hang_after")
    )


@dataclass(frozen=True)
class Traffic:
    """Handshakes on the memory port: addresses and beats, with the cycle of the first address and of the last beat.

    All are 0 where there was none.
    """

    bursts: int
    first_burst: int
    beats: int
    last_beat: int

    @property
    def cycles(self) -> int:
        """From the first address handshake to the last beat, both included."""
        return self.last_beat - self.first_burst + 1 if self.beats else 0


class _Traffic(ctypes.Structure):
    """``WeftTraffic`` of the harness."""

    _fields_ = tuple((field.name, ctypes.c_uint64) for field in fields(Traffic))


_WRITES = 16
"""Index of the writes' traffic; those below are read ids."""


def _load(library: Path) -> ctypes.CDLL:
    abi = ctypes.CDLL(str(library))
    handle, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    value = ctypes.POINTER(u32)
    signatures = {
        "weft_create": (handle, (handle, u64, u64, ctypes.POINTER(_Settings))),
        "weft_destroy": (None, (handle,)),
        "weft_reset": (None, (handle, u32)),
        "weft_inject": (None, (handle, ctypes.POINTER(_Injection))),
        "weft_wave": (ctypes.c_int, (handle, ctypes.c_char_p, u64, u64)),
        "weft_wave_stop": (None, (handle,)),
        "weft_irq": (ctypes.c_int, (handle,)),
        "weft_write": (ctypes.c_int, (handle, u32, u32)),
        "weft_read": (ctypes.c_int, (handle, u32, value)),
        "weft_run": (ctypes.c_int, (handle, u32, u32, u64, value)),
        "weft_cycles": (u64, (handle,)),
        "weft_violation": (ctypes.c_char_p, (handle,)),
        "weft_traffic": (None, (handle, u32, ctypes.POINTER(_Traffic))),
        "weft_clear_traffic": (None, (handle,)),
        "weft_bad_address": (ctypes.c_int, (handle, ctypes.POINTER(u64))),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(abi, name)
        function.restype = result
        function.argtypes = arguments
    return abi


class RtlModel:
    """A design with the accelerator's ports, its clock and its memory.

    Parameters
    ----------
    library : Path
        What `build.Builder.library` returned.
    dram : Dram
        The memory behind the AXI port. A bus beat that it fills in part reads as zeros outside.
    timing : MemoryTiming
        How that memory answers.

    Raises
    ------
    DeviceError
        If the memory is empty; from the methods, if the design breaks a rule of AXI.
    """

    RESET_CYCLES = 4

    _handle: int | None = None
    _compressor: object = None
    """What the library calls until its waveform is closed."""

    def __init__(self, library: Path, dram: Dram, timing: MemoryTiming) -> None:
        if not dram.data.size:
            raise DeviceError(f"DRAM at {dram.base:#x} has 0 bytes; it must hold at least the program")
        begin, end = timing.error_range or (0, 0)
        settings = _Settings(
            read_latency=timing.read_latency,
            write_latency=timing.write_latency,
            random_seed=timing.stall_seed or 0,
            stall_percent=0 if timing.stall_seed is None else timing.stall_percent,
            out_of_order=timing.out_of_order,
            error_begin=begin,
            error_end=end,
            bytes_per_cycle=timing.bytes_per_cycle or 0,
        )
        self._dram = dram  # the harness points into its data
        self._abi = _load(library)
        self._handle = self._abi.weft_create(dram.data.ctypes.data, dram.base, dram.data.size, ctypes.byref(settings))
        self.reset()

    def close(self) -> None:
        """Destroy the model; nothing may be called afterwards."""
        if self._handle:
            self._abi.weft_destroy(self._handle)
            self._handle = None

    def __del__(self) -> None:
        self.close()

    def reset(self) -> None:
        """Hardware reset: registers start afresh, memories keep their content, what was in flight is forgotten.

        It ends an injection.
        """
        self._abi.weft_reset(self._handle, self.RESET_CYCLES)

    def inject(self, injection: Injection) -> None:
        """Let the memory fail from now on."""
        raw = _Injection(
            read_beat=_NEVER if injection.read_beat is None else injection.read_beat,
            read_response=injection.response,
            write_burst=_NEVER if injection.write_burst is None else injection.write_burst,
            write_response=injection.response,
            hang_channels=injection.hang,
            hang_after=injection.hang_after,
        )
        self._abi.weft_inject(self._handle, ctypes.byref(raw))

    def start_wave(self, wave: Wave) -> None:
        """Write a waveform of cycles from now on; the library must be built for it.

        Raises
        ------
        DeviceError
            If the file cannot be written.
        """
        if wave.kind == "fst":
            self._compressor = set_compressor(self._abi)
        stop = _NEVER if wave.stop is None else wave.stop
        if not self._abi.weft_wave(self._handle, str(wave.path).encode(), wave.start, stop):
            raise DeviceError(f"waveform {str(wave.path)!r} cannot be written; check its directory")

    def stop_wave(self) -> None:
        """Close the waveform's file."""
        self._abi.weft_wave_stop(self._handle)

    @property
    def irq(self) -> bool:
        """The interrupt output."""
        return bool(self._abi.weft_irq(self._handle))

    def write(self, offset: int, value: int) -> None:
        """Write a 32-bit register."""
        if not self._abi.weft_write(self._handle, offset, value):
            raise self._violation()

    def read(self, offset: int) -> int:
        """Read a 32-bit register."""
        value = ctypes.c_uint32()
        if not self._abi.weft_read(self._handle, offset, ctypes.byref(value)):
            raise self._violation()
        return value.value

    def run_until(self, offset: int, mask: int, cycles: int) -> int:
        """Run until a register shows one of the masked bits, or for so many cycles; returns the register.

        The register is looked at every few dozen cycles, over the host port: the design may run on for so long.
        """
        value = ctypes.c_uint32()
        left = cycles
        while True:
            outcome = self._abi.weft_run(self._handle, offset, mask, min(left, CHUNK), ctypes.byref(value))
            left -= min(left, CHUNK)
            if outcome not in (_LIMIT, _HIT):
                raise self._violation()
            if outcome == _HIT or not left:
                return value.value

    @property
    def cycles(self) -> int:
        """Clock cycles since the model was created."""
        return self._abi.weft_cycles(self._handle)

    def read_traffic(self, axi_id: int) -> Traffic:
        """Reads of one AXI id since `clear_traffic`."""
        return self._traffic(axi_id)

    def write_traffic(self) -> Traffic:
        """Writes since `clear_traffic`."""
        return self._traffic(_WRITES)

    def clear_traffic(self) -> None:
        """Start to count the memory port's handshakes afresh."""
        self._abi.weft_clear_traffic(self._handle)

    def _traffic(self, index: int) -> Traffic:
        traffic = _Traffic()
        self._abi.weft_traffic(self._handle, index, ctypes.byref(traffic))
        return Traffic(*(getattr(traffic, field.name) for field in fields(Traffic)))

    @property
    def bad_address(self) -> int | None:
        """The first address outside the memory since the last reset."""
        address = ctypes.c_uint64()
        return address.value if self._abi.weft_bad_address(self._handle, ctypes.byref(address)) else None

    def _violation(self) -> DeviceError:
        text = self._abi.weft_violation(self._handle).decode()
        self.reset()
        return DeviceError(f"the RTL broke the bus protocol at {text}; this is a fault of the RTL, please report it")
