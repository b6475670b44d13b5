"""What all simulators share, on each of them."""

import numpy as np
import pytest
from support.configs import CONFIGS
from support.devices import KINDS, shared_device
from weft_runtime.device import Launch
from weft_runtime.errors import DeviceError, FaultError

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_a_program_that_leaves_the_memory_is_a_fault(kind):
    device, dram = shared_device(kind, CONFIGS["int4"])
    end = dram.base + dram.data.size
    sentence = rf"^instruction fetch: DRAM access at {end:#x} is outside the memory"
    with pytest.raises(FaultError, match=sentence):
        device.launch(Launch(end - 16, 2))


@kinds
def test_any_array_is_written_as_its_bytes(kind):
    device, _ = shared_device(kind, CONFIGS["int4"])
    address = device.allocate(16)
    device.write(address, np.arange(4, dtype="<i4"))
    assert device.read(address, 16).tobytes() == np.arange(4, dtype="<i4").tobytes()
    device.free(address)
    with pytest.raises(DeviceError, match=r"is not allocated; free each buffer once, at its start$"):
        device.free(address)
