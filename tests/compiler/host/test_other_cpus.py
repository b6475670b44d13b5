"""Host code of ARM CPUs, run by qemu's user mode: each level of templates gives what numpy does, byte for byte."""

import shutil
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import support
from support.host_convolutions import Convolution
from support.host_products import byte_schedule, float_schedule
from weft_compiler.host import windows
from weft_compiler.host.codegen import compile_functions
from weft_compiler.host.targets import AARCH64, ARMV7
from weft_compiler.te.to_ir import to_ir
from weft_runtime.host_functions import CPU_FEATURES

DOTPROD = 1 << CPU_FEATURES.index("dotprod")
MAIN = Path(next(iter(support.__path__))) / "host_main.c"

CPUS = {
    "aarch64 with dot products": (AARCH64, "qemu-aarch64", ["-target", "aarch64-linux-musl"], DOTPROD),
    "aarch64": (AARCH64, "qemu-aarch64", ["-target", "aarch64-linux-musl"], 0),
    "armv7": (ARMV7, "qemu-arm", ["-target", "arm-linux-musleabihf", "-mcpu=cortex_a9"], 0),
}

pytestmark = pytest.mark.slow


@pytest.fixture(params=CPUS)
def run(request, tmp_path):
    """A function that compiles host functions, links them, and runs the one that is called kernel on arrays."""
    target, emulator, options, cpu = CPUS[request.param]
    command = shutil.which(emulator) or shutil.which(f"{emulator}-static")
    if command is None:
        pytest.skip(f"needs {emulator} (Debian: qemu-user), which is not installed")
    if find_spec("ziglang") is None:
        pytest.skip("needs ziglang to link for ARM, which is not installed")

    def call(functions, arrays):
        code = tmp_path / "kernel.o"
        code.write_bytes(compile_functions(functions, target).object)
        program = tmp_path / "program"
        link = [sys.executable, "-m", "ziglang", "cc", *options, "-static", "-O1", str(MAIN), str(code)]
        subprocess.run([*link, "-o", str(program)], check=True)
        sent = b"".join(struct.pack("<Q", x.nbytes) + np.ascontiguousarray(x).tobytes() for x in arrays)
        done = subprocess.run(
            [command, "-cpu", "max", str(program), str(cpu)], input=sent, capture_output=True, check=True
        )
        start = len(done.stdout) - arrays[-1].nbytes
        return np.frombuffer(done.stdout[start:], arrays[-1].dtype).reshape(arrays[-1].shape)

    return call


def functions(schedule):
    return [piece.function for piece in to_ir(schedule.lower(), "kernel").pieces]


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_byte_products(run, dtype):
    rng = np.random.default_rng(30)
    a = rng.integers(0, 256, (48, 48)).astype(np.uint8).view(dtype)
    w = rng.integers(-128, 128, (48, 48)).astype(np.int8)
    a[0], w[:2] = np.iinfo(dtype).min, -128
    a[1] = np.iinfo(dtype).max
    got = run(functions(byte_schedule(dtype, 48)), [a, w, np.zeros((48, 48), np.int32)])
    np.testing.assert_array_equal(got, a.astype(np.int32) @ w.T.astype(np.int32))


def test_float_products(run):
    rng = np.random.default_rng(31)
    a, b = (rng.normal(size=(32, 32)).astype(np.float32) for _ in range(2))
    got = run(functions(float_schedule(32)), [a, b, np.zeros((32, 32), np.float32)])
    np.testing.assert_allclose(got, a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_convolutions(run, dtype):
    made = Convolution(np.random.default_rng(32), (1, 20, 9, 7), (40, 20, 3, 3), pads=(1, 1, 1, 1), dtype=dtype)
    result = np.zeros(made.expected.shape, np.int8)
    got = run([windows.qconv(made.op, "kernel")], [*made.inputs, result])
    np.testing.assert_array_equal(got, made.expected)


def test_depthwise_convolutions(run):
    made = Convolution(np.random.default_rng(33), (1, 20, 9, 7), (20, 1, 3, 3), pads=(1, 1, 1, 1), groups=20)
    got = run([windows.qconv(made.op, "kernel")], [*made.inputs, np.zeros(made.expected.shape, np.int8)])
    np.testing.assert_array_equal(got, made.expected)
