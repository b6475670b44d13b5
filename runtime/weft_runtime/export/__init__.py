"""Modules as programs of their own: a shared library with a C interface, or C for processors without a system."""
