"""The accelerator's intrinsics, one kind a file: declared as tensor expressions, with their emission rules."""
