"""The register map: addresses that software and RTL can both rely on."""

import pytest
from weft_hardware.isa import Memory
from weft_hardware.registers import ADDRESS_BITS, BY_NAME, IDENTITY_VALUE, REGISTERS, Cause, ModuleState, Status, offset


def test_offsets_are_aligned_unique_and_inside_the_map():
    offsets = [register.offset for register in REGISTERS]
    assert len(set(offsets)) == len(offsets)
    assert all(value % 4 == 0 and 0 <= value < 1 << ADDRESS_BITS for value in offsets)


def test_names_are_unique_and_found():
    assert len(BY_NAME) == len(REGISTERS)
    for register in REGISTERS:
        assert offset(register.name) == register.offset
        assert register.doc


@pytest.mark.parametrize("name", ["INSN_ADDR", "CYCLES", *(f"{memory.name}_BASE" for memory in Memory)])
def test_wide_quantities_are_low_then_high(name):
    assert offset(f"{name}_HI") == offset(f"{name}_LO") + 4


def test_what_the_host_may_write():
    writable = {register.name for register in REGISTERS if register.writable}
    bases = {f"{memory.name}_BASE_{half}" for memory in Memory for half in ("LO", "HI")}
    assert writable >= bases | {"CONTROL", "INSN_COUNT", "INSN_ADDR_LO", "INSN_ADDR_HI"}
    assert writable.isdisjoint({"IDENTITY", "CONFIG_DIGEST", "STATUS", "FAULT", "FAULT_VALUE", "CYCLES_LO"})


def test_the_identity_spells_weft():
    assert IDENTITY_VALUE.to_bytes(4, "little") == b"WEFT"


def test_every_memory_has_a_base_and_every_queue_its_registers():
    names = set(BY_NAME)
    assert {f"{m.name}_BASE_LO" for m in Memory} <= names
    assert {f"{q}_{what}" for q in ("LOAD", "COMPUTE", "STORE") for what in ("STATE", "RETIRED")} <= names


def test_codes_fit_their_fields():
    assert max(Cause) < 1 << 8
    assert max(ModuleState) < 1 << 3
    assert sum(Status) == (1 << len(Status)) - 1
