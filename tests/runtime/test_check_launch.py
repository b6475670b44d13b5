"""What every device refuses before it starts: the whole sentence each time."""

import re

import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Memory
from weft_runtime.device import Launch, check_launch
from weft_runtime.errors import DeviceError

CONFIG = AcceleratorConfig()


@pytest.mark.parametrize(
    "launch",
    [
        Launch(0, 1),
        Launch(0xFFFF_FFF0, 1),
        Launch(0x40, 3, {memory: 0xFFFF_FFC0 for memory in Memory}),
    ],
)
def test_accepts_what_the_registers_hold(launch):
    check_launch(launch, CONFIG)


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        (Launch(0, 0), "insn_count = 0 is outside 1..4294967295; launch a program that ends with FINISH"),
        (
            Launch(0, 1 << 32),
            "insn_count = 4294967296 is outside 1..4294967295; launch a program that ends with FINISH",
        ),
        (Launch(8, 1), "insn_address = 0x8 is not a multiple of 16, the bytes of an instruction; move the program"),
        (
            Launch(0xFFFF_FFF0, 2),
            "insn_address = 0xfffffff0 puts 2 instructions outside the 32-bit address space; move the program",
        ),
        (
            Launch(-16, 1),
            "insn_address = -0x10 puts 1 instructions outside the 32-bit address space; move the program",
        ),
        (Launch(0, 1, {Memory.WGT: 32}), "bases[WGT] = 0x20 is not a multiple of 64 bytes; align the buffer"),
        (
            Launch(0, 1, {Memory.OUT: 1 << 32}),
            "bases[OUT] = 0x100000000 is outside the 32-bit address space; move the buffer",
        ),
    ],
)
def test_refuses_with_a_sentence(launch, message):
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
        check_launch(launch, CONFIG)
