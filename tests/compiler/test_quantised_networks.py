"""Whole networks as onnxruntime's quantiser writes them, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from onnxruntime.quantization import QuantFormat, QuantType
from support.compiling import compile_model
from support.ort import reference
from support.quantised_networks import INPUT_SHAPE, network
from weft_hardware.config import AcceleratorConfig
from weft_hardware.presets import PRESETS
from weft_runtime.session import Session
from weft_simulator.functional.device import FunctionalDevice

CONFIGS = {"base": AcceleratorConfig(), "vta": PRESETS["vta"]}
"""The accelerator without extensions, where the host requantises, and with all of them."""


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activation", ["Relu", "Clip"])
@pytest.mark.parametrize("activations", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("quant_format", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_networks(
    quant_format: QuantFormat, activations: QuantType, activation: str, per_channel: bool, config: AcceleratorConfig
) -> None:
    model = network(quant_format, activations, activation, per_channel)
    x = np.random.default_rng(14).normal(0, 1, INPUT_SHAPE).astype(np.float32)
    module = compile_model(model, config)
    with FunctionalDevice(config) as device, Session(module, device) as session:
        y = session.run(x)
    assert isinstance(y, np.ndarray)
    assert y.tobytes() == reference(model, {"x": x})[0].tobytes()
    assert [layer.placement for layer in module.content.layers if layer.macs] == ["accelerator"] * 4
