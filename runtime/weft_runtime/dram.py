"""A simulator's DRAM: a numpy array at a physical address, with an exact allocator."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory

from .device import Bytes, Launch, MemoryUse, window_of
from .errors import DeviceError
from .host_functions import aligned_bytes

ALIGNMENT = 64
"""Every allocation starts at a multiple of this many bytes."""


class Dram:
    """Bytes ``[base, base + size)`` of the accelerator's address space.

    Parameters
    ----------
    data : uint8 array
        The memory itself; not copied, so whoever holds it sees every write.
    base : int
        Physical address of ``data[0]``.
    """

    def __init__(self, data: Bytes, base: int = 0) -> None:
        self.data = data
        self.base = base
        # Address 0 is never handed out, so that a null base register stands out.
        first = -(-max(base, 1) // ALIGNMENT) * ALIGNMENT
        self._free: list[tuple[int, int]] = [(first, base + data.size)]
        self._used: dict[int, int] = {}

    @classmethod
    def zeros(cls, size: int, base: int = 0) -> Dram:
        return cls(aligned_bytes(size), base)

    def view(self, address: int, nbytes: int) -> Bytes:
        """The bytes at an address, without a copy.

        Raises
        ------
        DeviceError
            If they are not all inside the memory.
        """
        start = address - self.base
        if start < 0 or nbytes < 0 or start + nbytes > self.data.size:
            end = self.base + self.data.size
            raise DeviceError(
                f"DRAM access of {nbytes} bytes at {address:#x} is outside {self.base:#x}..{end:#x}; "
                "enlarge the memory or correct the address"
            )
        return self.data[start : start + nbytes]

    def allocate(self, nbytes: int) -> int:
        """First fit; returns a multiple of 64."""
        size = -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
        for k, (begin, end) in enumerate(self._free):
            if end - begin >= size:
                self._free[k] = (begin + size, end)
                self._used[begin] = size
                return begin
        largest = max((end - begin for begin, end in self._free), default=0)
        raise DeviceError(
            f"DRAM allocation of {nbytes} bytes does not fit: the largest free block has {largest} bytes; "
            "free buffers or open the device with more memory"
        )

    def free(self, address: int) -> None:
        size = self._used.pop(address, None)
        if size is None:
            raise DeviceError(f"DRAM address {address:#x} is not allocated; free each buffer once, at its start")
        merged: list[tuple[int, int]] = []
        for begin, end in sorted([*self._free, (address, address + size)]):
            if merged and merged[-1][1] == begin:
                merged[-1] = (merged[-1][0], end)
            elif begin < end:
                merged.append((begin, end))
        self._free = merged

    def use(self) -> MemoryUse:
        """What is allocated now."""
        free = [end - begin for begin, end in self._free]
        return MemoryUse(self.data.size, sum(self._used.values()), max(free, default=0), len(self._used))

    def addressable(self, config: AcceleratorConfig) -> tuple[int, int]:
        """Bytes ``[begin, end)`` of the memory that an accelerator's bus can address."""
        return self.base, min(self.base + self.data.size, 1 << config.axi_addr_bits)

    def window(self, launch: Launch, memory: Memory, config: AcceleratorConfig) -> tuple[int, int]:
        """Bytes ``[begin, end)`` where a program's LOADs and STOREs of one of its memories may reach."""
        return window_of(launch, memory, self.addressable(config))
