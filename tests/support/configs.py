"""The configurations that differential tests run: VTA's and corners of what can be built."""

from __future__ import annotations

from weft_hardware.config import AcceleratorConfig

CONFIGS: dict[str, AcceleratorConfig] = {
    "vta": AcceleratorConfig(),
    # Two rows a tile, AXI 128 with short bursts, odd depths, small queues.
    "batch2": AcceleratorConfig(
        batch=2,
        block_in=8,
        block_out=8,
        axi_data_bits=128,
        max_burst=16,
        inp_depth=100,
        wgt_depth=71,
        acc_depth=91,
        uop_depth=301,
        command_queue_depth=16,
        token_queue_depth=8,
    ),
    # A tile of weights of 1 KiB, 40 address bits, no raw store.
    "block32": AcceleratorConfig(
        block_in=32,
        block_out=32,
        axi_data_bits=128,
        axi_addr_bits=40,
        inp_depth=128,
        wgt_depth=64,
        acc_depth=128,
        uop_depth=512,
        raw_store=False,
    ),
    # Four-bit weights, unequal blocks, input tiles narrower than the bus, one burst at a time.
    "int4": AcceleratorConfig(
        block_in=4,
        block_out=8,
        wgt_bits=4,
        max_burst=4,
        reads_in_flight=1,
        writes_in_flight=1,
        inp_depth=77,
        wgt_depth=53,
        acc_depth=61,
        uop_depth=99,
    ),
    # Sixteen-bit inputs and outputs on a wide bus.
    "int16": AcceleratorConfig(
        batch=4,
        block_in=8,
        block_out=16,
        inp_bits=16,
        out_bits=16,
        axi_data_bits=256,
        inp_depth=64,
        wgt_depth=48,
        acc_depth=65,
        uop_depth=128,
        token_queue_depth=2,
    ),
    # Two-byte tiles on a 64-byte bus.
    "narrow": AcceleratorConfig(
        block_in=4,
        block_out=4,
        inp_bits=4,
        wgt_bits=4,
        axi_data_bits=512,
        inp_depth=130,
        wgt_depth=67,
        acc_depth=129,
        uop_depth=260,
    ),
    # Scratchpads so deep that micro-ops take 64 bits and instructions 256.
    "deep": AcceleratorConfig(
        block_in=4,
        block_out=4,
        inp_depth=16384,
        wgt_depth=4096,
        acc_depth=8000,
        uop_depth=32768,
    ),
}

EXTENSIONS = {"pad_value": True, "widening_load": True, "gemm_overwrite": True, "alu_extensions": True}

EXTENDED: dict[str, AcceleratorConfig] = {
    # VTA's shape with every extension.
    "full": AcceleratorConfig(
        inp_depth=256,
        wgt_depth=128,
        acc_depth=256,
        uop_depth=512,
        **EXTENSIONS,
        epilogue_lanes=4,
        param_depth=24,
        residual=True,
        table=True,
    ),
    # One lane for two rows a tile, nothing beyond requantising, wide outputs.
    "lanes1": AcceleratorConfig(
        batch=2,
        block_in=8,
        block_out=8,
        out_bits=16,
        inp_depth=100,
        wgt_depth=71,
        acc_depth=91,
        uop_depth=301,
        max_burst=16,
        command_queue_depth=16,
        token_queue_depth=8,
        **EXTENSIONS,
        epilogue_lanes=1,
        param_depth=7,
    ),
    # Micro-ops of 64 bits, a tile of results of two beats, as many lanes as a beat has bytes, no table.
    "wide": AcceleratorConfig(
        block_in=32,
        block_out=32,
        axi_data_bits=128,
        axi_addr_bits=40,
        inp_depth=4100,
        wgt_depth=64,
        acc_depth=3000,
        uop_depth=512,
        raw_store=False,
        **EXTENSIONS,
        epilogue_lanes=16,
        param_depth=40,
        residual=True,
    ),
    # A result of four bytes on a bus of 32, inputs of 16 bits and so pads; residual operands on any place of a beat.
    "narrow_tiles": AcceleratorConfig(
        block_in=4,
        block_out=4,
        inp_bits=16,
        axi_data_bits=256,
        inp_depth=130,
        wgt_depth=67,
        acc_depth=129,
        uop_depth=260,
        reads_in_flight=2,
        writes_in_flight=2,
        **EXTENSIONS,
        epilogue_lanes=4,
        param_depth=300,
        residual=True,
        table=True,
    ),
}
"""Accelerators with extensions."""
