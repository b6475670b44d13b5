"""Host code: loop nests in scf, arith and memref, lowered to LLVM IR and compiled by llvmlite."""
