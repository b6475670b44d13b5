"""Modules on a server: uploaded once, run by name, with results as they come, and not if they are not trusted."""

from dataclasses import replace

import numpy as np
import pytest
from support.increment import IR
from support.remote import CONFIG, Board, eventually
from weft_hardware.encoding import encode
from weft_hardware.isa import Finish
from weft_hardware.presets import PRESETS
from weft_runtime.device import Launch
from weft_runtime.errors import DeviceError, ModuleError
from weft_runtime.module import Module
from weft_runtime.module_model import (
    AcceleratorStep,
    Buffer,
    Constant,
    ExternalStep,
    HostStep,
    Layer,
    ModuleContent,
    TensorInfo,
)
from weft_runtime.remote.client import Server
from weft_runtime.remote.device import RemoteDevice
from weft_runtime.remote.errors import RemoteError
from weft_runtime.remote.limits import Limits
from weft_runtime.remote.server import ServerOptions, serving
from weft_runtime.remote.sources import KeptDevice
from weft_runtime.session import Session

STREAM, SENT, BACK = Buffer("device", 0, 16), Buffer("device", 64, 4), Buffer("device", 128, 4)
X, Y = Buffer("host", 0, 4), Buffer("host", 64, 4)
FINISH = encode([Finish()], CONFIG).tobytes()

DOUBLE = ModuleContent(
    config=CONFIG,
    inputs=(TensorInfo("x", (1,), "int32", SENT),),
    outputs=(TensorInfo("y", (1,), "int32", BACK),),
    region_bytes={"device": 192, "host": 0},
    constants=(Constant("stream", STREAM, FINISH),),
    layers=(Layer("double", "Mul", "accelerator", "", 5),),
    steps=(AcceleratorStep(0, STREAM, 1, (SENT,), (BACK,)),),
)
"""``y = 2 · x``, all of it on the accelerator."""


def with_host_code() -> ModuleContent:
    """``y = 2 · (x + 1)``."""
    pytest.importorskip("xdsl", reason="needs the compiler extra (xdsl)")
    from weft_compiler.host.codegen import compile_ir

    return replace(
        DOUBLE,
        inputs=(TensorInfo("x", (1,), "int32", X),),
        region_bytes={"device": 192, "host": 128},
        layers=(Layer("add", "Add", "host", "it adds", 0), *DOUBLE.layers),
        steps=(HostStep(0, "increment", (X, SENT)), AcceleratorStep(1, STREAM, 1, (SENT,), (BACK,))),
        host_code=(compile_ir(IR),),
    )


def doubling(size: int = 1 << 20) -> Board:
    """A launch doubles the number at offset 64 of its region into offset 128."""
    board = Board(size=size)

    def double(launch: Launch) -> None:
        value = board.read(launch.insn_address + 64, 4).view("<i4")
        board.write(launch.insn_address + 128, (value * 2).astype("<i4").view(np.uint8))

    board.on_launch = double
    return board


def value(number: int) -> np.ndarray:
    return np.array([number], np.int32)


