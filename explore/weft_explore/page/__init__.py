"""An exploration as one self-contained, interactive HTML page."""

from .contents import PageError, read_exploration
from .report import render, write_page

__all__ = ["PageError", "read_exploration", "render", "write_page"]
