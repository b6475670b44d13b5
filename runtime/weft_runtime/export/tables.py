"""A module as tables of C: what `weft_network.h` declares."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import ModuleError
from ..module_model import AcceleratorStep, Buffer, ExternalStep, HostStep, ModuleContent, Step, TensorInfo

_REGIONS = {"device": "WEFT_DEVICE_REGION", "host": "WEFT_HOST_REGION"}
_ALIGNMENT = 64


def constants_of(content: ModuleContent) -> bytes:
    """Every constant, each at the next multiple of 64."""
    data = bytearray()
    for constant in content.constants:
        data += constant.data + bytes(-len(constant.data) % _ALIGNMENT)
    return bytes(data)


def network_source(content: ModuleContent) -> str:
    """The C file that defines ``weft_the_network``; it refers to the bytes of `constants_of` as ``weft_constants``.

    Raises
    ------
    ModuleError
        If a step calls Python.
    """
    functions = sorted({step.function for step in content.steps if isinstance(step, HostStep)})
    externals = {step.function: step for step in content.steps if isinstance(step, ExternalStep)}
    for step in externals.values():
        if step.language != "c":
            raise ModuleError(
                f"module calls the Python function {step.function!r}, which no library can; write it in C and compile "
                "again"
            )
    most = max([len(_buffers(step)) for step in content.steps] or [1])
    lines = [
        "/* Written by `weft export`: the tables of one network. */",
        '#include "weft_network.h"',
        "",
        "extern const uint8_t weft_constants[];",
        *(f"extern void {name}(void **buffers);" for name in functions),
        *(line for step in externals.values() for line in _external(step)),
        "",
        f"static void *pointers[{max(most, 1)}];",
        *_tensors("inputs", content.inputs),
        *_tensors("outputs", content.outputs),
        *_constants(content),
        *(line for k, step in enumerate(content.steps) for line in _step_buffers(k, step)),
        *_steps(content),
        "const weft_network weft_the_network = {",
        f"    0x{content.config.digest[:8]}u,",
        f"    {{{max(1, content.region_bytes['device'])}u, {max(1, content.region_bytes['host'])}u}},",
        f"    inputs, outputs, {len(content.inputs)}u, {len(content.outputs)}u,",
        f"    constants, {len(content.constants)}u,",
        f"    steps, {len(content.steps)}u,",
        "    pointers,",
        "};",
    ]
    return "\n".join([*lines, ""])


def _external(step: ExternalStep) -> list[str]:
    """A function of the user's, called with one pointer for each tensor."""
    count = len(step.inputs) + len(step.outputs)
    arguments = ", ".join(f"buffers[{k}]" for k in range(count))
    return [
        f"extern void {step.function}({', '.join(['void *'] * count) or 'void'});",
        f"static void call_{step.function}(void **buffers) {{ (void)buffers; {step.function}({arguments}); }}",
    ]


def _buffer(buffer: Buffer) -> str:
    return f"{{{_REGIONS[buffer.region]}, {buffer.offset}u, {buffer.nbytes}u}}"


def _tensors(name: str, tensors: Sequence[TensorInfo]) -> list[str]:
    rows = [
        f"    {{{quoted(tensor.name)}, WEFT_{tensor.dtype.upper()}, {len(tensor.shape)}u, "
        f"{{{', '.join(f'{size}u' for size in tensor.shape) or '0u'}}}, {tensor.buffer.nbytes}u, "
        f"{_REGIONS[tensor.buffer.region]}, {tensor.buffer.offset}u}},"
        for tensor in tensors
    ]
    return [f"static const weft_tensor {name}[] = {{", *(rows or ["    {0},"]), "};"]


def _constants(content: ModuleContent) -> list[str]:
    rows, offset = [], 0
    for constant in content.constants:
        rows.append(f"    {{{_buffer(constant.buffer)}, weft_constants + {offset}u}},")
        offset += len(constant.data) + -len(constant.data) % _ALIGNMENT
    return ["static const weft_constant constants[] = {", *(rows or ["    {{0, 0, 0}, 0},"]), "};"]


def _buffers(step: Step) -> tuple[Buffer, ...]:
    if isinstance(step, HostStep):
        return step.buffers
    if isinstance(step, ExternalStep):
        return tuple(tensor.buffer for tensor in (*step.inputs, *step.outputs))
    return (*step.reads, *step.writes)


def _step_buffers(k: int, step: Step) -> list[str]:
    rows = [f"    {_buffer(buffer)}," for buffer in _buffers(step)]
    return [f"static const weft_buffer buffers{k}[] = {{", *(rows or ["    {0, 0, 0},"]), "};"]


def _steps(content: ModuleContent) -> list[str]:
    rows = []
    for k, step in enumerate(content.steps):
        count = len(_buffers(step))
        if isinstance(step, AcceleratorStep):
            layer = quoted(content.name_of(step))
            launch = f"{step.instructions.offset}u, {step.count}u"
            rows.append(
                f"    {{WEFT_ACCELERATOR_STEP, {layer}, 0, {launch}, buffers{k}, {count}u, {len(step.reads)}u}},"
            )
        else:
            layer = quoted(content.layers[step.layer].name)
            function = step.function if isinstance(step, HostStep) else f"call_{step.function}"
            rows.append(f"    {{WEFT_HOST_STEP, {layer}, {function}, 0u, 0u, buffers{k}, {count}u, 0u}},")
    return ["static const weft_step steps[] = {", *(rows or ["    {0},"]), "};"]


def quoted(text: str) -> str:
    """A string literal; what is not plain ASCII becomes octal, which no following digit can prolong."""
    return '"' + "".join(_escaped(byte) for byte in text.encode()) + '"'


def _escaped(byte: int) -> str:
    character = chr(byte)
    return character if re.fullmatch(r"[A-Za-z0-9 _.,:;+*/()<>=\[\]-]", character) else f"\\{byte:03o}"
