"""The two buses of the accelerator: an AXI4 manager to memory, an AXI4-Lite subordinate to the host.

Members are flat and carry AXI's own names, so that a port ``mem`` becomes ``mem__araddr`` and so on in Verilog.

Source
------
Arm IHI 0022 (AMBA AXI protocol specification), A2 (channels), A3.4 (bursts), B1 (AXI4-Lite).
"""

from __future__ import annotations

from amaranth.lib.wiring import In, Out, Signature

from ..config import AcceleratorConfig
from ..latencies import PAGE_BYTES as PAGE_BYTES

ID_BITS = 4
"""Bits of the transaction IDs; a read's ID is its client's number."""


BURST_INCR = 1
CACHE_BUFFERABLE = 0b0011
"""AxCACHE: normal memory, non-cacheable, bufferable."""
PROT_DATA = 0b000
"""AxPROT: unprivileged, secure, data."""


def _address_channel(prefix: str, config: AcceleratorConfig) -> dict[str, In | Out]:
    widths = {"id": ID_BITS, "addr": config.axi_addr_bits, "len": 8, "size": 3, "burst": 2, "cache": 4, "prot": 3}
    members: dict[str, In | Out] = {f"{prefix}{name}": Out(width) for name, width in widths.items()}
    return {**members, f"{prefix}valid": Out(1), f"{prefix}ready": In(1)}


def axi4_read(config: AcceleratorConfig) -> Signature:
    """The AR and R channels, as the manager sees them."""
    return Signature(
        {
            **_address_channel("ar", config),
            "rid": In(ID_BITS),
            "rdata": In(config.axi_data_bits),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


def axi4_write(config: AcceleratorConfig) -> Signature:
    """The AW, W and B channels, as the manager sees them."""
    return Signature(
        {
            **_address_channel("aw", config),
            "wdata": Out(config.axi_data_bits),
            "wstrb": Out(config.axi_bytes),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(ID_BITS),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
        }
    )


def axi4(config: AcceleratorConfig) -> Signature:
    """All five channels, as the manager sees them."""
    return Signature({**axi4_write(config).members, **axi4_read(config).members})


def axi4_lite(address_bits: int) -> Signature:
    """A 32-bit AXI4-Lite bus, as the manager sees it."""
    return Signature(
        {
            "awaddr": Out(address_bits),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(address_bits),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(32),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )
