"""Programs of convolutions that differ in the numbers of their requantisation alone."""

from dataclasses import replace

import numpy as np
from weft_compiler.accel.convolution import INP, OUT, PARAM, RESIDUAL, WGT
from weft_compiler.accel.intrinsics.requantise import registers_of
from weft_compiler.accel.stream import UOPS
from weft_compiler.conv_task import Addition, ConvTask, Requantisation
from weft_compiler.lowering import lower_conv
from weft_compiler.tasks import lowered
from weft_hardware.encoding import decode
from weft_hardware.isa import Set
from weft_hardware.presets import VTA

PLACES = {name: k << 16 for k, name in enumerate((INP, WGT, PARAM, RESIDUAL, OUT, UOPS))}
SUM = Addition(scale=0.3, residual_scale=0.7, offset=-4.5, low=-7, high=99)
TASK = ConvTask(
    ic=2, oc=2, ih=9, iw=9, kh=3, kw=3, pads=(1,) * 4,
    requantisation=Requantisation(zero_point=-3, low=-50, high=60, addition=SUM),
)  # fmt: skip


def test_one_program_with_other_numbers():
    other = replace(TASK, requantisation=replace(TASK.requantisation, zero_point=9, addition=replace(SUM, scale=0.5)))
    shared = lowered(TASK, VTA)
    assert lowered(other, VTA) is shared
    for task in (TASK, other):
        found = shared.stream.emit(PLACES, registers_of(task.requantisation))
        own = lower_conv(task, VTA).stream.emit(PLACES)
        assert np.array_equal(found.instructions, own.instructions)
        assert np.array_equal(found.uops, own.uops)


def test_a_number_that_is_the_initial_one_is_set_all_the_same():
    how = Requantisation()
    task = replace(TASK, requantisation=how)
    found = decode(lowered(task, VTA).stream.emit(PLACES, registers_of(how)).instructions, VTA)
    held = {insn.register: insn.value for insn in found if isinstance(insn, Set)}
    for register, value in registers_of(how).items():
        assert held[register] == value & 0xFFFFFFFF


def test_another_kind_is_another_program():
    plain = replace(TASK, requantisation=replace(TASK.requantisation, addition=None))
    swapped = replace(TASK, requantisation=replace(TASK.requantisation, addition=replace(SUM, swap=True)))
    assert len({id(lowered(task, VTA)) for task in (TASK, plain, swapped)}) == 3
