"""Sessions on a device that computes nothing: order, copies, checks of inputs."""

from __future__ import annotations

import builtins
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.increment import IR
from weft_compiler.host.codegen import compile_ir
from weft_hardware.config import AcceleratorConfig
from weft_runtime import host_functions
from weft_runtime.device import Bytes, Device, Launch, RunReport
from weft_runtime.dram import Dram
from weft_runtime.errors import DeviceError, ModuleError
from weft_runtime.module import Module
from weft_runtime.module_model import (
    AcceleratorStep,
    Buffer,
    Constant,
    HostStep,
    Layer,
    ModuleContent,
    TensorInfo,
)
from weft_runtime.session import Session

X, SENT, BACK, Y = Buffer("host", 0, 4), Buffer("device", 64, 4), Buffer("device", 128, 4), Buffer("host", 64, 4)
STREAM = Buffer("device", 0, 16)


class DoublingDevice(Device):
    """Every launch stores twice the number at offset 64 of the region at offset 128."""

    def __init__(self, config: AcceleratorConfig = AcceleratorConfig()) -> None:  # noqa: B008, frozen
        self.config = config
        self.memory = Dram.zeros(1 << 16)
        self.launches: list[Launch] = []

    def allocate(self, nbytes: int) -> int:
        return self.memory.allocate(nbytes)

    def free(self, address: int) -> None:
        self.memory.free(address)

    def write(self, address: int, data: Bytes) -> None:
        self.memory.view(address, data.size)[:] = data

    def read(self, address: int, nbytes: int) -> Bytes:
        return self.memory.view(address, nbytes).copy()

    def launch(self, launch: Launch) -> RunReport:
        self.launches.append(launch)
        base = launch.insn_address
        value = self.read(base + 64, 4).view("<i4")
        self.write(base + 128, (value * 2).astype("<i4").view(np.uint8))
        return RunReport(cycles=7, instructions=launch.insn_count)


@pytest.fixture(scope="module")
def content() -> ModuleContent:
    """``y = 2 · (x + 1) + 1`` for one int32."""
    return ModuleContent(
        config=AcceleratorConfig(),
        inputs=(TensorInfo("x", (1,), "int32", X),),
        outputs=(TensorInfo("y", (1,), "int32", Y),),
        region_bytes={"device": 192, "host": 128},
        constants=(Constant("stream", STREAM, bytes(16)),),
        layers=(Layer("a", "Add", "host", "it adds", 0), Layer("b", "Mul", "accelerator", "", 5)),
        steps=(
            HostStep(0, "increment", (X, SENT)),
            AcceleratorStep(1, STREAM, 1, (SENT,), (BACK,)),
            HostStep(1, "increment", (BACK, Y)),
        ),
        host_code=(compile_ir(IR),),
    )


def value(number: int) -> np.ndarray:
    return np.array([number], np.int32)


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(ModuleError) as caught:
        call(*arguments)
    return str(caught.value)


def test_steps_run_in_order(content: ModuleContent) -> None:
    device = DoublingDevice()
    with Session(Module(content), device) as session:
        for number in (0, 20, -5):
            assert session.run(value(number)) == [2 * (number + 1) + 1]
    assert len(device.launches) == 3


