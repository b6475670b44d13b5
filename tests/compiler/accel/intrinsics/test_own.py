"""An intrinsic of one's own is one file: what it does as a tensor expression, where it lies, what it emits."""

import numpy as np
import pytest
from support.accel_kernels import by_name, expected, random_inputs
from weft_compiler import te
from weft_compiler.accel.boxes import Linear
from weft_compiler.accel.build import build_kernel
from weft_compiler.accel.emitter import loop_columns
from weft_compiler.accel.expand import Expanded
from weft_compiler.accel.gemm import TileProduct
from weft_compiler.accel.intrinsic import AcceleratorIntrinsic
from weft_compiler.accel.intrinsics.load import load
from weft_compiler.accel.intrinsics.store import store_narrow
from weft_compiler.accel.intrinsics.tiles import shape, tile
from weft_compiler.accel.stream import Touch
from weft_compiler.errors import ScheduleError
from weft_compiler.te.intrinsic import declared
from weft_hardware.isa import Alu, AluOp, Memory, Queue
from weft_hardware.presets import VTA
from weft_runtime.check import check_module
from weft_simulator.functional import FunctionalDevice


@declared
def clamp(config, low: int, high: int):
    """``acc[b, o] = min(max(source[b, o], low), high)``: a copy and two operations with an immediate."""
    source = tile(config, "acc", "source")
    acc = te.compute(shape(config, "acc"), lambda b, o: te.minimum(te.maximum(source[b, o], low), high), "acc")

    def emit(operation, emitter):
        dst, (src,) = operation.output, operation.inputs
        none = Linear(np.zeros(operation.steps, np.int64), (0,) * len(operation.extents))
        done = 0
        for op, operand, value in ((AluOp.COPY, src, None), (AluOp.MAX, dst, low), (AluOp.MIN, dst, high)):
            product = TileProduct(operation.extents, (dst.tile, operand.tile, none), operation.guards)
            rows = emitter.accumulations(product, operation)
            after = Expanded(rows.step, rows.order + done, rows.columns)
            fields = loop_columns(after, ("dst", "src")) | {"alu_op": np.full(len(after.step), int(op))}
            if value is not None:
                fields |= {"use_imm": np.ones_like(after.step), "imm": np.full(len(after.step), value)}
            touch = Touch(Memory.ACC, rows.columns["dst_first"], rows.columns["dst_end"], writes=True)
            emitter.append(Alu, Queue.COMPUTE, operation, after, [touch], fields, kernel=rows.columns["kernel"])
            done += int(rows.order.max(initial=0)) + 1

    return AcceleratorIntrinsic(f"clamp({low}, {high})", acc, (source,), ("acc", "acc"), emit=emit, in_place=(0,))


def scheduled(low):
    x = te.placeholder((6, 10, 1, 16), "int32", "X")
    held = te.compute(x.shape, lambda i, j, b, o: te.minimum(te.maximum(x[i, j, b, o], low), 6), "held")
    s = te.Schedule(te.compute(x.shape, lambda *at: held[at].cast("int8"), "out"))
    te.auto_tensorize(s, "out", store_narrow(VTA))
    (read,) = te.auto_tensorize(s, held, clamp(VTA, 0, 6)).operands
    te.auto_tensorize(s, read, load(VTA, "acc"))
    outer, _ = s["out"].split("i0", 4)
    s[held].compute_at("out", outer)
    return s


def test_it_is_found_emitted_and_right():
    s = scheduled(0)
    assert "clamp(0, 6)(held[" in s.loops()
    module, inputs = build_kernel(s, VTA), random_inputs(s, 5, bits=4)
    with FunctionalDevice(VTA, order_seed=5) as device:
        assert np.array_equal(module.run(device, by_name(inputs)), expected(s, inputs))
    assert not [finding for _, report in check_module(module.content) for finding in report.findings]


def test_another_expression_is_not_it():
    with pytest.raises(
        ScheduleError, match=r"held is not clamp\(0, 6\): it computes \(1\), clamp\(0, 6\) has \(0\) there$"
    ):
        scheduled(1)
