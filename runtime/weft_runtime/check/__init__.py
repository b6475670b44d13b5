"""The static check of programs: no race, no hang, no fault, whatever the timing; see docs/checker.md."""

from .checker import check_program
from .findings import Finding, Kind
from .modules import check_module
from .report import Report

__all__ = ["Finding", "Kind", "Report", "check_module", "check_program"]
