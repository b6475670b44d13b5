"""From loop nests to accelerator programs: scratchpads, micro-code, dependency tokens, instruction streams."""
