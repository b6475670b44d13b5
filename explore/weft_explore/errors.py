"""Errors of exploration."""

from weft_hardware.errors import WeftError


class ExploreError(WeftError):
    """A space, an objective, a constraint or a result directory that cannot be used."""
