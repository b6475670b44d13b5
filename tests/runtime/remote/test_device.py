"""A remote device is the device at the other end: same bytes, same reports, same errors; and it leaves nothing."""

import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from support.remote import CONFIG, Board, Gate, eventually, program
from weft_hardware.encoding import encode
from weft_hardware.isa import Memory
from weft_hardware.presets import PRESETS
from weft_runtime.device import Launch
from weft_runtime.diagnosis import command_queues
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError, FaultError
from weft_runtime.remote.address import parse_address
from weft_runtime.remote.device import RemoteDevice
from weft_runtime.remote.errors import RemoteError
from weft_runtime.remote.limits import Limits
from weft_runtime.remote.server import ServerOptions, serving
from weft_runtime.remote.sources import FreshDevices, KeptDevice, Wish

SMALL = Limits(chunk_bytes=50_001, memory_bytes=1 << 20)


def functional(wish: Wish):
    pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")
    from weft_simulator.functional.device import FunctionalDevice

    dram = None if wish.memory is None else Dram.zeros(wish.memory[1], wish.memory[0])
    return FunctionalDevice(CONFIG, dram=dram)


@pytest.fixture(scope="module")
def address():
    with serving([FreshDevices("functional", CONFIG, functional)], ServerOptions(limits=SMALL)) as address:
        yield address


@pytest.fixture
def board() -> Board:
    return Board()


def test_programs_leave_the_same_bytes(address):
    """Random programs on one device after another, so that scratchpads carry over too; the server's chunks are odd."""
    pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")
    from weft_simulator.functional.device import FunctionalDevice
    from weft_simulator.lockstep.differential import Session
    from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate

    here, there = (Dram.zeros(DRAM_SIZE, DRAM_BASE) for _ in range(2))
    session = Session(CONFIG)
    with RemoteDevice(address, CONFIG, dram=there) as remote:
        session.attach("functional", FunctionalDevice(CONFIG, dram=here), here)
        session.attach("remote", remote, there)
        for seed in range(20):
            session.run(generate(CONFIG, seed))


def test_faults_are_the_same(address):
    pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")
    from weft_simulator.functional.device import FunctionalDevice
    from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate
    from weft_simulator.lockstep.spoiler import faulty_instructions, with_a_fault, without_a_pop, without_a_push

    rng = random.Random(7)
    here, there = (Dram.zeros(DRAM_SIZE, DRAM_BASE) for _ in range(2))
    local, compared = FunctionalDevice(CONFIG, dram=here), set()
    spoilers = [without_a_push, without_a_pop]
    spoilers += [lambda p, r, bad=bad: with_a_fault(p, r, bad) for _, bad in faulty_instructions(CONFIG)[:6]]
    with RemoteDevice(address, CONFIG, dram=there) as remote:
        for seed, spoil in enumerate(spoilers):
            spoiled = spoil(generate(CONFIG, seed), rng)
            if spoiled is None:
                continue
            caught = []
            for device, dram in ((local, here), (remote, there)):
                dram.data[:] = spoiled.image
                with pytest.raises(DeviceError) as error:
                    device.launch(spoiled.launch())
                caught.append(error.value)
            assert type(caught[0]) is type(caught[1])
            assert str(caught[0]) == str(caught[1])
            if isinstance(caught[0], FaultError):
                assert caught[0].fault == caught[1].fault
            assert np.array_equal(here.data, there.data)
            compared.add(type(caught[0]).__name__)
    assert compared >= {"FaultError", "DeadlockError"}


def test_copies_of_any_size(address):
    rng = np.random.default_rng(3)
    with RemoteDevice(address) as device:
        assert device.config == CONFIG
        for nbytes in (0, 1, 50_000, 50_001, 50_002, 123_456):
            data = rng.integers(0, 256, nbytes, np.uint8)
            place = device.allocate(nbytes)
            device.write(place, data)
            assert np.array_equal(device.read(place, nbytes), data)
            device.free(place)
        words = np.arange(600, dtype="<u4").reshape(2, 300)
        place = device.allocate(words.nbytes)
        device.write(place, words)  # type: ignore[arg-type]
        assert device.read(place, words.nbytes).tobytes() == words.tobytes()


def test_errors_of_the_device_are_its_own(address):
    with RemoteDevice(address) as device:
        with pytest.raises(DeviceError) as caught:
            device.free(64)
        assert str(caught.value) == "DRAM address 0x40 is not allocated; free each buffer once, at its start"
        assert type(caught.value) is DeviceError
        with pytest.raises(RemoteError) as refused:
            device.allocate((1 << 20) + 1)
        assert str(refused.value) == (
            "allocation of 1048577 bytes beside 0 is more than the server's 1048576 for a client; free buffers"
        )


def test_a_launch_and_its_report_travel(board):
    with serving([KeptDevice("board", board)]) as address, RemoteDevice(address) as device:
        place = device.allocate(64)
        device.write(place, program())
        windows = dict.fromkeys(Memory, (place, place + 64))
        launch = Launch(place, 1, {Memory.INP: place}, windows, ((0, 0, 0), (0, 1, 0)))
        report = device.launch(launch)
        assert board.launches == [launch]
        assert (report.cycles, report.instructions, report.activity) == (7, 1, None)


