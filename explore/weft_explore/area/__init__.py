"""What an accelerator takes of an FPGA: estimated in less than a millisecond, or synthesised."""

from .model import estimate as estimate

__all__ = ["estimate"]
