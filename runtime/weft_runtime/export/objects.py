"""A module's host code as an object for a target."""

from __future__ import annotations

from ..errors import ModuleError
from ..host_targets import HostTarget, machine_of, optimised
from ..module_model import HostCode, ModuleContent


def object_for(content: ModuleContent, target: HostTarget) -> bytes | None:
    """The object that the module carries for a target, or one compiled from its IR; None if it needs none.

    Raises
    ------
    ModuleError
        If llvmlite is needed and not installed, or the IR does not compile.
    """
    if not content.host_code:
        return None
    carried = next((code for code in content.host_code if code.triple == target.triple), None)
    return carried.object if carried is not None else _compiled(content.host_code[0], target)


def _compiled(code: HostCode, target: HostTarget) -> bytes:
    try:
        import llvmlite.binding as llvm
    except ImportError:
        raise ModuleError(
            f"module has no object for {target.triple}, and llvmlite, which would compile one, is not installed; "
            "pip install 'weft[compiler]', or compile the model with host_targets"
        ) from None
    try:
        machine = machine_of(target, llvm)
        return machine.emit_object(optimised(code.ir.decode("ascii"), machine, llvm))
    except (RuntimeError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModuleError(f"module's host code does not compile ({first}); compile the model again") from None
