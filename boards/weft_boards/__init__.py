"""Boards: devices of silicon. Empty until a board can be driven."""
