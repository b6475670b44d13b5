"""What the ULX3S board needs around the accelerator: a serial host link, and a controller of its SDRAM."""