def refusal(kind, call, *arguments, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


@pytest.fixture
def board() -> Board:
    return doubling()


@pytest.fixture
def server(board):
    with serving([KeptDevice("board", board)]) as address, Server(address) as server:
        yield server


def test_a_module_is_uploaded_once_and_run_often(server, board):
    module = server.upload(Module(DOUBLE), "double")
    assert server.modules() == ["double"]
    assert (module.inputs, module.outputs) == (("x",), ("y",))
    for number in (1, -7, 1000):
        assert module.run(value(number)) == [2 * number]
        assert server.module("double").run({"x": value(number)}) == [2 * number]
    assert len(board.buffers) == 1


def test_runs_stay_in_the_modules_own_memory(server, board):
    server.upload(Module(DOUBLE), "double").run(value(1))
    (launch,) = board.launches
    (region,) = board.buffers
    assert {*launch.windows.values()} == {(region, region + 192)}


def test_many_results_come_as_they_are_ready(server):
    """The next input is made only when earlier results are there, so nothing is collected on the way."""
    module = server.upload(Module(DOUBLE), "double")
    seen: list[int] = []

    def inputs():
        for number in range(20):
            if number >= 10:
                assert eventually(lambda: len(seen) >= 5)
            yield [value(number)]

    for run in module.stream(inputs()):
        seen.append(int(run.outputs[0]))
        assert run.cycles == 7
        assert run.seconds > 0
    assert seen == [2 * number for number in range(20)]


def test_a_profile(server):
    run = server.upload(Module(DOUBLE), "double").profile(value(4))
    (layer,) = run.layers
    assert run.outputs == [8]
    assert (layer.name, layer.op, layer.placement, layer.macs, layer.cycles) == ("double", "Mul", "accelerator", 5, 7)
    assert layer.device_seconds > 0
    assert layer.activity is None


def test_several_clients_share_a_module(server, board):
    server.upload(Module(DOUBLE), "double")
    (slot,) = server.devices()
    assert (slot.name, slot.kind, slot.config, slot.in_use, slot.fresh) == ("board-0", "board", CONFIG, False, False)
    with Server(server._connection.address) as other:
        streams = [s.module("double").stream([value(k)] for k in range(50)) for s in (server, other)]
        for k, (mine, theirs) in enumerate(zip(*streams, strict=True)):
            assert mine.outputs == theirs.outputs == [2 * k]
    assert len(board.buffers) == 1


def test_a_lease_and_runs_take_turns(server, board):
    module = server.upload(Module(DOUBLE), "double")
    module.run(value(1))
    with RemoteDevice(server._connection.address) as device, Session(Module(with_host_code()), device) as session:
        assert session.run(value(20)) == [42]
        assert len(board.buffers) == 2
    assert module.run(value(2)) == [4]
    assert len(board.buffers) == 1


def test_a_client_with_host_code_runs_it_itself(server):
    with RemoteDevice(server._connection.address) as device:
        assert Module(with_host_code()).run(device, value(20)) == [42]


def test_the_server_runs_no_host_code_of_strangers(server, board):
    assert refusal(RemoteError, server.upload, Module(with_host_code()), "evil") == (
        "module has 1 steps of host code, which this server does not run for others; run it with a Session on the "
        "remote device, which executes them on the client, or start the server with --allow-host-code if you trust "
        "whoever can reach it"
    )
    assert server.modules() == []
    assert not board.buffers


def test_the_server_runs_host_code_where_it_is_allowed(board):
    options = ServerOptions(allow_host_code=True)
    with serving([KeptDevice("board", board)], options) as address, Server(address) as server:
        assert server.upload(Module(with_host_code())).run(value(20)) == [42]


def test_external_functions_are_never_looked_for_on_the_server(board):
    """``system`` is a C function that every process has."""
    step = ExternalStep(0, "system", "c", DOUBLE.inputs, DOUBLE.outputs)
    content = replace(DOUBLE, steps=(step,))
    options = ServerOptions(allow_host_code=True)
    with serving([KeptDevice("board", board)], options) as address, Server(address) as server:
        assert refusal(RemoteError, server.upload, Module(content)) == (
            "module calls the external function 'system', which only its client has; "
            "run it there with a Session on the remote device"
        )


def test_names(server):
    module = server.upload(Module(DOUBLE))
    assert module.name == module.sha256
    server.upload(Module(DOUBLE), "double")
    assert server.upload(Module(DOUBLE), "double").sha256 == module.sha256
    other = replace(DOUBLE, layers=(replace(DOUBLE.layers[0], macs=6),))
    assert refusal(RemoteError, server.upload, Module(other), "double") == (
        "the server has another module 'double'; choose another name, or replace it"
    )
    assert server.upload(Module(other), "double", replace=True).sha256 != module.sha256
    assert refusal(RemoteError, server.upload, Module(other), "n" * 201) == (
        "module name of 201 characters is too long or not printable; use at most 200"
    )


def test_a_removed_module_leaves_nothing(server, board):
    module = server.upload(Module(DOUBLE), "double")
    module.run(value(1))
    assert len(board.buffers) == 1
    server.remove("double")
    assert eventually(lambda: not board.buffers)
    message = "the server has no module 'double'; upload it first"
    assert refusal(RemoteError, module.run, value(1)) == message
    assert refusal(RemoteError, server.module, "double") == message
    assert refusal(RemoteError, server.remove, "double") == message


def test_modules_make_room_for_each_other_and_for_leases():
    board = doubling(size=1 << 12)
    with serving([KeptDevice("board", board)]) as address, Server(address) as server:
        large = {"device": 1500, "host": 0}
        modules = []
        for k in range(4):
            layers = (replace(DOUBLE.layers[0], macs=k),)
            modules.append(server.upload(Module(replace(DOUBLE, region_bytes=large, layers=layers)), f"m{k}"))
        for k, module in enumerate(modules * 2):
            assert module.run(value(k)) == [2 * k]
        assert len(board.buffers) == 2
        with RemoteDevice(address) as device:
            device.allocate(3500)
            assert len(board.buffers) == 1
            assert "does not fit" in refusal(DeviceError, device.allocate, 3500)
        assert modules[0].run(value(9)) == [18]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"z": value(1)}, "input 'z' is none of the model's: x; correct the name"),
        (value(1).astype(np.uint8), "input 'x' has type uint8, the module takes int32; convert it"),
        (np.zeros((2, 1), np.int32), "input 'x' has shape (2, 1), the module takes (1,); reshape it"),
        ([value(1), value(2)], "2 inputs were passed, the model takes 1: x"),
    ],
)
def test_inputs_that_do_not_fit(server, inputs, message):
    module = server.upload(Module(DOUBLE), "double")
    assert refusal(ModuleError, module.run, inputs) == message
    assert module.run(value(3)) == [6]


