/* Where the processor begins: main, and its result to the port that ends the test. The test sets the stack pointer and
   turns on the floating-point unit, which reset and start-up code do on a chip. */
    .syntax unified
    .thumb
    .section .start, "ax"
    .global _start
    .thumb_func
_start:
    bl main
    ldr r1, =0x50000000
    str r0, [r1]
1:  b 1b
    .ltorg
