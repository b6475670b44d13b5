"""The exported library on a served simulator and on files that stand for a board: results, refusals, faults."""

from __future__ import annotations

import ctypes
import platform
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import exported
from weft.demo import reference_logits
from weft.models import digits_heldout, digits_onnx
from weft_hardware.registers import BY_NAME, IDENTITY_VALUE, Status
from weft_runtime.dram import Dram
from weft_runtime.errors import ModuleError
from weft_runtime.export import library
from weft_runtime.host_functions import CPU_FEATURES, aligned_bytes
from weft_runtime.module import Module
from weft_runtime.module_model import ExternalStep
from weft_simulator.link import LinkServer
from weft_simulator.ports import port_of

import weft

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

IMAGES = digits_heldout()[0][:20]


class Network:
    """The C interface of an exported library, by ctypes."""

    def __init__(self, path: Path) -> None:
        self.c = ctypes.CDLL(str(path))
        for name in ("weft_load", "weft_load_on", "weft_input_data", "weft_output_data"):
            getattr(self.c, name).restype = ctypes.c_void_p
        self.c.weft_last_error.restype = ctypes.c_char_p
        self.c.weft_cycles.restype = self.c.weft_device_bytes.restype = ctypes.c_uint64
        self.model: int | None = None

    def load(self, device: str) -> None:
        self.model = self.c.weft_load(device.encode())

    def unload(self) -> None:
        self.c.weft_unload(self.handle)
        self.model = None

    @property
    def handle(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.model)

    @property
    def error(self) -> str:
        return self.c.weft_last_error(self.handle).decode()

    def run(self, image: np.ndarray) -> bytes | None:
        """The logits' bytes; None if something failed."""
        logits = ctypes.create_string_buffer(40)
        data = image.tobytes()
        if self.c.weft_set_input(self.handle, 0, data, ctypes.c_size_t(len(data))):
            return None
        if self.c.weft_run(self.handle) or self.c.weft_get_output(self.handle, 0, logits, ctypes.c_size_t(40)):
            return None
        return logits.raw


@pytest.fixture(scope="module")
def module() -> Module:
    return weft.compile(digits_onnx(), "vta")


