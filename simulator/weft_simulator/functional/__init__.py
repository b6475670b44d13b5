"""The functional simulator."""

from .device import FunctionalDevice

__all__ = ["FunctionalDevice"]
