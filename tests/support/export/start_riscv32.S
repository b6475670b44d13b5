/* Where the processor begins: a stack, main, and its result to the port that ends the test. */
    .section .start, "ax"
    .global _start
_start:
    la sp, stack_end
    call main
    li t0, 0x50000000
    sw a0, 0(t0)
1:  j 1b