@pytest.fixture(scope="module")
def folder(module: Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported.need_zig()
    folder = tmp_path_factory.mktemp("export")
    assert module.export(folder / "net.so") == folder / "net.h"
    return folder


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    if platform.machine() != "x86_64":
        pytest.skip("needs an x86_64 processor to load the library into this process")
    return Network(folder / "net.so")


@pytest.fixture
def server(module: Module, tmp_path: Path) -> Iterator[LinkServer]:
    config = module.content.config
    with LinkServer(tmp_path / "dev", lambda dram: weft.open_device("functional", config, dram=dram), 1 << 20) as made:
        yield made


@pytest.fixture
def loaded(network: Network, server: LinkServer) -> Iterator[Network]:
    network.load(f"sim:{server.path}")
    assert network.model, network.error
    yield network
    network.unload()


def refusal(network: Network, device: str) -> str:
    network.load(device)
    assert network.model is None
    return network.error


def test_results_are_onnxruntimes(loaded: Network) -> None:
    expected = reference_logits(IMAGES)
    assert [loaded.run(x[None]) for x in IMAGES] == [y.tobytes() for y in expected]


def test_the_device_is_given_back(network: Network, server: LinkServer, module: Module) -> None:
    for _ in range(3):
        network.load(f"sim:{server.path}")
        assert server.dram.use().used == network.c.weft_device_bytes() == module.content.region_bytes["device"]
        network.unload()
    with server.device.lock:  # the client's thread gives it back when it is done
        assert server.dram.use().used == 0


def test_wrong_sizes_and_numbers(loaded: Network) -> None:
    c, size = loaded.c, ctypes.c_size_t
    assert c.weft_set_input(loaded.handle, 0, b"", size(0)) == -1
    assert loaded.error == "input image has 256 bytes, 0 were passed; pass all of it"
    assert c.weft_get_output(loaded.handle, size(1), b"", size(40)) == -1
    assert loaded.error == "output 1 does not exist, the network has 1; count from 0"
    assert c.weft_output_data(loaded.handle, size(1)) is None


def test_a_fault_is_told_and_the_device_usable_again(loaded: Network, server: LinkServer, module: Module) -> None:
    layer, _, instructions = next(module.content.launches())
    data = server.dram.data
    at = data.tobytes().index(instructions)
    data[at] = 0x07
    assert loaded.run(IMAGES[:1]) is None
    assert loaded.error == (
        f"layer {layer}: the accelerator stopped at an illegal instruction (compute, instruction 0, value 0); "
        "it was reset"
    )
    data[at : at + len(instructions)] = np.frombuffer(instructions, np.uint8)
    assert loaded.run(IMAGES[:1]) == reference_logits(IMAGES[:1]).tobytes()


def test_devices_that_are_not_there(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert refusal(network, f"sim:{path}") == (
        f"device sim:{path} cannot be reached (No such file or directory); serve it with: weft link {path}"
    )
    known = "sim:PATH, mem:REGISTERS,MEMORY,BYTES and uio:/dev/uioN,/dev/udmabufN,MEMORY,BYTES"
    for name in ("", "usb:1", "mem:1,2", "mem:1,2,3,4", "mem:x,2,3", "mem:-1,0,4096", "uio:/dev/uio0", "uio:,,,"):
        assert refusal(network, name) == f"device '{name}' is none of {known}; correct the name"
    assert refusal(network, "mem:0x40000010,0,4096") == (
        "addresses 0x40000010 and 0 are not both multiples of 4096; correct them"
    )
    missing = tmp_path / "uio9"
    assert refusal(network, f"uio:{missing},{missing},0,4096") == (
        f"registers at 0 of {missing} cannot be mapped (No such file or directory); check the address, and run as root"
    )
    assert refusal(network, "sim:" + "x" * 200).endswith("is too long; serve it at a shorter one")


def test_devices_that_do_not_fit(network: Network, module: Module, tmp_path: Path) -> None:
    config = module.content.config
    other = replace(config, inp_depth=1024)
    with LinkServer(tmp_path / "a", lambda dram: weft.open_device("functional", other, dram=dram)):
        assert refusal(network, f"sim:{tmp_path / 'a'}") == (
            f"the network was compiled for configuration 0x{config.digest[:8]}, the device has 0x{other.digest[:8]}; "
            "compile the network for the device's configuration"
        )
    with LinkServer(tmp_path / "b", lambda dram: weft.open_device("functional", config, dram=dram), 4096):
        assert refusal(network, f"sim:{tmp_path / 'b'}") == (
            f"device sim:{tmp_path / 'b'} has no {network.c.weft_device_bytes()} bytes of memory left; "
            "serve it with more"
        )


def test_a_server_that_leaves(network: Network, module: Module, tmp_path: Path) -> None:
    config = module.content.config
    with LinkServer(tmp_path / "dev", lambda dram: weft.open_device("functional", config, dram=dram)) as server:
        network.load(f"sim:{server.path}")
    assert network.run(IMAGES[:1]) is None
    assert network.error == "the device does not answer; check it and load the network again"
    network.unload()


# A board, played by two files -----------------------------------------------------------------------------------

ADDRESS = 0x1000_0000


class Board:
    """Registers and memory in files: nothing runs, every program is done at once."""

    def __init__(self, folder: Path, module: Module, status: Status = Status.DONE) -> None:
        self.registers, self.memory = folder / "uio0", folder / "udmabuf0"
        self.registers.write_bytes(bytes(4096))
        self.memory.write_bytes(bytes(1 << 16))
        self.put("IDENTITY", IDENTITY_VALUE)
        self.put("CONFIG_DIGEST", int(module.content.config.digest[:8], 16))
        self.put("STATUS", status)
        self.name = f"uio:{self.registers},{self.memory},{ADDRESS:#x},{1 << 16}"

    def put(self, name: str, value: int) -> None:
        with self.registers.open("r+b") as file:
            file.seek(BY_NAME[name].offset)
            file.write(struct.pack("<I", value))

    def get(self, name: str) -> int:
        return struct.unpack_from("<I", self.registers.read_bytes(), BY_NAME[name].offset)[0]


def test_what_a_board_gets(network: Network, module: Module, tmp_path: Path) -> None:
    board = Board(tmp_path, module)
    network.load(board.name)
    assert network.model, network.error
    memory = board.memory.read_bytes()
    for constant in module.content.constants:
        if constant.buffer.region == "device":
            assert memory[constant.buffer.offset :][: constant.buffer.nbytes] == constant.data
    assert network.run(IMAGES[:1]) is not None
    *_, (_, last, _) = module.content.launches()
    nbytes = module.content.region_bytes["device"]
    assert board.get("INSN_COUNT") == last.count
    assert board.get("INSN_ADDR_LO") == ADDRESS + last.instructions.offset
    for memory_name in ("UOP", "WGT", "INP", "ACC", "OUT", "ACC_8BIT", "PARAM", "TABLE"):
        assert board.get(f"{memory_name}_BASE_LO") == board.get(f"{memory_name}_FIRST_LO") == ADDRESS
        assert board.get(f"{memory_name}_LAST_LO") == ADDRESS + nbytes - 1
    network.unload()


def test_what_a_board_may_say(network: Network, module: Module, tmp_path: Path) -> None:
    board = Board(tmp_path, module)
    board.put("IDENTITY", 0xFFFF_FFFF)
    assert refusal(network, board.name) == (
        "no accelerator is there: IDENTITY reads 0xffffffff, not 0x54464557; check the registers' address"
    )
    board = Board(tmp_path, module, Status(0))
    network.load(board.name)
    assert network.run(IMAGES[:1]) is None
    layer, _, _ = next(module.content.launches())
    assert network.error == f"layer {layer}: the accelerator was reset by somebody else; run again"
    board.put("STATUS", Status.DONE)
    board.put("TOKENS_COMPUTE_STORE", 2)
    assert network.run(IMAGES[:1]) is None
    assert network.error == (
        f"layer {layer}: the program ended with 2 tokens that nobody took; compile the network again"
    )
    network.unload()
    assert refusal(network, board.name.replace(f",{1 << 16}", ",4096")) == (
        f"the device has too little memory, the network takes {network.c.weft_device_bytes()} bytes; give it more"
    )


# What is not exported -------------------------------------------------------------------------------------------


def test_the_library_shows_its_interface_only(folder: Path) -> None:
    exported.need_zig()
    shown = set(library.public_functions())
    assert {"weft_load", "weft_load_on", "weft_run", "weft_last_error"} <= shown
    names = {name for name in shown | {"step0_quantize", "weft_engine_open", "weft_cpu", "roundevenf"}}
    c = ctypes.CDLL(str(folder / "net.so"))
    assert {name for name in names if hasattr(c, name)} == shown


@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_header(folder: Path, language: str) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("c++ is not installed")
    text = (folder / "net.h").read_text()
    assert "#define WEFT_INPUT_IMAGE 0 /* 1 x 1 x 8 x 8 of float32 */" in text
    assert "#define WEFT_OUTPUT_LOGITS_BYTES 40" in text
    command = [compiler, "-x", language, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(folder / "net.h")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_processor_has(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or platform.machine() != "x86_64":
        pytest.skip("needs cc and an x86_64 processor")
    llvm = pytest.importorskip("llvmlite.binding", reason="llvmlite is not installed")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "weft_library.h"\nextern uint32_t weft_cpu;\n'
        "int weft_say(const char *format, ...) { return *format ? -1 : 0; }\n"
        'int main(void) { int code = weft_prepare_cpu(); printf("%d %u", code, (unsigned)weft_cpu); return 0; }\n'
    )
    program = tmp_path / "program"
    sources = Path(library.__file__).parents[1] / "c"
    command = [compiler, "-I", str(sources), str(tmp_path / "main.c"), str(sources / "weft_cpu.c"), "-o", str(program)]
    subprocess.run(command, check=True)
    told = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    has = llvm.get_host_cpu_features()
    bits = sum(1 << k for k, name in enumerate(CPU_FEATURES) if has.get(name))
    assert told == f"{0 if has.get('avx2') else -1} {bits}"


def test_refusals(module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sentence(*arguments: object, exporting: Module = module) -> str:
        with pytest.raises(ModuleError) as caught:
            exporting.export(*arguments)  # type: ignore[arg-type]
        return str(caught.value)

    assert sentence(tmp_path / "net.so", "sparc") == (
        "target 'sparc' does not exist; choose one of armv7, aarch64, x86_64, riscv64"
    )
    assert sentence(tmp_path / "net.h") == f"library {tmp_path / 'net.h'} would have its header's name; end it in .so"
    step = ExternalStep(0, "mine", "python", (), ())
    python = Module(replace(module.content, steps=(*module.content.steps, step)))
    assert sentence(tmp_path / "net.so", exporting=python) == (
        "module calls the Python function 'mine', which no library can; write it in C and compile again"
    )
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    assert sentence(tmp_path / "net.so") == (
        "exporting a library needs the Python package 'ziglang', which is not installed; "
        "run: pip install 'weft[export]'"
    )
    assert not list(tmp_path.iterdir())


def test_nothing_half_written(module: Module, tmp_path: Path) -> None:
    exported.need_zig()
    with pytest.raises(ModuleError, match=r"/missing/net\.so cannot be written: No such file or directory; choose"):
        module.export(tmp_path / "missing" / "net.so")
    assert not list(tmp_path.iterdir())


# Clients that misbehave -----------------------------------------------------------------------------------------


GARBAGE = (b"", b"GET / HTTP/1.0\r\n\r\n", bytes(7), struct.pack("<IIQ", 4, 0, 1 << 16), b"\xff" * 64)


@pytest.mark.parametrize("garbage", GARBAGE, ids=["nothing", "http", "half", "allocates", "ones"])
def test_clients_that_are_gone(loaded: Network, server: LinkServer, garbage: bytes) -> None:
    loaded.unload()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.path))
        client.sendall(garbage)
    loaded.load(f"sim:{server.path}")
    assert loaded.run(IMAGES[:1]) == reference_logits(IMAGES[:1]).tobytes()
    assert server.dram.use().buffers == 1


# A device of one's own ------------------------------------------------------------------------------------------


class Callbacks(ctypes.Structure):
    """``weft_device`` as its header declares it."""

    READ = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))
    WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
    CACHE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    COPY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t)
    CALL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("read_register", READ),
        ("write_register", WRITE),
        ("memory_address", ctypes.c_uint64),
        ("memory_bytes", ctypes.c_uint64),
        ("memory", ctypes.c_void_p),
        ("flush", CACHE),
        ("invalidate", CACHE),
        ("write_memory", COPY),
        ("read_memory", COPY),
        ("wait", CALL),
        ("close", CALL),
    )


