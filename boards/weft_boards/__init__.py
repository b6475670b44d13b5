"""Boards: what they are, projects and bitstreams for them, and the devices that drive them."""
