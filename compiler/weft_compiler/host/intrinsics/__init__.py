"""What hosts do to whole tiles at once: intrinsics for `tensorize`, one kind a file."""
