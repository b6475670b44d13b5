"""A failing program in a file: everything that running it again takes."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from weft_hardware.encoding import as_words, decode
from weft_hardware.errors import WeftError
from weft_hardware.isa import Memory
from weft_hardware.presets import from_toml, to_toml
from weft_runtime.files import write_atomically

from .bits import instructions_to_bytes
from .program import Program

FORMAT = 1


class RecordError(WeftError):
    """A file is no recorded program."""


@dataclass
class Record:
    """A program, the memory timing under which it failed, and what went wrong then."""

    program: Program
    timing: dict[str, Any] = field(default_factory=dict)
    finding: str = ""

    def save(self, path: Path) -> None:
        """Write everything, or nothing."""
        p = self.program
        description = {
            "format": FORMAT,
            "name": p.name,
            "config": to_toml(p.config),
            "dram_base": p.dram_base,
            "insn_address": p.insn_address,
            "bases": {memory.name: address for memory, address in p.bases.items()},
            "timing": self.timing,
            "finding": self.finding,
        }
        instructions = np.frombuffer(instructions_to_bytes(p.instructions, p.config), np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, description=json.dumps(description), instructions=instructions, image=p.image)
        write_atomically(path, lambda file: file.write(buffer.getvalue()))

    @staticmethod
    def load(path: Path) -> Record:
        """Read a record.

        Raises
        ------
        RecordError
            If the file cannot be read or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                description = json.loads(str(arrays["description"]))
                image, raw = arrays["image"].copy(), arrays["instructions"].copy()
            if description["format"] != FORMAT:
                raise ValueError(f"format {description['format']}")
            config = from_toml(description["config"])
            program = Program(
                config,
                decode(as_words(raw, config), config),
                image,
                int(description["dram_base"]),
                {Memory[name]: int(address) for name, address in description["bases"].items()},
                int(description["insn_address"]),
                str(description["name"]),
            )
        except OSError as error:
            raise RecordError(f"recorded program {str(path)!r} cannot be read: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, WeftError, zipfile.BadZipFile, EOFError) as error:
            raise RecordError(
                f"{str(path)!r} is no recorded program of format {FORMAT} ({error}); give a file that `weft fuzz` wrote"
            ) from None
        return Record(program, dict(description["timing"]), str(description["finding"]))
