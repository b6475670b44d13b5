"""Opening devices by name."""

import pytest

import weft


def test_unknown_device():
    with pytest.raises(weft.WeftError) as caught:
        weft.open_device("functionl", "vta")
    assert str(caught.value) == (
        "device 'functionl' does not exist; choose one of functional, tsim, timing, pynq, uart "
        "(did you mean 'functional'?)"
    )


def test_functional_by_preset_name():
    pytest.importorskip("llvmlite", reason="needs the compiler extra (llvmlite)")
    with weft.open_device("functional", "tiny4") as device:
        assert device.config == weft.PRESETS["tiny4"]
