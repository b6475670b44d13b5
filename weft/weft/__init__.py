"""`import weft`: the public face of the stack."""
