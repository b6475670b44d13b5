"""Run a raw instruction stream on a raw memory image: no compiler, no module, base registers 0."""

from __future__ import annotations

from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import instruction_bytes
from weft_runtime.device import Bytes, Launch, RunReport
from weft_runtime.dram import Dram

from .devices import open_device
from .errors import UsageError


def execute(
    image: Bytes,
    image_base: int,
    insn_address: int,
    insn_count: int,
    device: str,
    config: AcceleratorConfig,
    **options: Any,
) -> tuple[Bytes, RunReport]:
    """Run ``insn_count`` instructions with the image as the only memory.

    Parameters
    ----------
    image : uint8 array
        What lies from ``image_base`` on; not changed.
    image_base, insn_address : int
        Physical byte addresses; the second is a multiple of an instruction's size.
    device : str
        See `weft.devices.open_device`, which also takes the options.

    Returns
    -------
    image, report
        The memory after the run, as large as before, and what the run took.

    Raises
    ------
    WeftError
        If the stream does not lie in the image, or the program cannot complete.
    """
    check_stream(image.size, image_base, insn_address, insn_count, config)
    memory = image.copy()
    with open_device(device, config, dram=Dram(memory, image_base), **options) as opened:
        report = opened.launch(Launch(insn_address, insn_count))
    return memory, report


def check_stream(
    image_size: int, image_base: int, insn_address: int, insn_count: int, config: AcceleratorConfig
) -> None:
    """Refuse an instruction stream that is misaligned or does not lie in the image.

    Raises
    ------
    UsageError
        The sentence names the option at fault.
    """
    size = instruction_bytes(config)
    end = image_base + image_size
    if not image_size:
        raise UsageError("the image is empty (0 bytes); it must hold at least the instructions")
    if image_base < 0:
        raise UsageError(f"image-base = {image_base} is negative; physical addresses start at 0")
    if end > 1 << config.axi_addr_bits:
        raise UsageError(
            f"the image at {image_base:#x}..{end:#x} does not fit the {config.axi_addr_bits}-bit address space; "
            "choose a lower image-base"
        )
    if insn_count < 1:
        raise UsageError(f"insn-count = {insn_count} leaves nothing to run; it must be at least 1")
    if insn_address % size:
        raise UsageError(
            f"insn-addr = {insn_address:#x} is not a multiple of an instruction's {size} bytes; correct the address"
        )
    if insn_address < image_base or insn_address + insn_count * size > end:
        raise UsageError(
            f"insn-addr = {insn_address:#x} with insn-count = {insn_count} needs bytes "
            f"{insn_address:#x}..{insn_address + insn_count * size:#x}, which are not all in the image at "
            f"{image_base:#x}..{end:#x}; correct the address or the count"
        )
