"""``manifest.json`` of a module and back: every field is checked, because the file may come from anywhere."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import WeftError
from weft_hardware.isa import instruction_bits

from .archive import MAX_REGION_BYTES, Archive
from .errors import ModuleError
from .manifest_fields import Fields, damaged
from .module_model import (
    DTYPES,
    LANGUAGES,
    AcceleratorStep,
    Buffer,
    Constant,
    ExternalStep,
    HostCode,
    HostStep,
    Layer,
    ModuleContent,
    Part,
    Step,
    TensorInfo,
)

FORMAT_VERSION = 3
REGIONS = ("device", "host")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_TRIPLE = re.compile(r"[a-z0-9_]+(-[a-z0-9_]+){1,3}")


# Writing -----------------------------------------------------------------------------------------------------


def _buffer_to_json(buffer: Buffer) -> dict[str, Any]:
    return {"region": buffer.region, "offset": buffer.offset, "nbytes": buffer.nbytes}


def _tensor_to_json(tensor: TensorInfo) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "buffer": _buffer_to_json(tensor.buffer),
    }


def _step_to_json(step: Step) -> dict[str, Any]:
    if isinstance(step, HostStep):
        buffers = [_buffer_to_json(buffer) for buffer in step.buffers]
        return {
            "kind": "host",
            "layer": step.layer,
            "function": step.function,
            "buffers": buffers,
            "beside": step.beside,
        }
    if isinstance(step, ExternalStep):
        return {
            "kind": "external",
            "layer": step.layer,
            "function": step.function,
            "language": step.language,
            "inputs": [_tensor_to_json(tensor) for tensor in step.inputs],
            "outputs": [_tensor_to_json(tensor) for tensor in step.outputs],
        }
    return {
        "kind": "accelerator",
        "layer": step.layer,
        "instructions": _buffer_to_json(step.instructions),
        "count": step.count,
        "reads": [_buffer_to_json(buffer) for buffer in step.reads],
        "writes": [_buffer_to_json(buffer) for buffer in step.writes],
        "parts": [vars(part) for part in step.parts],
    }


def to_json(content: ModuleContent, version: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and the content of every other entry of the archive by name."""
    entries: dict[str, bytes] = {}
    constants = []
    for k, constant in enumerate(content.constants):
        entry = f"constants/{k:05d}.bin"
        entries[entry] = constant.data
        constants.append({"name": constant.name, "entry": entry, "buffer": _buffer_to_json(constant.buffer)})
    targets = []
    for code in content.host_code:
        names = {"ir": f"host/{code.triple}.ll", "object": f"host/{code.triple}.o"}
        entries[names["ir"]], entries[names["object"]] = code.ir, code.object
        if code.library:
            names["library"] = f"host/{code.triple}.so"
            entries[names["library"]] = code.library
        targets.append({"triple": code.triple, "cpu": code.cpu, "features": list(code.features), **names})
    manifest = {
        "format": FORMAT_VERSION,
        "weft": version,
        "config": content.config.to_dict(),
        "config_digest": content.config.digest,
        "region_bytes": {region: content.region_bytes[region] for region in REGIONS},
        "inputs": [_tensor_to_json(tensor) for tensor in content.inputs],
        "outputs": [_tensor_to_json(tensor) for tensor in content.outputs],
        "constants": constants,
        "layers": [
            {"name": x.name, "op": x.op, "placement": x.placement, "reason": x.reason, "macs": x.macs}
            for x in content.layers
        ],
        "steps": [_step_to_json(step) for step in content.steps],
        "host_code": targets,
        "entries": {
            name: {"nbytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in entries.items()
        },
    }
    return manifest, entries


# Reading -----------------------------------------------------------------------------------------------------


class _Reader:
    """Decodes a manifest whose entries were read already."""

    def __init__(self, fields: Fields, entries: Mapping[str, bytes]):
        self._fields = fields
        self._entries = entries
        regions = fields.object("region_bytes")
        self._regions = {name: regions.integer(name, 0, MAX_REGION_BYTES) for name in REGIONS}

    def _entry(self, fields: Fields, name: str) -> bytes:
        entry = fields.text(name)
        if entry not in self._entries:
            raise damaged(f"{fields.path}.{name}", entry, "is no entry of the file")
        return self._entries[entry]

    def _buffer(self, fields: Fields) -> Buffer:
        region = fields.choice("region", REGIONS)
        buffer = Buffer(region, fields.integer("offset"), fields.integer("nbytes"))
        size = self._regions[region]
        if buffer.offset + buffer.nbytes > size or buffer.offset % 64:
            raise damaged(
                fields.path, (buffer.offset, buffer.nbytes), f"does not lie in the {size} bytes of its region"
            )
        return buffer

    def _tensor(self, fields: Fields) -> TensorInfo:
        shape = tuple(fields.get("shape", list))
        if len(shape) > 8 or not all(type(size) is int and 0 < size <= MAX_REGION_BYTES for size in shape):
            raise damaged(f"{fields.path}.shape", shape, "is no shape")
        dtype = fields.choice("dtype", DTYPES)
        tensor = TensorInfo(fields.text("name"), shape, dtype, self._buffer(fields.object("buffer")))
        if math.prod(shape) * DTYPES[dtype] != tensor.buffer.nbytes:
            raise damaged(f"{fields.path}.buffer", tensor.buffer.nbytes, f"bytes do not hold shape {shape} of {dtype}")
        return tensor

    def _constant(self, fields: Fields) -> Constant:
        constant = Constant(fields.text("name"), self._buffer(fields.object("buffer")), self._entry(fields, "entry"))
        if len(constant.data) != constant.buffer.nbytes:
            raise damaged(f"{fields.path}.entry", len(constant.data), f"bytes are not {constant.buffer.nbytes}")
        return constant

    def _constants(self) -> tuple[Constant, ...]:
        """All constants; they do not overlap, so that loading them takes no longer than the regions are large."""
        constants = tuple(map(self._constant, self._fields.objects("constants")))
        ends: dict[str, int] = dict.fromkeys(REGIONS, 0)
        for constant in sorted(constants, key=lambda constant: constant.buffer.offset):
            buffer = constant.buffer
            if buffer.nbytes and buffer.offset < ends[buffer.region]:
                raise damaged("manifest.constants", (constant.name, buffer.offset), "overlaps another one")
            ends[buffer.region] = max(ends[buffer.region], buffer.offset + buffer.nbytes)
        return constants

    def _tensors(self, name: str) -> tuple[TensorInfo, ...]:
        """The network's inputs or outputs, all of different names."""
        tensors = tuple(map(self._tensor, self._fields.objects(name)))
        names = [tensor.name for tensor in tensors]
        if len(set(names)) != len(names):
            raise damaged(f"manifest.{name}", names, "names a tensor twice")
        return tensors

    def _targets(self) -> tuple[HostCode, ...]:
        codes = tuple(map(self._host_code, self._fields.objects("host_code")))
        triples = [code.triple for code in codes]
        if len(set(triples)) != len(triples):
            raise damaged("manifest.host_code", triples, "names a target twice")
        return codes

    def _layer(self, fields: Fields) -> Layer:
        return Layer(
            fields.text("name"),
            fields.text("op"),
            fields.choice("placement", ("accelerator", "host")),
            fields.text("reason"),
            fields.integer("macs"),
        )

    def _step(self, fields: Fields, layers: int, config: AcceleratorConfig) -> Step:
        layer = fields.integer("layer", 0, layers - 1)
        kind = fields.choice("kind", ("host", "external", "accelerator"))
        if kind != "accelerator":
            function = fields.text("function")
            if not _SYMBOL.fullmatch(function):
                raise damaged(f"{fields.path}.function", function, "is no symbol name")
            if kind == "host":
                buffers = tuple(self._buffer(item) for item in fields.objects("buffers"))
                return HostStep(layer, function, buffers, fields.get("beside", bool))
            language = fields.choice("language", LANGUAGES)
            inputs, outputs = (tuple(map(self._tensor, fields.objects(name))) for name in ("inputs", "outputs"))
            return ExternalStep(layer, function, language, inputs, outputs)
        instructions = self._buffer(fields.object("instructions"))
        count = fields.integer("count", 1)
        if count * (instruction_bits(config) // 8) != instructions.nbytes:
            raise damaged(f"{fields.path}.count", count, f"does not fill {instructions.nbytes} bytes")
        reads, writes = (tuple(self._buffer(item) for item in fields.objects(name)) for name in ("reads", "writes"))
        if any(buffer.region != "device" for buffer in (instructions, *reads, *writes)):
            raise damaged(fields.path, "host", "is no memory of the accelerator")
        parts = tuple(self._part(item, layers, count) for item in fields.objects("parts"))
        if parts and (total := sum(sum(part.counts) for part in parts)) != count:
            raise damaged(f"{fields.path}.parts", total, f"instructions are not the {count} of the step")
        if parts and parts[0].layer != layer:
            raise damaged(f"{fields.path}.parts[0].layer", parts[0].layer, f"is not the step's layer, {layer}")
        return AcceleratorStep(layer, instructions, count, reads, writes, parts)

    @staticmethod
    def _part(fields: Fields, layers: int, most: int) -> Part:
        layer = fields.integer("layer", 0, layers - 1)
        return Part(layer, *(fields.integer(name, 0, most) for name in ("load", "compute", "store")))

    def _host_code(self, fields: Fields) -> HostCode:
        triple = fields.text("triple", 64)
        if not _TRIPLE.fullmatch(triple):
            raise damaged(f"{fields.path}.triple", triple, "is no target triple")
        features = fields.get("features", list)
        if not all(isinstance(feature, str) for feature in features):
            raise damaged(f"{fields.path}.features", features, "are not all names")
        ir, code = self._entry(fields, "ir"), self._entry(fields, "object")
        library = self._entry(fields, "library") if "library" in fields.raw else b""
        return HostCode(triple, fields.text("cpu", 64), tuple(features), ir, code, library)

    def _config(self) -> AcceleratorConfig:
        chosen = self._fields.object("config")
        try:
            config = AcceleratorConfig(**chosen.raw)
        except (WeftError, TypeError) as error:
            raise damaged("manifest.config", str(error), "is no configuration") from None
        if config.digest != self._fields.text("config_digest"):
            raise damaged("manifest.config_digest", self._fields.text("config_digest"), "does not match the config")
        return config

    def content(self) -> ModuleContent:
        fields = self._fields
        config = self._config()
        layers = tuple(map(self._layer, fields.objects("layers")))
        constants = self._constants()
        steps = tuple(self._step(item, len(layers), config) for item in fields.objects("steps"))
        known = {constant.buffer for constant in constants}
        for k, step in enumerate(steps):
            if isinstance(step, AcceleratorStep) and step.instructions not in known:
                raise damaged(f"manifest.steps[{k}].instructions", step.instructions, "is no constant of the module")
        return ModuleContent(
            config=config,
            inputs=self._tensors("inputs"),
            outputs=self._tensors("outputs"),
            region_bytes=self._regions,
            constants=constants,
            layers=layers,
            steps=steps,
            host_code=self._targets(),
        )


def from_archive(archive: Archive) -> ModuleContent:
    """Decode an archive.

    Raises
    ------
    ModuleError
        If any field is missing, of another type, or contradicts the rest.
    """
    fields = archive.manifest()
    version = fields.integer("format", 1)
    if version != FORMAT_VERSION:
        raise ModuleError(
            f"module file has format {version}, this weft reads format {FORMAT_VERSION}; "
            "compile the model again with this version"
        )
    return _Reader(fields, dict(archive.entries(fields))).content()
