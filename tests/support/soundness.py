"""The static check, as tests call it on programs of every origin."""

from __future__ import annotations

from weft_runtime.check import Report, check_module, check_program
from weft_runtime.dram import Dram
from weft_runtime.module import Module
from weft_simulator.lockstep.program import Program


def report_of(program: Program) -> Report:
    """The check of a program in its image."""
    return check_program(program.launch(), Dram(program.image, program.dram_base), program.config)


def assert_sound(program: Program) -> None:
    """Nothing is found; otherwise the first findings are told."""
    _assert_passed(program.name, report_of(program))


def assert_module_sound(module: Module) -> Module:
    """Nothing is found in any launch; returns the module."""
    for name, report in check_module(module.content):
        _assert_passed(name, report)
    return module


def _assert_passed(name: str, report: Report) -> None:
    sentences = [report.sentence(finding) for finding in report.findings[:5]]
    assert report.passed, f"{name}: {len(report.findings)} findings, first {sentences}"