def test_an_error_in_making_inputs_comes_after_the_results_before(server):
    def inputs():
        yield value(1)
        yield value(2)
        raise KeyError("no more images")

    module = server.upload(Module(DOUBLE), "double")
    stream = module.stream(inputs())
    assert [next(stream).outputs, next(stream).outputs] == [[2], [4]]
    with pytest.raises(KeyError, match="no more images"):
        next(stream)
    assert module.run(value(3)) == [6]


def test_a_type_that_no_module_has(server):
    module = server.upload(Module(DOUBLE), "double")
    assert refusal(RemoteError, module.run, np.zeros(1, np.complex128)) == (
        "tensor 'x' has type 'complex128', a module takes int8, uint8, int32, float32; convert it"
    )


def test_a_module_for_another_configuration(server, board):
    content = replace(DOUBLE, config=PRESETS["tiny8"])
    assert refusal(RemoteError, server.upload, Module(content)) == (
        f"the server has no device with configuration {PRESETS['tiny8'].digest[:8]}; it has board-0 "
        f"({CONFIG.digest[:8]}): compile for one of these, or serve another device"
    )


def test_a_damaged_module(server, tmp_path):
    path = tmp_path / "m.weft"
    Module(DOUBLE).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    message = refusal(ModuleError, server.upload, path)
    assert message.startswith("module file uploaded")
    assert "/" not in message.replace(".weft", "")
    assert server.modules() == []


def test_a_file_that_is_not_there(server, tmp_path):
    assert refusal(ModuleError, server.upload, tmp_path / "no.weft") == (
        f"module file {tmp_path / 'no.weft'} cannot be read: No such file or directory; check the path"
    )


def test_limits_of_modules(board):
    limits = Limits(modules=2, module_bytes=4000, memory_bytes=1000)
    with (
        serving([KeptDevice("board", board)], ServerOptions(limits=limits)) as address,
        Server(address) as server,
    ):
        server.upload(Module(DOUBLE), "a")
        server.upload(Module(DOUBLE), "b")
        assert refusal(RemoteError, server.upload, Module(DOUBLE), "c") == (
            "the server keeps 2 modules and has as many; remove one"
        )
        server.remove("a")
        large = replace(DOUBLE, region_bytes={"device": 900, "host": 101})
        assert refusal(RemoteError, server.upload, Module(large), "c") == (
            "module needs 1001 bytes of memory, the server gives 1000; raise the server's --memory-limit"
        )
        noise = np.random.default_rng(1).integers(0, 256, 5000, np.uint8).tobytes()
        long = replace(
            DOUBLE,
            region_bytes={"device": 6000, "host": 0},
            constants=(*DOUBLE.constants, Constant("noise", Buffer("device", 192, 5000), noise)),
        )
        message = refusal(RemoteError, server.upload, Module(long), "c")
        assert message.startswith("module of ")
        assert message.endswith(" bytes is larger than the server's limit of 4000; raise the server's --module-limit")
        bomb = replace(long, constants=(*DOUBLE.constants, Constant("zeros", Buffer("device", 192, 5000), bytes(5000))))
        message = refusal(RemoteError, server.upload, Module(bomb), "c")
        assert message.startswith("module unpacks to ")
        assert server.modules() == ["b"]
