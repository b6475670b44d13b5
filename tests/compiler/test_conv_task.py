import pytest
from weft_compiler.conv_task import ConvTask
from weft_compiler.errors import CompileError


def test_sizes_follow_stride_dilation_and_padding():
    task = ConvTask(n=2, ic=3, oc=4, ih=9, iw=8, kh=3, kw=2, stride=(2, 1), dilation=(1, 3), pads=(1, 0, 0, 2))
    assert (task.oh, task.ow) == (4, 7)
    assert task.macs == 2 * 4 * 3 * 3 * 2 * 4 * 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ic": 0}, r"^ic = 0 must be at least 1; drop the layer$"),
        ({"stride": (0, 1)}, r"^stride = \(0, 1\) must be at least 1×1; correct it$"),
        ({"pads": (0, -1, 0, 0)}, r"^pads = \(0, -1, 0, 0\) must not be negative; crop the input instead$"),
        ({"kh": 5}, r"^kernel 5×1 \(dilation \(1, 1\)\) does not fit the image 4×4 with pads .*; enlarge one of them$"),
    ],
)
def test_impossible_tasks_are_refused(changes, message):
    with pytest.raises(CompileError, match=message):
        ConvTask(**{"ic": 1, "oc": 1, "ih": 4, "iw": 4, "kh": 1, "kw": 1, **changes})