class WaitingDevice(DoublingDevice):
    """A launch that takes until somebody says so."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.problem: Exception | None = None

    def launch(self, launch: Launch) -> RunReport:
        assert self.go.wait(30), "nothing runs beside the launch"
        self.go.clear()
        if self.problem:
            raise self.problem
        return super().launch(launch)


def beside(content: ModuleContent) -> ModuleContent:
    """As ``content``, which writes ``x + 1`` elsewhere, too, while its launch runs: that is its result."""
    first, launch, last = content.steps
    assert isinstance(last, HostStep)
    return replace(
        content,
        region_bytes={"device": 192, "host": 192},
        steps=(first, launch, HostStep(0, "increment", (X, Buffer("host", 128, 4)), beside=True), last),
        outputs=(TensorInfo("y", (1,), "int32", Y), TensorInfo("z", (1,), "int32", Buffer("host", 128, 4))),
    )


def released(session: Session, device: WaitingDevice) -> None:
    """Have the step beside end the launch."""
    (step,) = [s for s in session._content.steps if isinstance(s, HostStep) and s.beside]
    call = session._calls[id(step)]

    def go() -> None:
        call()
        device.go.set()

    session._calls[id(step)] = go


def test_a_step_beside_runs_while_the_launch_does(content: ModuleContent) -> None:
    device = WaitingDevice()
    with Session(Module(beside(content)), device) as session:
        released(session, device)
        for number in (0, 20, -5):
            assert session.run(value(number)) == ([2 * (number + 1) + 1], [number + 1])
        add, mul = session.last_profile
        assert add.host_seconds > 0
        assert (add.cycles, mul.cycles) == (None, 7)
        assert mul.device_seconds > 0


def test_a_launch_that_fails_waits_for_the_steps_beside(content: ModuleContent) -> None:
    device = WaitingDevice()
    device.problem = DeviceError("the link is down")
    with Session(Module(beside(content)), device) as session:
        released(session, device)
        with pytest.raises(DeviceError, match=r"^the link is down$"):
            session.run(value(3))
        device.problem = None
        assert session.run(value(3)) == ([9], [4])


def test_module_run_leaves_no_memory_behind(content: ModuleContent) -> None:
    device = DoublingDevice()
    first = device.allocate(1 << 15)
    device.free(first)
    assert Module(content).run(device, {"x": value(1)}) == [5]
    assert device.allocate(1 << 15) == first


def test_a_failed_load_leaves_no_memory_behind(content: ModuleContent, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(address: int, data: object) -> None:
        raise DeviceError("the link is down")

    device = DoublingDevice()
    first = device.allocate(1 << 15)
    device.free(first)
    monkeypatch.setattr(device, "write", broken)
    with pytest.raises(DeviceError, match="the link is down"):
        Session(Module(content), device)
    assert device.allocate(1 << 15) == first


def test_the_profile_names_layers_cycles_and_macs(content: ModuleContent) -> None:
    with Session(Module(content), DoublingDevice()) as session:
        session.run(value(1))
        a, b = session.last_profile
    assert (a.name, a.placement, a.reason, a.cycles) == ("a", "host", "it adds", None)
    assert (b.name, b.placement, b.macs, b.cycles) == ("b", "accelerator", 5, 7)
    assert a.host_seconds > 0


def test_run_many_splits_and_joins(content: ModuleContent) -> None:
    with Session(Module(content), DoublingDevice()) as session:
        y = session.run_many(np.arange(5, dtype=np.int32))
    assert np.asarray(y).tolist() == [3, 5, 7, 9, 11]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros(0, np.int32), "run_many got 0 images; pass at least one"),
        (np.int32(1), "run_many needs the same number of images in every input; check their first dimensions"),
        (np.zeros((3, 2), np.int32), "input 'x' has shape (1, 2), the module takes (1,); reshape it"),
    ],
)
def test_run_many_refuses(content: ModuleContent, values: Any, sentence: str) -> None:
    with Session(Module(content), DoublingDevice()) as session:
        assert refusal(session.run_many, {"x": values}) == sentence


def test_an_output_without_the_batch_is_never_cut(content: ModuleContent) -> None:
    (x,) = content.inputs
    wide = replace(x, shape=(1, 1))
    module = Module(replace(content, inputs=(wide,), outputs=(*content.outputs, replace(x, name="z", shape=()))))
    with Session(module, DoublingDevice()) as session:
        y, z = session.run_many(value(3).reshape(1, 1))
        assert (y, z.shape) == ([9], ())
        assert refusal(session.run_many, np.zeros((2, 1), np.int32)) == (
            "the module's tensors do not all begin with one batch size (x (1, 1), y (1,), z ()), so images cannot be "
            "split into groups; pass inputs of exactly these shapes"
        )


def test_another_cpu_compiles_the_ir(content: ModuleContent) -> None:
    foreign = replace(content.host_code[0], features=("no-such-feature",), object=b"")
    with Session(Module(replace(content, host_code=(foreign,))), DoublingDevice()) as session:
        assert session.run(value(3)) == [9]


def test_another_configuration_is_refused(content: ModuleContent) -> None:
    device = DoublingDevice(AcceleratorConfig(inp_depth=64))
    assert refusal(Session, Module(content), device) == (
        "module was compiled for inp_depth = 2048, the device has inp_depth = 64; "
        "compile the model for the device's configuration"
    )


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"z": value(1)}, "input 'z' is none of the model's: x; correct the name"),
        ({}, "input 'x' is missing; pass all of x"),
        ([value(1), value(2)], "2 inputs were passed, the model takes 1: x"),
        (np.zeros((2, 1), np.int32), "input 'x' has shape (2, 1), the module takes (1,); reshape it"),
        (np.zeros(1, np.float32), "input 'x' has type float32, the module takes int32; convert it"),
    ],
)
def test_inputs_that_do_not_fit(content: ModuleContent, inputs: Any, sentence: str) -> None:
    with Session(Module(content), DoublingDevice()) as session:
        assert refusal(session.run, inputs) == sentence


def test_a_number_is_an_input_of_no_dimensions(content: ModuleContent) -> None:
    with Session(Module(content), DoublingDevice()) as session:
        assert refusal(session.run, np.int32(3)) == "input 'x' has shape (), the module takes (1,); reshape it"


def test_a_closed_session(content: ModuleContent) -> None:
    session = Session(Module(content), DoublingDevice())
    session.close()
    assert refusal(session.run, value(1)) == "session is closed; open a new one"


def test_a_function_that_is_not_there(content: ModuleContent) -> None:
    wrong = replace(content, steps=(HostStep(0, "decrement", (X, Y)),))
    assert refusal(Session, Module(wrong), DoublingDevice()) == (
        "module has no host function 'decrement'; compile the model again"
    )


def test_host_code_that_does_not_compile(content: ModuleContent) -> None:
    broken = replace(content.host_code[0], features=("no-such-feature",), ir=b"nonsense")
    text = refusal(Session, Module(replace(content, host_code=(broken,))), DoublingDevice())
    assert text.startswith("module's host code does not compile (")


def test_without_llvmlite(content: ModuleContent, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def blocked(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("llvmlite"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", blocked)
    monkeypatch.setattr(host_functions.host_cpu, "architecture", lambda: "x86_64")
    assert refusal(host_functions.HostFunctions, content.host_code, ["increment"]) == (
        "module has host code, but not linked for this x86_64, and llvmlite, which would load it, is not installed; "
        "compile the model with --host-target for it, or pip install 'weft[compiler]'"
    )
