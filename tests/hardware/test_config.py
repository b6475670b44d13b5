"""The configuration: derived values, identity, and every combination that it refuses."""

from dataclasses import FrozenInstanceError, replace

import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import ConfigError
from weft_hardware.isa import Memory, scratchpad_depth, tile_bytes

VTA = AcceleratorConfig()


def test_the_default_is_vta():
    assert (VTA.batch, VTA.block_in, VTA.block_out, VTA.macs) == (1, 16, 16, 256)
    sizes = {memory: (scratchpad_depth(memory, VTA), tile_bytes(memory, VTA)) for memory in Memory}
    assert sizes == {
        Memory.UOP: (8192, 4),
        Memory.WGT: (1024, 256),
        Memory.INP: (2048, 16),
        Memory.ACC: (2048, 64),
        Memory.OUT: (2048, 16),
        Memory.ACC_8BIT: (2048, 16),
        Memory.PARAM: (128, 128),
        Memory.TABLE: (1, 256),
    }
    assert VTA.axi_bytes == 8
    assert VTA.command_queue_depth >= 512
    assert VTA.token_queue_depth >= 255


def test_tile_sizes_follow_batch_blocks_and_element_bits():
    c = AcceleratorConfig(batch=2, block_in=4, block_out=8, inp_bits=4, wgt_bits=4, out_bits=16)
    assert [tile_bytes(memory, c) for memory in Memory] == [4, 16, 4, 64, 32, 16, 64, 256]


@pytest.mark.parametrize(
    ("depth", "bits"),
    [("acc_depth", "acc_index_bits"), ("inp_depth", "inp_index_bits"), ("wgt_depth", "wgt_index_bits")],
)
def test_index_bits_never_shrink_below_vtas_and_grow_with_depth(depth, bits):
    vta_bits = getattr(VTA, bits)
    assert getattr(replace(VTA, **{depth: 4}), bits) == vta_bits
    assert getattr(replace(VTA, **{depth: 1 << vta_bits}), bits) == vta_bits
    assert getattr(replace(VTA, **{depth: (1 << vta_bits) + 1}), bits) == vta_bits + 1


def test_the_source_index_serves_inputs_and_accumulators():
    assert replace(VTA, inp_depth=4096).src_index_bits == 12
    assert replace(VTA, acc_depth=8192).src_index_bits == 13


def test_a_configuration_is_a_value():
    assert AcceleratorConfig(**VTA.to_dict()) == VTA
    assert AcceleratorConfig().digest == VTA.digest
    assert len(VTA.digest) == 64
    assert replace(VTA, acc_depth=1024).digest != VTA.digest
    with pytest.raises(FrozenInstanceError):
        VTA.batch = 2  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 3}, "batch = 3 cannot be built; choose one of 1, 2, 4, 8, 16"),
        ({"block_in": 12}, "block_in = 12 cannot be built; choose one of 4, 8, 16, 32, 64"),
        ({"block_out": 128}, "block_out = 128 cannot be built; choose one of 4, 8, 16, 32, 64"),
        ({"inp_bits": 2}, "inp_bits = 2 cannot be built; choose one of 4, 8, 16"),
        ({"acc_bits": 16}, "acc_bits = 16 cannot be built; choose one of 32"),
        ({"out_bits": 4}, "out_bits = 4 cannot be built; choose one of 8, 16"),
        ({"axi_data_bits": 32}, "axi_data_bits = 32 cannot be built; choose one of 64, 128, 256, 512"),
        ({"axi_addr_bits": 65}, "axi_addr_bits = 65 is outside 32..64; choose a value in that range"),
        ({"acc_depth": 3}, "acc_depth = 3 is outside 4..65536; choose a value in that range"),
        ({"uop_depth": 65537}, "uop_depth = 65537 is outside 4..65536; choose a value in that range"),
        ({"token_queue_depth": 0}, "token_queue_depth = 0 is outside 1..4096; choose a value in that range"),
        ({"command_queue_depth": 1}, "command_queue_depth = 1 is outside 2..4096; choose a value in that range"),
        ({"max_burst": 3}, "max_burst = 3 cannot be built; choose one of 1, 2, 4, 8, 16, 32, 64, 128, 256"),
        ({"inp_depth": 64.0}, "inp_depth = 64.0 is not a whole number; change its type"),
        ({"batch": True}, "batch = True is not a whole number; change its type"),
        ({"raw_store": 1}, "raw_store = 1 is not true or false; change its type"),
        (
            {"batch": 4, "block_in": 64, "block_out": 64},
            "batch × block_in × block_out = 16384 multipliers exceed 4096; choose smaller blocks",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ConfigError) as caught:
        replace(VTA, **changes)
    assert str(caught.value) == message
