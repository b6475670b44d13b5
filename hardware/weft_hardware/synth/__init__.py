"""What an FPGA needs for the accelerator: area, logic depth and clock, measured with open tools."""
