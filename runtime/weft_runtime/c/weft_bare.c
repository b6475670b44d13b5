/* What compilers and the host's code expect of a C library, for where there is none. */
#include <stddef.h>
#include <stdint.h>

#include "weft_memory.h"

#define ALIGNMENT 64u

static uint8_t scratch[WEFT_SCRATCH_BYTES + ALIGNMENT];
static size_t used, taken;

void *aligned_alloc(size_t alignment, size_t nbytes);
void free(void *memory);

/* The host's code frees everything before it returns: the scratch memory is a stack that empties at once. */
void *aligned_alloc(size_t alignment, size_t nbytes) {
    uint8_t *base = scratch + (0u - (uintptr_t)scratch) % ALIGNMENT;
    uint8_t *memory = base + used;
    (void)alignment; /* at most 64 */
    nbytes = (nbytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (nbytes > WEFT_SCRATCH_BYTES - used) return NULL;
    used += nbytes;
    taken++;
    return memory;
}

void free(void *memory) {
    if (memory && !--taken) used = 0;
}

/* Where there is a C library after all, its functions are faster. */
#if defined(__GNUC__)
#define WEFT_WEAK __attribute__((weak))
#else
#define WEFT_WEAK
#endif

WEFT_WEAK void *memcpy(void *restrict to, const void *restrict from, size_t nbytes);
WEFT_WEAK void *memmove(void *to, const void *from, size_t nbytes);
WEFT_WEAK void *memset(void *to, int value, size_t nbytes);

/* Volatile, or compilers would make calls of memcpy and memset out of these loops. */
void *memcpy(void *restrict to, const void *restrict from, size_t nbytes) {
    volatile uint8_t *target = to;
    const uint8_t *source = from;
    for (size_t k = 0; k < nbytes; k++) target[k] = source[k];
    return to;
}

void *memmove(void *to, const void *from, size_t nbytes) {
    volatile uint8_t *target = to;
    const volatile uint8_t *source = from;
    if ((uintptr_t)to < (uintptr_t)from)
        for (size_t k = 0; k < nbytes; k++) target[k] = source[k];
    else
        while (nbytes--) target[nbytes] = source[nbytes];
    return to;
}

void *memset(void *to, int value, size_t nbytes) {
    volatile uint8_t *target = to;
    for (size_t k = 0; k < nbytes; k++) target[k] = (uint8_t)value;
    return to;
}