class Own:
    """A functional device whose registers are played; the processor has a cache that nothing keeps coherent."""

    ADDRESS = 4096

    def __init__(self, module: Module) -> None:
        self.dram = Dram.zeros(1 << 16)
        self.device = weft.open_device("functional", module.content.config, dram=self.dram)
        self.port = port_of(self.device)
        self.cache = aligned_bytes(1 << 15)
        self.cache[:] = 0xA5
        self.closed = 0
        self.made = Callbacks(
            read_register=Callbacks.READ(self.read),
            write_register=Callbacks.WRITE(self.write),
            memory_address=self.ADDRESS,
            memory_bytes=1 << 15,
        )

    def cached(self) -> None:
        self.made.memory = self.cache.ctypes.data
        self.made.flush = Callbacks.CACHE(self.flush)
        self.made.invalidate = Callbacks.CACHE(self.invalidate)

    def copied(self) -> None:
        self.made.write_memory = Callbacks.COPY(self.write_memory)
        self.made.read_memory = Callbacks.COPY(self.read_memory)

    def read(self, context: object, offset: int, value: Any) -> int:
        value[0] = self.port.read(offset)
        return 0

    def write(self, context: object, offset: int, value: int) -> int:
        self.port.write(offset, value)
        return 0

    def lines(self, address: int, nbytes: int) -> tuple[np.ndarray, np.ndarray]:
        """What the processor and what the accelerator see at an address of the processor."""
        at = address - self.cache.ctypes.data
        return self.cache[at : at + nbytes], self.dram.view(self.ADDRESS + at, nbytes)

    def flush(self, context: object, address: int, nbytes: int) -> None:
        mine, theirs = self.lines(address, nbytes)
        theirs[:] = mine

    def invalidate(self, context: object, address: int, nbytes: int) -> None:
        mine, theirs = self.lines(address, nbytes)
        mine[:] = theirs

    def write_memory(self, context: object, address: int, data: int, nbytes: int) -> int:
        self.dram.view(address, nbytes)[:] = np.frombuffer(ctypes.string_at(data, nbytes), np.uint8)
        return 0

    def read_memory(self, context: object, address: int, data: int, nbytes: int) -> int:
        ctypes.memmove(data, self.dram.view(address, nbytes).tobytes(), nbytes)
        return 0

    def load(self, network: Network) -> bool:
        network.model = network.c.weft_load_on(ctypes.byref(self.made))
        return network.model is not None


