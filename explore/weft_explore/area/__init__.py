"""What an accelerator takes of an FPGA: estimated in about a millisecond, or measured by synthesis."""

from weft_hardware.synth.tools import RunawayError as RunawayError
from weft_hardware.synth.tools import SynthesisError as SynthesisError

from .measure import measure as measure
from .measure import routed_mhz as routed_mhz
from .model import estimate as estimate

__all__ = ["RunawayError", "SynthesisError", "estimate", "measure", "routed_mhz"]
