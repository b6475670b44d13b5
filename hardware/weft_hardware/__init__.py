"""The accelerator: configuration, instruction set and RTL.

`config`, `isa`, `encoding`, `presets`, `registers` and `errors` are pure Python and numpy, so that a board can import
them; everything that needs Amaranth lives in `weft_hardware.rtl`.
"""
