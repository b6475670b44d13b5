/* Where the processor begins: main, and its result to the port that ends the test. On a chip, reset sets the stack
   pointer, and start-up code turns on the floating-point unit; here the emulator has done both. */
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
