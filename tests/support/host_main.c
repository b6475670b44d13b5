/* Calls a host function: reads its buffers from stdin, each after its size, and writes them all to stdout. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void kernel(void **buffers);
__attribute__((weak)) int weft_cpu;

int main(int count, char **arguments) {
    void *buffers[32];
    uint64_t sizes[32];
    int n = 0;
    weft_cpu = count > 1 ? atoi(arguments[1]) : 0;
    for (; n < 32 && fread(&sizes[n], 8, 1, stdin) == 1; n++) {
        buffers[n] = aligned_alloc(64, (sizes[n] + 63) / 64 * 64);
        if (!buffers[n] || fread(buffers[n], 1, sizes[n], stdin) != sizes[n]) return 1;
    }
    kernel(buffers);
    for (int k = 0; k < n; k++) fwrite(buffers[k], 1, sizes[k], stdout);
    return 0;
}
