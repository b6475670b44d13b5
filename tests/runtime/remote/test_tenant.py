"""What one client of a shared device may reach, and what is left when it is gone."""

from dataclasses import replace

import numpy as np
import pytest
from support.remote import CONFIG, Board, program
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish, Gemm, Memory
from weft_runtime.device import Launch
from weft_runtime.errors import DeviceError
from weft_runtime.remote.errors import RemoteError
from weft_runtime.remote.limits import Limits
from weft_runtime.remote.tenant import Tenant

LIMITS = replace(Limits(), memory_bytes=1 << 16, chunk_bytes=1 << 12)


def no_room() -> bool:
    return False


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def tenant(board) -> Tenant:
    return Tenant(board, LIMITS, True, no_room)


def refusal(call, *arguments) -> str:
    with pytest.raises(RemoteError) as caught:
        call(*arguments)
    return str(caught.value)


def test_buffers_begin_as_zeros(board, tenant):
    board.memory.data[:] = 0xAA
    address = tenant.allocate(10_000)
    assert not tenant.read(address, 4096).any()
    assert not tenant.read(address + 10_000 - 4096, 4096).any()
    assert board.memory.data[address + 10_000] == 0xAA


def test_others_memory_is_out_of_reach(board, tenant):
    theirs = board.allocate(64)
    mine = tenant.allocate(64)
    for address in (theirs, mine - 1, mine + 1):
        assert refusal(tenant.read, address, 64) == (
            f"read of 64 bytes at {address:#x} is not inside one of the lease's buffers; "
            "allocate the memory, or correct the address"
        )
        assert refusal(tenant.write, address, bytes(64)).startswith(f"write of 64 bytes at {address:#x} is not inside")
        with pytest.raises(DeviceError, match="is not allocated; free each buffer once, at its start"):
            tenant.free(address)
    assert board.buffers == {theirs, mine}


def test_two_buffers_side_by_side_are_not_one(tenant):
    first, second = tenant.allocate(64), tenant.allocate(64)
    assert second == first + 64
    assert "is not inside one" in refusal(tenant.read, first, 65)


def test_programs_must_lie_in_own_memory(board, tenant):
    theirs = board.allocate(64)
    board.write(theirs, program())
    assert refusal(tenant.launch, Launch(theirs, 1)) == (
        f"program of 16 bytes at {theirs:#x} is not inside one of the lease's buffers; "
        "allocate the memory, or correct the address"
    )
    assert not board.launches


def test_windows_are_given_to_every_memory(board, tenant):
    address = tenant.allocate(256)
    tenant.write(address, program().tobytes())
    tenant.launch(Launch(address, 1, {}, {Memory.INP: (address, address + 64), Memory.OUT: (9, 9)}))
    windows = board.launches[0].windows
    assert windows[Memory.INP] == (address, address + 64)
    assert windows[Memory.OUT] == (9, 9)
    assert {windows[m] for m in Memory if m not in (Memory.INP, Memory.OUT)} == {(address, address + 256)}


def test_windows_beyond_own_memory_are_refused(board, tenant):
    address = tenant.allocate(256)
    tenant.write(address, program().tobytes())
    launch = Launch(address, 1, {}, {Memory.WGT: (address, address + 257)})
    assert refusal(tenant.launch, launch) == (
        f"windows[WGT] = {address:#x}..{address + 257:#x} is not inside one of the lease's buffers; narrow it"
    )
    assert not board.launches


def test_an_open_window_needs_a_single_buffer(board, tenant):
    address = tenant.allocate(256)
    tenant.write(address, program().tobytes())
    tenant.allocate(64)
    assert refusal(tenant.launch, Launch(address, 1)) == (
        "windows[UOP] is absent and the lease has 2 buffers in memory that others share; "
        "give every memory a window inside one buffer"
    )
    assert not board.launches


def test_a_device_of_ones_own_is_not_confined(board):
    tenant = Tenant(board, LIMITS, False, no_room)
    board.write(0, program())
    tenant.launch(Launch(0, 1))
    assert board.launches == [Launch(0, 1)]


def test_parts_must_be_the_programs(board, tenant):
    address = tenant.allocate(64)
    tenant.write(address, program().tobytes())
    tenant.launch(Launch(address, 1, parts=((0, 0, 0), (0, 1, 0))))
    assert refusal(tenant.launch, Launch(address, 1, parts=((0, 0, 0), (1, 0, 0)))) == (
        "parts have [1, 0, 0] instructions in the load, compute and store queue, the program has [0, 1, 0]; "
        "correct the parts"
    )
    assert len(board.launches) == 1


@pytest.mark.parametrize("shared", [True, False])
def test_programs_that_take_too_long_are_refused(board, shared):
    loop = Gemm(uop_end=64, iter_out=1 << 13, iter_in=1 << 13)
    tenant = Tenant(board, LIMITS, shared, no_room)
    address = tenant.allocate(64)
    tenant.write(address, encode([loop, Finish()], CONFIG).tobytes())
    assert refusal(tenant.launch, Launch(address, 2)) == (
        "the program's loops take 4.29e+09 cycles, the server lets a launch take 2000000000; "
        "split the program, or raise the server's --launch-cycles"
    )
    assert not board.launches
    tenant.write(address, encode([replace(loop, iter_in=1), Finish()], CONFIG).tobytes())
    tenant.launch(Launch(address, 2))


def test_reads_are_bounded(tenant):
    address = tenant.allocate(1 << 13)
    assert refusal(tenant.read, address, (1 << 12) + 1) == (
        "read of 4097 bytes is more than the server's 4096 at a time; read in pieces"
    )


def test_memory_is_bounded(tenant):
    tenant.allocate(1 << 15)
    assert refusal(tenant.allocate, (1 << 15) + 1) == (
        "allocation of 32769 bytes beside 32768 is more than the server's 65536 for a client; free buffers"
    )


def test_makes_room_while_there_is_something_to_unload(board):
    kept = [board.allocate(1 << 18) for _ in range(3)]

    def make_room() -> bool:
        if kept:
            board.free(kept.pop())
            return True
        return False

    tenant = Tenant(board, replace(LIMITS, memory_bytes=1 << 21), True, make_room)
    tenant.allocate((1 << 19) - 64)
    assert len(kept) == 2
    with pytest.raises(DeviceError, match="DRAM allocation of 1048576 bytes does not fit"):
        tenant.allocate(1 << 20)
    assert not kept


def test_clear_frees_everything(board, tenant):
    for nbytes in (0, 1, 64, 5000):
        tenant.allocate(nbytes)
    assert len(board.buffers) == 4
    tenant.clear()
    assert not board.buffers
    assert tenant.buffers == 0


def test_clear_goes_on_after_a_failure(board, tenant, monkeypatch):
    addresses = [tenant.allocate(64) for _ in range(3)]
    free = board.free

    def failing(address: int) -> None:
        if address == addresses[1]:
            raise DeviceError("the link is down")
        free(address)

    monkeypatch.setattr(board, "free", failing)
    with pytest.raises(DeviceError, match="the link is down"):
        tenant.clear()
    assert board.buffers == {addresses[1]}


def test_a_program_outside_all_memory_is_the_devices_to_refuse(board):
    tenant = Tenant(board, LIMITS, False, no_room)
    tenant.launch(Launch(1 << 24, 1))
    assert board.launches


def test_writes_arrive(board, tenant):
    address = tenant.allocate(100)
    data = np.arange(100, dtype=np.uint8)
    tenant.write(address, data.tobytes())
    assert np.array_equal(board.read(address, 100), data)
