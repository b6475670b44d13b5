"""The requantising store with a residual operand and a table: what it emits, and where it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from support.accel_kernels import Conv, by_name, convolution, expected, random_inputs
from weft_compiler import te
from weft_compiler.accel.build import build_kernel
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.requantise import (
    load_parameters,
    load_table,
    requantised,
    store_requantised,
)
from weft_compiler.conv_task import Addition, Requantisation
from weft_compiler.errors import CompileError
from weft_hardware.encoding import decode
from weft_hardware.isa import Set, SetRegister, Store, StoreMode
from weft_hardware.presets import VTA
from weft_simulator.functional import FunctionalDevice
from weft_simulator.tsim.device import TsimDevice
from weft_simulator.tsim.model import MemoryTiming

SUM = Addition(scale=0.8, residual_scale=0.3, offset=-7.25, low=-100, high=90)
CONV = Conv(ic=2, oc=3, height=6, width=5, rows=2, oc_tile=2, threads=2)


def instructions(module):
    data = next(c.data for c in module.content.constants if c.name.endswith(".instructions"))
    return decode(np.frombuffer(data, "<u8").reshape(-1, 2), VTA)


def run(module, inputs, device):
    with device as opened:
        return module.run(opened, by_name(inputs))


@pytest.mark.parametrize(
    ("how", "mode"),
    [
        (Requantisation(addition=SUM), StoreMode.RESIDUAL),
        (
            Requantisation(addition=replace(SUM, dtype="uint8", swap=True)),
            StoreMode.RESIDUAL | StoreMode.SWAP | StoreMode.UNSIGNED,
        ),
        (Requantisation(table=True), StoreMode.TABLE),
        (Requantisation(dtype="uint8", table=True, addition=SUM), StoreMode.TABLE | StoreMode.RESIDUAL),
    ],
)
def test_modes_and_registers(how, mode):
    schedule = convolution(CONV, VTA, how)
    module = build_kernel(schedule, VTA)
    found = instructions(module)
    stores = [insn for insn in found if isinstance(insn, Store)]
    assert {insn.mode & ~(StoreMode.PARAM_X | StoreMode.PARAM_Y) for insn in stores} == {mode}
    held = {SetRegister(insn.register): insn.value for insn in found if isinstance(insn, Set)}
    if how.addition:
        places = {info.name: info.buffer.offset for info in (*module.content.inputs, *module.content.outputs)}
        assert held[SetRegister.RESIDUAL] == (places["R"] - places["out"]) // 16 & 0xFFFFFFFF
        assert held[SetRegister.SUM_LO] == -100 & 0xFFFFFFFF
        assert held[SetRegister.OFFSET] == np.float32(-7.25).view(np.uint32)
    inputs = random_inputs(schedule, 1)
    assert np.array_equal(run(module, inputs, FunctionalDevice(VTA)), expected(schedule, inputs))


@pytest.mark.rtl
def test_the_hardware_adds_and_looks_up_alike():
    how = Requantisation(zero_point=3, addition=replace(SUM, dtype="uint8"), table=True)
    schedule = convolution(CONV, VTA, how)
    module, inputs = build_kernel(schedule, VTA), random_inputs(schedule, 2)
    wanted = expected(schedule, inputs)
    assert len(np.unique(wanted)) > 50
    timing = MemoryTiming(read_latency=50, stall_seed=7)
    assert np.array_equal(run(module, inputs, TsimDevice(VTA, memory=timing)), wanted)


def test_a_residual_operand_of_another_layout_is_refused():
    """Transposed: its tiles follow each other otherwise than the result's."""
    x = te.placeholder((4, 6, 1, 16), "int32", "X")
    r, p = te.placeholder((6, 4, 1, 16), "int8", "R"), te.placeholder((1, 16, 2), "int32", "P")
    how = Requantisation(addition=SUM)
    out = te.compute(
        x.shape, lambda i, j, b, o: requantised(how, x[i, j, b, o], p[0, o, 0], p[0, o, 1], r[j, i, b, o]), "out"
    )
    s = te.Schedule(out)
    acc, params = s.cache_read(x, "acc"), s.cache_read(p, "param")
    s[acc].tensorize(s[acc].leaves[-2], load(VTA, "acc"))
    s[params].tensorize(s[params].leaves[-2], load_parameters(VTA))
    s[out].tensorize("b", store_requantised(VTA, how))
    with pytest.raises(CompileError) as refusal:
        build_kernel(s, VTA)
    assert str(refusal.value) == (
        "R does not lie as out does: STORE adds a residual operand tile by tile; give both one layout"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda config: store_requantised(replace(config, residual=False), Requantisation(addition=SUM)),
            "residual = False: the accelerator cannot add on the way out; enable residual",
        ),
        (
            lambda config: load_table(replace(config, table=False)),
            "table = False: the accelerator cannot look results up; enable the table",
        ),
    ],
)
def test_what_the_configuration_lacks(make, message):
    with pytest.raises(CompileError) as refusal:
        make(VTA)
    assert str(refusal.value) == message