@pytest.mark.parametrize("kind", ["cached", "copied"])
def test_a_device_of_ones_own(network: Network, module: Module, kind: str) -> None:
    own = Own(module)
    getattr(own, kind)()
    assert own.load(network), network.error
    for image, logits in zip(IMAGES[:5], reference_logits(IMAGES[:5]), strict=True):
        assert network.run(image[None]) == logits.tobytes()
    network.unload()


@pytest.mark.parametrize("forgotten", ["flush", "invalidate"])
def test_a_cache_that_is_not_kept_coherent_gives_wrong_results(
    network: Network, module: Module, forgotten: str
) -> None:
    own = Own(module)
    own.cached()
    setattr(own.made, forgotten, Callbacks.CACHE(lambda *_: None))
    assert own.load(network), network.error
    assert network.run(IMAGES[:1]) != reference_logits(IMAGES[:1]).tobytes()
    network.unload()


def test_devices_that_lack_something(network: Network, module: Module) -> None:
    own = Own(module)
    assert not own.load(network)
    assert network.error == (
        "the device has neither memory nor functions that copy, or no registers; fill in its struct"
    )
    own.cached()
    own.made.memory_address += 8
    assert not own.load(network)
    assert network.error == f"address {own.ADDRESS + 8:#x} is not a multiple of 64; align the memory"
    network.model = network.c.weft_load_on(None)
    assert (network.model, network.error) == (None, "the device is null; pass one")


def test_a_device_that_fails_while_it_runs(network: Network, module: Module) -> None:
    own = Own(module)
    own.copied()
    own.made.wait = Callbacks.CALL(lambda context: -1)
    assert own.load(network), network.error
    assert network.run(IMAGES[:1]) is not None
    own.made.read_memory = Callbacks.COPY(lambda *_: -1)
    network.unload()
    assert own.load(network)
    assert network.run(IMAGES[:1]) is None
    assert network.error == "the device does not answer; check it and load the network again"
    network.unload()
