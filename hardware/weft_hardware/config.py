"""The accelerator's parameters: the one truth that RTL, simulators, compiler and runtime derive from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from .errors import ConfigError

# Field widths of VTA's encoding; a deeper scratchpad widens its own fields and nothing else.
VTA_ACC_INDEX_BITS = 11
VTA_INP_INDEX_BITS = 11
VTA_WGT_INDEX_BITS = 10
VTA_UOP_INDEX_BITS = 13

MAX_DEPTH = 1 << 16
"""Tiles a scratchpad may hold: the ``sram`` field of LOAD and STORE has 16 bits."""

BASE_ALIGNMENT = 64
"""Bytes to which every base register is aligned: the widest AXI beat (512 bits)."""


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """One accelerator, as chosen; everything else is a derived property.

    A tile is a row-major matrix: ``inp`` (batch, block_in), ``wgt`` (block_out, block_in), ``acc`` and ``out``
    (batch, block_out). In memory its elements follow each other from the least significant bit up.

    Parameters
    ----------
    batch, block_in, block_out : int
        The matrix product of one micro-op: (batch × block_in) · (block_in × block_out)ᵀ. Powers of two.
    inp_bits, wgt_bits, acc_bits, out_bits : int
        Element widths, two's complement.
    inp_depth, wgt_depth, acc_depth : int
        Scratchpad depths, in tiles. Any number, not only powers of two.
    uop_depth : int
        Micro-ops that the micro-op buffer holds.
    axi_data_bits, axi_addr_bits : int
        The memory port.
    max_burst : int
        Longest AXI burst, in beats: 256 for AXI4, 16 for the AXI3 ports of Zynq-7000.
    reads_in_flight, writes_in_flight : int
        Bursts that may await their answer, for the whole port. 16 bursts of 16 beats cover a latency of 200 cycles.
    command_queue_depth : int
        Instructions each of the three command queues holds.
    token_queue_depth : int
        Tokens each of the four dependency queues holds; a push into a full one waits.
    raw_store : bool
        Extension: STORE of ACC writes the full accumulators.
    pad_value : bool
        Extension: LOAD pads with a chosen value.
    widening_load : bool
        Extension: LOAD of ACC_8BIT widens 8-bit values into accumulators.
    gemm_overwrite : bool
        Extension: GEMM that overwrites instead of accumulating.
    alu_extensions : bool
        Extension: ALU operations that VTA has not.
    epilogue_lanes : int
        Extension: elements that the requantising store takes a cycle; 0 leaves it out.
    param_depth : int
        Parameter tiles (bias and scale of ``block_out`` channels each) that the epilogue holds.
    residual, table : bool
        Extensions of the epilogue: a second operand added to the result, a function of 256 entries applied to it.

    Raises
    ------
    ConfigError
        If the combination cannot be built.
    """

    batch: int = 1
    block_in: int = 16
    block_out: int = 16
    inp_bits: int = 8
    wgt_bits: int = 8
    acc_bits: int = 32
    out_bits: int = 8
    inp_depth: int = 2048
    wgt_depth: int = 1024
    acc_depth: int = 2048
    uop_depth: int = 8192
    axi_data_bits: int = 64
    axi_addr_bits: int = 32
    max_burst: int = 256
    reads_in_flight: int = 16
    writes_in_flight: int = 16
    command_queue_depth: int = 512
    token_queue_depth: int = 255
    raw_store: bool = True
    pad_value: bool = False
    widening_load: bool = False
    gemm_overwrite: bool = False
    alu_extensions: bool = False
    epilogue_lanes: int = 0
    param_depth: int = 128
    residual: bool = False
    table: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not type(field.default):
                kind = "true or false" if isinstance(field.default, bool) else "a whole number"
                raise ConfigError(f"{field.name} = {value!r} is not {kind}; change its type")
        self._require_choice("batch", (1, 2, 4, 8, 16))
        self._require_choice("block_in", (4, 8, 16, 32, 64))
        self._require_choice("block_out", (4, 8, 16, 32, 64))
        self._require_choice("inp_bits", (4, 8, 16))
        self._require_choice("wgt_bits", (4, 8, 16))
        self._require_choice("acc_bits", (32,))
        self._require_choice("out_bits", (8, 16))
        self._require_choice("axi_data_bits", (64, 128, 256, 512))
        self._require_range("axi_addr_bits", 32, 64)
        for depth in ("inp_depth", "wgt_depth", "acc_depth", "uop_depth"):
            self._require_range(depth, 4, MAX_DEPTH)
        self._require_choice("max_burst", (1, 2, 4, 8, 16, 32, 64, 128, 256))
        self._require_range("reads_in_flight", 1, 64)
        self._require_range("writes_in_flight", 1, 64)
        self._require_range("command_queue_depth", 2, 4096)
        self._require_range("token_queue_depth", 1, 4096)
        self._require_choice("epilogue_lanes", (0, 1, 2, 4, 8, 16, 32, 64))
        self._require_range("param_depth", 1, MAX_DEPTH)
        if self.epilogue_lanes > self.block_out:
            raise ConfigError(
                f"epilogue_lanes = {self.epilogue_lanes} exceeds block_out = {self.block_out}; choose fewer lanes"
            )
        for part in ("residual", "table"):
            if getattr(self, part) and not self.epilogue_lanes:
                raise ConfigError(f"{part} = True needs the epilogue; set epilogue_lanes to 1 or more")
        if self.macs > 4096:
            raise ConfigError(
                f"batch × block_in × block_out = {self.macs} multipliers exceed 4096; choose smaller blocks"
            )

    def _require_choice(self, name: str, allowed: tuple[int, ...]) -> None:
        value = getattr(self, name)
        if value not in allowed:
            choices = ", ".join(map(str, allowed))
            raise ConfigError(f"{name} = {value} cannot be built; choose one of {choices}")

    def _require_range(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise ConfigError(f"{name} = {value} is outside {low}..{high}; choose a value in that range")

    # Tiles and buses -----------------------------------------------------------------------------------------

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one micro-op, the peak of one cycle."""
        return self.batch * self.block_in * self.block_out

    @property
    def inp_tile_bits(self) -> int:
        return self.batch * self.block_in * self.inp_bits

    @property
    def wgt_tile_bits(self) -> int:
        return self.block_out * self.block_in * self.wgt_bits

    @property
    def acc_tile_bits(self) -> int:
        return self.batch * self.block_out * self.acc_bits

    @property
    def out_tile_bits(self) -> int:
        return self.batch * self.block_out * self.out_bits

    @property
    def axi_bytes(self) -> int:
        """Bytes of one beat."""
        return self.axi_data_bits // 8

    # Index and field widths ----------------------------------------------------------------------------------

    @property
    def acc_index_bits(self) -> int:
        return max(VTA_ACC_INDEX_BITS, (self.acc_depth - 1).bit_length())

    @property
    def inp_index_bits(self) -> int:
        return max(VTA_INP_INDEX_BITS, (self.inp_depth - 1).bit_length())

    @property
    def wgt_index_bits(self) -> int:
        return max(VTA_WGT_INDEX_BITS, (self.wgt_depth - 1).bit_length())

    @property
    def src_index_bits(self) -> int:
        """Bits of a micro-op's source: it names an input tile for GEMM, an accumulator for the ALU."""
        return max(self.inp_index_bits, self.acc_index_bits)

    @property
    def uop_index_bits(self) -> int:
        return max(VTA_UOP_INDEX_BITS, (self.uop_depth - 1).bit_length())

    # Identity ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, int | bool]:
        """The chosen fields, ready for TOML or JSON."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 of the chosen fields, as 64 hexadecimal digits: equal for equal accelerators only."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
