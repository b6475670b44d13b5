import pytest
from support.convolution import CONFIGS
from weft_compiler.conv_task import ConvTask
from weft_compiler.dialects import accel
from weft_compiler.lowering import lower_conv
from xdsl.context import Context
from xdsl.dialects import test
from xdsl.dialects.affine import Affine
from xdsl.dialects.arith import Arith, ConstantOp
from xdsl.dialects.builtin import Builtin, IndexType, MemRefType, ModuleOp, StringAttr, i8
from xdsl.dialects.func import Func
from xdsl.dialects.linalg import Linalg
from xdsl.dialects.memref import MemRef
from xdsl.dialects.scf import Scf
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException


def memref(shape, space=None):
    memory_space = {"memory_space": StringAttr(space)} if space else {}
    return test.TestOp(result_types=[MemRefType(i8, shape, **memory_space)]).results[0]


def index(value):
    return ConstantOp.from_int_and_width(value, IndexType()).result


def test_a_load_makes_a_tile_of_its_sizes():
    unknown = test.TestOp(result_types=[IndexType()]).results[0]
    load = accel.LoadOp(memref([3, 8, 1, 16]), [index(0), index(4)], [index(1), unknown], memref([2, 9, 1, 16], "inp"))
    load.verify()
    assert str(load.tile.type) == 'memref<1x?x1x16xi8, "inp">'


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            lambda: accel.LoadOp(memref([3, 1, 16]), [index(0)], [index(1)], memref([2, 9, 1, 16], "acc")),
            "buffer lies in acc, it must lie in inp or wgt",
        ),
        (
            lambda: accel.LoadOp(memref([3, 1, 16], "inp"), [index(0)], [index(1)], memref([2, 9, 1, 16], "inp")),
            "source lies in inp, it must lie in DRAM",
        ),
        (
            lambda: accel.LoadOp(memref([3, 5, 1, 16]), [index(0)], [index(1)], memref([2, 9, 1, 16], "inp")),
            "source has 2 tile dimensions, expected 1",
        ),
        (lambda: accel.ResetOp(memref([3, 1, 16], "inp")), "tile lies in inp, it must lie in acc"),
        (
            lambda: accel.StoreOp(memref([3, 1, 16]), memref([3, 1, 16]), [index(0)]),
            "tile lies in DRAM, it must lie in acc",
        ),
    ],
)
def test_what_the_hardware_cannot_do_does_not_verify(operation, message):
    with pytest.raises(VerifyException, match=message):
        operation().verify_()


def test_every_stage_prints_and_parses_back():
    context = Context()
    for dialect in (Builtin, Func, Arith, Affine, Scf, MemRef, Linalg, accel.Accel):
        context.load_dialect(dialect)
    task = ConvTask(ic=2, oc=2, ih=6, iw=6, kh=3, kw=3, pads=(1, 1, 1, 1))
    for name, module in lower_conv(task, CONFIGS["odd"]).stages.items():
        parsed = Parser(context, str(module)).parse_module()
        assert isinstance(parsed, ModuleOp)
        parsed.verify()
        assert str(parsed) == str(module), name
