"""Devices that run on this machine: the functional interpreter and the RTL under Verilator (tsim)."""