def test_activity_travels():
    pytest.importorskip("numba", reason="needs the timing extra (numba)")
    from weft_simulator.lockstep.generator import DRAM_BASE, DRAM_SIZE, generate
    from weft_simulator.timing.device import TimingDevice
    from weft_simulator.tsim.model import MemoryTiming

    def timing(wish: Wish):
        assert wish.memory is not None
        dram = Dram.zeros(wish.memory[1], wish.memory[0])
        return TimingDevice(CONFIG, dram=dram, memory=MemoryTiming(read_latency=wish.read_latency))

    case, reports = generate(CONFIG, 5), []
    counts = np.bincount(command_queues(encode(case.instructions, CONFIG), CONFIG), minlength=3)
    parts = tuple(tuple(part.tolist()) for part in (counts // 2, counts - counts // 2))
    launch = replace(case.launch(), parts=parts)
    with serving([FreshDevices("timing", CONFIG, timing)]) as address:
        for latency in (0, 50):
            there = Dram.zeros(DRAM_SIZE, DRAM_BASE)
            there.data[:] = case.image
            with RemoteDevice(address, CONFIG, dram=there, read_latency=latency) as remote:
                report = remote.launch(launch)
            here = Dram.zeros(DRAM_SIZE, DRAM_BASE)
            here.data[:] = case.image
            local = TimingDevice(CONFIG, dram=here, memory=MemoryTiming(read_latency=latency))
            assert report == local.launch(launch)
            assert report.activity is not None
            assert len(report.parts) == 2
            reports.append(report.cycles)
    assert reports[0] < reports[1]


def test_closing_frees_everything(board):
    with serving([KeptDevice("board", board)]) as address:
        with RemoteDevice(address) as device:
            for _ in range(5):
                device.allocate(100)
            assert len(board.buffers) == 5
            use = device.memory_use()
            assert use is not None
            assert (use.total, use.buffers) == (1 << 20, 5)
        assert eventually(lambda: not board.buffers)
        assert not board.closed
    assert board.closed


def test_the_next_client_waits_for_its_turn(board):
    with serving([KeptDevice("board", board)]) as address:
        first = RemoteDevice(address)
        first.allocate(64)
        with pytest.raises(RemoteError) as caught:
            RemoteDevice(parse_address(f"{address}?wait=0.3"))
        assert str(caught.value) == (
            "no device was free within 0.3 s (0 clients are ahead); try again later, or wait longer"
        )
        first.close()
        with RemoteDevice(parse_address(f"{address}?wait=10")) as second:
            assert second.name == "board-0"
            assert not board.buffers


def test_an_idle_device_goes_to_who_waits(board):
    limits = Limits(idle_seconds=0.3)
    with serving([KeptDevice("board", board)], ServerOptions(limits=limits)) as address:
        first = RemoteDevice(address)
        place = first.allocate(64)
        with RemoteDevice(address) as second:
            second.allocate(64)
            assert len(board.buffers) == 1
            with pytest.raises(RemoteError) as caught:
                first.read(place, 64)
            assert str(caught.value) == (
                "the lease has ended: it was idle for 0.3 s and others wait for the device; open the device again"
            )
        first.close()


def test_a_busy_device_goes_to_who_waits(board):
    """The call that runs when the time is up still gets its answer."""
    gate = Gate()
    board.on_launch = gate
    limits = Limits(lease_seconds=0.3)
    with (
        serving([KeptDevice("board", board)], ServerOptions(limits=limits)) as address,
        RemoteDevice(address) as first,
        ThreadPoolExecutor(2) as threads,
    ):
        place = first.allocate(64)
        first.write(place, program())
        launched = threads.submit(first.launch, Launch(place, 1))
        assert gate.entered.wait(10)
        opened = threads.submit(RemoteDevice, address)
        time.sleep(0.6)
        assert not opened.done()
        gate.opened.set()
        assert launched.result().cycles == 7
        with pytest.raises(RemoteError) as caught:
            first.read(place, 64)
        assert str(caught.value) == (
            "the lease has ended: it lasted 0.3 s and others wait for the device; open the device again"
        )
        opened.result().close()


def test_a_client_that_is_gone_during_a_launch(board):
    gate = Gate()
    board.on_launch = gate
    with serving([KeptDevice("board", board)]) as address:
        first = RemoteDevice(parse_address(f"{address}?timeout=0.3"))
        place = first.allocate(64)
        first.write(place, program())
        with pytest.raises(RemoteError) as caught:
            first.launch(Launch(place, 1))
        assert str(caught.value) == (
            f"server {address} did not answer Launch within 0.3 s; wait longer, as in {address}?timeout=SECONDS, or "
            "see whether the server is busy"
        )
        first.close()
        assert board.buffers == {place}  # the launch still runs there
        gate.opened.set()
        with RemoteDevice(address):
            assert not board.buffers


@pytest.mark.slow
def test_a_client_that_falls_silent(board):
    """Its process stands still, and its machine's network does not know."""
    code = (
        "import time, weft; d = weft.open_device('ADDRESS'); d.allocate(64); print('here', flush=True); time.sleep(100)"
    )
    with serving([KeptDevice("board", board)]) as address:
        command = [sys.executable, "-c", code.replace("ADDRESS", str(address))]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == b"here\n"
            assert len(board.buffers) == 1
            client.send_signal(signal.SIGSTOP)
            assert eventually(lambda: not board.buffers, 30)
            client.kill()


def test_a_device_that_cannot_be_cleaned_is_out_of_service(board, monkeypatch, capfd):
    def failing(address: int) -> None:
        raise DeviceError("the link is down")

    with serving([KeptDevice("board", board)]) as address:
        with RemoteDevice(address) as device:
            device.allocate(64)
            monkeypatch.setattr(board, "free", failing)

        def refusal() -> str:
            with pytest.raises(RemoteError) as caught:
                RemoteDevice(parse_address(f"{address}?wait=0.1"))
            return str(caught.value)

        assert eventually(
            lambda: refusal() == "device board-0 is out of service (the link is down); restart the server"
        )
    assert "device board-0 is out of service" in capfd.readouterr().err


def test_another_configuration_is_refused(address):
    with pytest.raises(RemoteError) as caught:
        RemoteDevice(address, PRESETS["vta"])
    assert str(caught.value) == (
        f"server {address} has no device of the wanted configuration: functional-0 has block_in = 4, not 16; "
        "compile for its configuration, or serve another device"
    )


def test_another_kind_is_refused(address):
    with pytest.raises(RemoteError) as caught:
        RemoteDevice(parse_address(f"{address}?device=tsim"), CONFIG)
    assert str(caught.value) == (
        f"the server has no device with configuration {CONFIG.digest[:8]} and kind 'tsim'; it has functional-0 "
        f"({CONFIG.digest[:8]}): compile for one of these, or serve another device"
    )


def test_too_much_memory_of_ones_own_is_refused(address):
    with pytest.raises(RemoteError) as caught:
        RemoteDevice(address, CONFIG, dram=Dram.zeros((1 << 20) + 1))
    assert str(caught.value) == (
        "memory of 1048577 bytes is outside the server's limit of 1..1048576; "
        "use a smaller image, or raise the server's --memory-limit"
    )


def test_memory_of_ones_own_needs_a_simulator(board):
    with serving([KeptDevice("board", board)]) as address, pytest.raises(RemoteError) as caught:
        RemoteDevice(address, CONFIG, dram=Dram.zeros(64))
    assert str(caught.value) == (
        f"the server has no device with configuration {CONFIG.digest[:8]} and memory of the client's own; it has "
        f"board-0 ({CONFIG.digest[:8]}): compile for one of these, or serve another device"
    )


def test_nobody_listens():
    with pytest.raises(RemoteError) as caught:
        RemoteDevice("grpc://127.0.0.1:1")
    assert str(caught.value) == (
        "server grpc://127.0.0.1:1 does not answer (Connection refused); "
        "check that it runs, its address, and the network between"
    )


def test_the_server_goes(board):
    with serving([KeptDevice("board", board)]) as address:
        device = RemoteDevice(address)
        place = device.allocate(64)
    with pytest.raises(RemoteError) as caught:
        device.read(place, 64)
    assert str(caught.value).startswith(f"server {address} does not answer (")
    device.close()
    with pytest.raises(RemoteError) as caught:
        device.read(place, 64)
    assert str(caught.value) == f"the connection to {address} is closed; open the device again"


def test_a_port_that_is_taken(address):
    with (
        pytest.raises(RemoteError) as caught,
        serving([KeptDevice("board", Board())], ServerOptions(port=address.port)),
    ):
        pass
    assert str(caught.value) == (
        f"the server cannot listen on 127.0.0.1:{address.port}: the port is in use, the address is not this machine's, "
        "or the certificate and key do not fit together; choose another port, or make new credentials"
    )


def test_limits_that_let_nothing_happen():
    with pytest.raises(RemoteError) as caught:
        Limits(idle_seconds=0)
    assert str(caught.value) == "limit idle_seconds = 0 lets nothing happen; choose more than 0"


def test_stopping_waits_for_the_running_launch(board):
    gate = Gate()
    board.on_launch = gate
    reports = []

    def client() -> None:
        with RemoteDevice(address) as device:
            place = device.allocate(64)
            device.write(place, program())
            reports.append(device.launch(Launch(place, 1)))

    with serving([KeptDevice("board", board)]) as address:
        thread = threading.Thread(target=client)
        thread.start()
        assert gate.entered.wait(10)
        threading.Timer(0.3, gate.opened.set).start()
    thread.join()
    assert [report.cycles for report in reports] == [7]
    assert board.closed
    assert not board.buffers
