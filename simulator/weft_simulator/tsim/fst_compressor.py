"""What Verilator's FST writer compresses with: Python's zlib and the lz4 package, called from the model's library."""

from __future__ import annotations

import ctypes
import zlib
from pathlib import Path

from weft_runtime.errors import DeviceError

INCLUDE = Path(__file__).with_name("fst")
"""Headers that stand in for zlib's and LZ4's."""

_LZ4 = 0
"""``WeftCompression`` of weft_compress.h; 1 is zlib."""

Compressor = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
)


def set_compressor(abi: ctypes.CDLL) -> object:
    """Give a library its compressor; returns what has to live as long as the library is used.

    Raises
    ------
    DeviceError
        If the lz4 package is not installed.
    """
    try:
        import lz4.block as lz4
    except ModuleNotFoundError:
        raise DeviceError(
            "a waveform in a .fst file needs the Python package 'lz4'; run: pip install 'weft[rtl]', or name it .vcd"
        ) from None

    @Compressor
    def compress(method: int, source: int, size: int, target: int, room: int, level: int) -> int:
        data = ctypes.string_at(source, size)
        packed = lz4.compress(data, store_size=False) if method == _LZ4 else zlib.compress(data, level)
        if len(packed) > room:
            return -1
        ctypes.memmove(target, packed, len(packed))
        return len(packed)

    pointer = ctypes.c_void_p.in_dll(abi, "weft_compressor")
    pointer.value = ctypes.cast(compress, ctypes.c_void_p).value
    return compress
