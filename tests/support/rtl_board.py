"""A board for pynq whose programmable logic is the simulated RTL; runs in an environment with pynq and tsim.

The processors' caches are modelled as harshly as the architecture allows: what the CPU writes to a cacheable buffer
reaches DRAM only by a flush, and what the accelerator writes there is seen only after an invalidation, which throws
away what was not flushed. Buffers that are not cacheable are DRAM itself.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device
from pynq.pl_server.embedded_device import parse_bit_header
from pynqmetadata.frontends import Metadata
from weft_boards.board import Kind
from weft_boards.catalogue import find_board
from weft_hardware.presets import from_toml
from weft_runtime.dram import Dram
from weft_simulator.tsim.build import Builder, accelerator_library
from weft_simulator.tsim.model import MemoryTiming, RtlModel

try:
    from pynqmetadata.views.runtime import RuntimeMetadataParser
except ImportError:  # pynq 3
    from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser

CYCLES_PER_ACCESS = 300
"""Clock cycles of the logic that pass between two accesses of a Python program."""

MEMORY_BYTES = 32 << 20
RESERVED = 1 << 20
"""Where contiguous memory begins: address 0 is somebody else's."""

PAGE = 4096


SYSTEM = 0xF800_0000
"""The processor's own registers lie from here on."""

IO_PLL_CTRL, FPGA0_CLK_CTRL = 0xF800_0108, 0xF800_0170
IOPLL_CTRL, PL0_REF_CTRL = 0xFF5E_0020, 0xFF5E_00C0
"""Those that pynq sets clocks with (UG585, appendix B; UG1087)."""

BOOTED = {
    Kind.ZYNQ_7000: {IO_PLL_CTRL: 20 << 12, FPGA0_CLK_CTRL: 20 << 8 | 1 << 20},
    Kind.ZYNQ_MP: {IOPLL_CTRL: 1 << 16 | 90 << 8, PL0_REF_CTRL: 1 << 24 | 20 << 8 | 1 << 16},
}
"""What a boot loader leaves: 1,000 MHz divided by 20, 1,500 MHz divided by 20."""

ARCHITECTURES = {Kind.ZYNQ_7000: "armv7l", Kind.ZYNQ_MP: "aarch64"}

BOARD = "WEFT_RTL_BOARD"
"""The environment variable that names the board."""


class RtlBoard(Device):
    """The board that the environment names.

    Attributes
    ----------
    syncs : list of (str, int)
        Flushes and invalidations that were asked for, by name and bytes.
    system : dict of int to int
        The processor's own registers, by address.
    """

    _probe_priority_ = 10

    @classmethod
    def _probe_(cls) -> list[RtlBoard]:
        return [cls()]

    def __init__(self) -> None:
        super().__init__("rtl")
        self.board = find_board(os.environ[BOARD])
        self.name, self.arch = "rtl", ARCHITECTURES[self.board.kind]
        self.system = dict(BOOTED[self.board.kind])
        self.capabilities = {"REGISTER_RW": True}
        self.dram = Dram.zeros(MEMORY_BYTES)
        self.dram.allocate(RESERVED)
        self.model: RtlModel | None = None
        self.syncs: list[tuple[str, int]] = []
        self.downloads = 0

    # The bitstream ------------------------------------------------------------------------------------------

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        return RuntimeMetadataParser(Metadata(input=Path(bitfile_name).with_suffix(".hwh")))

    def download(self, bitstream: Any, parser: Any = None) -> None:
        header = parse_bit_header(Path(bitstream.bitfile_name).read_bytes())
        config = from_toml(header["data"].decode())
        if self.model is not None:
            self.model.close()
        self.model = RtlModel(accelerator_library(config, Builder()), self.dram, MemoryTiming(read_latency=20))
        self._base = next(ip["phys_addr"] for ip in parser.ip_dict.values() if ":weft_accelerator:" in ip["type"])
        self.downloads += 1
        self.post_download(bitstream, parser)

    # Registers ----------------------------------------------------------------------------------------------

    def read_registers(self, address: int, length: int) -> bytes:
        if address >= SYSTEM:
            return struct.pack("<I", self.system.get(address, 0))
        assert self.model is not None
        offset = address - self._base
        assert 0 <= offset <= 4096 - length, "nothing answers outside the registers"
        self.model.run_until(offset, 0, CYCLES_PER_ACCESS)
        words = (self.model.read(offset + k) for k in range(0, length, 4))
        return b"".join(struct.pack("<I", word) for word in words)

    @property
    def clock_mhz(self) -> float:
        """What the processor's registers make of its clock."""
        if self.board.kind is Kind.ZYNQ_7000:
            word, source = self.system[FPGA0_CLK_CTRL], 50 * (self.system[IO_PLL_CTRL] >> 12 & 0x7F)
        else:
            pll = self.system[IOPLL_CTRL]
            word, source = self.system[PL0_REF_CTRL], 100 / 3 * (pll >> 8 & 0x7F) / (2 if pll >> 16 & 1 else 1)
        first, second = (
            (word >> 8 & 63, word >> 20 & 63)
            if self.board.kind is Kind.ZYNQ_7000
            else (word >> 8 & 63, word >> 16 & 63)
        )
        return source / first / second

    def write_registers(self, address: int, data: bytes) -> None:
        if address >= SYSTEM:
            self.system[address] = struct.unpack("<I", data)[0]
            return
        assert self.model is not None
        offset = address - self._base
        assert 0 <= offset <= 4096 - len(data), "nothing answers outside the registers"
        for k in range(0, len(data), 4):
            self.model.write(offset + k, struct.unpack_from("<I", data, k)[0])

    # Memory -------------------------------------------------------------------------------------------------

    def allocate(self, shape: Any, dtype: Any, cacheable: int = 0, **_: Any) -> PynqBuffer:
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pages = -(-nbytes // PAGE) * PAGE
        address = self.dram.allocate(pages + PAGE)
        address += -address % PAGE
        dram = self.dram.view(address, nbytes)
        # A cache that holds all of the buffer, with what was last in its lines.
        seen = np.full(nbytes, 0xCC, np.uint8) if cacheable else dram
        # As XRT's: pynq's flag says coherent for none of them.
        return PynqBuffer(
            shape, dtype, buffer=seen, device=self, device_address=address, bo=(seen, dram), coherent=False
        )

    def flush(self, bo: Any, offset: int, pointer: int, size: int) -> None:
        """Of the whole buffer, as XRT does it."""
        seen, dram = bo
        self.syncs.append(("flush", size))
        if seen is not dram:
            dram[:] = seen

    def invalidate(self, bo: Any, offset: int, pointer: int, size: int) -> None:
        """Of the whole buffer, as XRT does it."""
        seen, dram = bo
        self.syncs.append(("invalidate", size))
        if seen is not dram:
            seen[:] = dram
