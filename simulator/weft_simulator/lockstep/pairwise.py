"""Configurations in which every two choices that can be built together meet at least once.

The table is a covering array of strength two; `tests/simulator/lockstep/test_pairwise.py` holds that it covers.
"""

from __future__ import annotations

from dataclasses import replace

from weft_hardware.config import AcceleratorConfig

ELEMENTS = {
    "int8": {},
    "int4 weights": {"wgt_bits": 4},
    "int16 inputs": {"inp_bits": 16, "out_bits": 16},
}
BUFFERS = {
    "shallow": {
        "inp_depth": 64,
        "wgt_depth": 32,
        "acc_depth": 64,
        "uop_depth": 128,
        "command_queue_depth": 8,
        "token_queue_depth": 2,
    },
    "odd": {"inp_depth": 131, "wgt_depth": 37, "acc_depth": 93, "uop_depth": 301, "token_queue_depth": 7},
    "deep": {"inp_depth": 4096, "wgt_depth": 64, "acc_depth": 4096, "uop_depth": 16384},
}
EXTENSIONS = {
    "none": {"raw_store": False},
    "requantising": {"pad_value": True, "widening_load": True, "epilogue_lanes": 1, "param_depth": 7, "table": True},
    "residual": {
        "gemm_overwrite": True,
        "alu_extensions": True,
        "epilogue_lanes": 2,
        "param_depth": 40,
        "residual": True,
    },
    "all": {
        "pad_value": True,
        "widening_load": True,
        "gemm_overwrite": True,
        "alu_extensions": True,
        "epilogue_lanes": 4,
        "param_depth": 24,
        "residual": True,
        "table": True,
    },
}

Row = tuple[int, tuple[int, int], int, int, str, str, str]
"""Batch, blocks (in, out), AXI data bits, longest burst, elements, buffers, extensions."""

ROWS: tuple[Row, ...] = (
    (1, (4, 4), 64, 16, "int16 inputs", "deep", "residual"),
    (2, (4, 4), 512, 256, "int8", "shallow", "none"),
    (2, (8, 8), 128, 16, "int4 weights", "odd", "requantising"),
    (1, (16, 16), 256, 256, "int8", "odd", "all"),
    (4, (8, 16), 64, 256, "int4 weights", "deep", "all"),
    (4, (32, 32), 128, 16, "int16 inputs", "shallow", "none"),
    (1, (64, 64), 512, 256, "int4 weights", "shallow", "residual"),
    (4, (8, 8), 256, 16, "int8", "deep", "requantising"),
    (4, (8, 16), 512, 16, "int16 inputs", "odd", "requantising"),
    (2, (8, 8), 256, 256, "int16 inputs", "shallow", "all"),
    (2, (8, 16), 128, 256, "int8", "deep", "residual"),
    (1, (32, 32), 64, 256, "int8", "odd", "requantising"),
    (4, (16, 16), 512, 16, "int4 weights", "deep", "none"),
    (1, (64, 64), 128, 16, "int16 inputs", "odd", "all"),
    (2, (16, 16), 64, 256, "int16 inputs", "shallow", "requantising"),
    (4, (4, 4), 256, 256, "int4 weights", "odd", "residual"),
    (1, (8, 8), 64, 256, "int16 inputs", "odd", "none"),
    (2, (32, 32), 512, 16, "int4 weights", "deep", "all"),
    (1, (8, 16), 256, 16, "int8", "shallow", "none"),
    (1, (64, 64), 256, 16, "int8", "deep", "none"),
    (1, (4, 4), 128, 256, "int16 inputs", "odd", "requantising"),
    (1, (8, 8), 512, 16, "int8", "shallow", "residual"),
    (1, (16, 16), 128, 256, "int4 weights", "deep", "residual"),
    (1, (32, 32), 256, 256, "int4 weights", "shallow", "residual"),
    (1, (64, 64), 64, 16, "int16 inputs", "odd", "requantising"),
    (1, (4, 4), 256, 16, "int4 weights", "odd", "all"),
)


def configuration(row: Row) -> AcceleratorConfig:
    """The accelerator of a row."""
    batch, (block_in, block_out), axi_data_bits, max_burst, elements, buffers, extensions = row
    base = AcceleratorConfig(
        batch=batch, block_in=block_in, block_out=block_out, axi_data_bits=axi_data_bits, max_burst=max_burst
    )
    return replace(base, **ELEMENTS[elements], **BUFFERS[buffers], **EXTENSIONS[extensions])


def name(row: Row) -> str:
    """A row in a few words."""
    batch, (block_in, block_out), axi_data_bits, max_burst, elements, buffers, extensions = row
    return (
        f"{batch}x{block_in}x{block_out}, AXI {axi_data_bits}, bursts of {max_burst}, {elements}, "
        f"{buffers} buffers, extensions: {extensions}"
    )


CONFIGURATIONS: dict[str, AcceleratorConfig] = {name(row): configuration(row) for row in ROWS}
