"""A program with the memory it runs in, as tests hand it to the reference model, the oracle and the devices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import Instruction, Memory
from weft_runtime.device import Bytes, Launch

from .bits import instruction_bytes, instructions_to_bytes


@dataclass
class Program:
    """Instructions and the DRAM image around them.

    Parameters
    ----------
    image : uint8 array
        The whole DRAM before the launch, the encoded instructions included.
    dram_base : int
        Physical address of ``image[0]``.
    bases : dict
        Base register of each memory, physical byte addresses, multiples of 64.
    insn_address : int
        Physical byte address of the first instruction.
    """

    config: AcceleratorConfig
    instructions: list[Instruction]
    image: Bytes
    dram_base: int = 0
    bases: dict[Memory, int] = field(default_factory=dict)
    insn_address: int = 0
    name: str = "program"

    def install(self) -> None:
        """Write the encoded instructions into the image, at their address."""
        encoded = np.frombuffer(instructions_to_bytes(self.instructions, self.config), np.uint8)
        start = self.insn_address - self.dram_base
        self.image[start : start + encoded.size] = encoded

    @property
    def insn_range(self) -> tuple[int, int]:
        """The physical bytes that the instructions occupy, end exclusive."""
        size = len(self.instructions) * instruction_bytes(self.config)
        return self.insn_address, self.insn_address + size

    def launch(self) -> Launch:
        return Launch(self.insn_address, len(self.instructions), self.bases)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.config}"]
        lines += [f"  base of {memory.name}: {address:#x}" for memory, address in self.bases.items()]
        lines += [f"  {k:3} {_brief(insn)}" for k, insn in enumerate(self.instructions)]
        return "\n".join(lines)


def _brief(insn: Instruction) -> str:
    """The fields that differ from their default, queue first."""
    shown = {n: v for n, v in vars(insn).items() if v is not False and (v != 0 or n == "memory")}
    text = ", ".join(n if v is True else f"{n}={int(v)}" for n, v in shown.items())
    return f"[{insn.queue.name.lower()}] {type(insn).__name__}({text})"
