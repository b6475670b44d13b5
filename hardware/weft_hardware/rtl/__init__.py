"""The accelerator in Amaranth, one unit a file; `accelerator` is the top."""
