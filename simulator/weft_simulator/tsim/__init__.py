"""The cycle-accurate device: the accelerator's RTL, compiled by Verilator and a C++ compiler, behind `Device`."""
