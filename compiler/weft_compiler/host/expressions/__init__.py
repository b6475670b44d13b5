"""Host kernels written as tensor expressions: one expression an operation, lowered to the same IR as all host code."""
