"""Any component through Verilator, for tests that Amaranth's simulator is too slow for."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.back import rtlil
from numpy.typing import NDArray
from weft_hardware.rtl import verilog
from weft_simulator.tsim.build import Builder

_SOURCE = Path(__file__).with_suffix(".cpp")


def storage_bytes(bits: int) -> int:
    """Bytes in which a verilated model keeps a port."""
    return next((size for size in (1, 2, 4, 8) if bits <= 8 * size), (bits + 31) // 32 * 4)


def _flat_ports(component: Any) -> list[tuple[str, int]]:
    """Names and widths of a component's ports, as they are called in Verilog."""
    ports = component.signature.flatten(component)
    return [
        ("__".join(map(str, path)), len(value.as_value() if hasattr(value, "as_value") else value))
        for path, _, value in ports
    ]


def _harness(ports: list[tuple[str, int]]) -> str:
    # Verilator spells "__" as "___05F" in C++.
    entries = "\n".join(
        f"    ports[{k}] = Port{{&top.{name.replace('__', '___05F')}, {bits}}};" for k, (name, bits) in enumerate(ports)
    )
    return (
        '#include "Vtop.h"\n#include "verilated.h"\n'
        f"struct Port {{ void* address; unsigned bits; }};\nconstexpr unsigned kPortCount = {len(ports)};\n"
        f"static void bind(Vtop& top, Port* ports) {{\n{entries}\n}}\n{_SOURCE.read_text()}"
    )


def _to_verilog(text: str) -> str:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "design.il").write_text(text)
        verilog._yosys(f"read_rtlil design.il; {verilog.CLEANUP}; write_verilog -noattr design.v", directory)
        return (directory / "design.v").read_text()


class Verilated:
    """One instance of a component, reset.

    Parameters
    ----------
    component : wiring.Component
        With a clocked domain ``sync``; its ports are named as in Verilog, ``tiles__payload``.
    """

    def __init__(self, component: Any) -> None:
        ports = _flat_ports(component)
        self._ports = {name: (number, bits) for number, (name, bits) in enumerate(ports)}
        text = _to_verilog(rtlil.convert(component, name=verilog.TOP, emit_src=False))
        with tempfile.TemporaryDirectory() as directory:
            harness = Path(directory) / "component.cpp"
            harness.write_text(_harness(ports))
            library = Builder().library(text, lambda: text, harness)
        self._abi = ctypes.CDLL(str(library))
        self._abi.component_create.restype = ctypes.c_void_p
        self._abi.component_stream.restype = ctypes.c_uint64
        self._handle = ctypes.c_void_p(self._abi.component_create())

    def __enter__(self) -> Verilated:
        return self

    def __exit__(self, *_: object) -> None:
        self._abi.component_destroy(self._handle)

    def set(self, name: str, value: int) -> None:
        """Drive an input; ``value`` is taken modulo its width."""
        number, bits = self._ports[name]
        raw = (value & ((1 << bits) - 1)).to_bytes(storage_bytes(bits), "little")
        self._abi.component_set(self._handle, number, raw)

    def get(self, name: str) -> int:
        """An output, unsigned."""
        number, bits = self._ports[name]
        raw = ctypes.create_string_buffer(storage_bytes(bits))
        self._abi.component_get(self._handle, number, raw)
        return int.from_bytes(raw.raw, "little")

    def tick(self, cycles: int = 1) -> None:
        self._abi.component_tick(self._handle, cycles)

    def stream(
        self,
        source: str,
        payloads: NDArray[np.uint8],
        sink: str,
        wanted: int,
        limit: int,
        seed: int = 0,
        pauses: tuple[int, int] = (0, 0),
    ) -> tuple[NDArray[np.uint8], int]:
        """Send payloads into one stream and take what comes out of another.

        Parameters
        ----------
        source, sink : str
            Names of the streams.
        payloads : (n, bytes) uint8
            As many bytes as `storage_bytes` says.
        wanted, limit : int
            Stop after so many results, or cycles.
        pauses : tuple of int
            Chance of a cycle without a payload and without ready, in percent.

        Returns
        -------
        results : (taken, bytes) uint8
            Fewer than wanted if the limit was reached, or if a payload did not hold while it waited.
        cycles : int
            From the first cycle to that of the last result, both included.
        """
        into, out = (
            [self._ports[f"{name}__{part}"][0] for part in ("payload", "valid", "ready")] for name in (source, sink)
        )
        width = storage_bytes(self._ports[f"{source}__payload"][1])
        payloads = np.ascontiguousarray(payloads)
        assert payloads.dtype == np.uint8, f"{source} takes bytes"
        assert payloads.shape[1:] == (width,), f"{source} takes rows of {width} bytes"
        results = np.zeros((wanted, storage_bytes(self._ports[f"{sink}__payload"][1])), np.uint8)
        cycles = ctypes.c_uint64()
        taken = self._abi.component_stream(
            self._handle,
            (ctypes.c_uint * 3)(*into),
            payloads.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint64(len(payloads)),
            (ctypes.c_uint * 3)(*out),
            results.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint64(wanted),
            ctypes.c_uint64(limit),
            ctypes.c_uint64(seed),
            *pauses,
            ctypes.byref(cycles),
        )
        return results[:taken], cycles.value
