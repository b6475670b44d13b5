/* A device as the driver sees it: registers, and the memory that the accelerator reads and writes. Needs no library. */
#ifndef WEFT_DEVICE_H
#define WEFT_DEVICE_H

#include <stddef.h>
#include <stdint.h>

/* Functions return 0, or something else if the device cannot be reached; pointers to functions may be null where it is
   said so. Everything must stay valid as long as a network is loaded on the device. */
typedef struct weft_device {
    void *context; /* handed to every function */

    /* 32-bit registers at byte offsets; see `weft registers`. */
    int (*read_register)(void *context, uint32_t offset, uint32_t *value);
    int (*write_register)(void *context, uint32_t offset, uint32_t value);

    /* Memory for one network: the accelerator's address of its first byte, a multiple of 64, and its size. */
    uint64_t memory_address;
    uint64_t memory_bytes;

    /* The same memory as the processor sees it, at a multiple of 64, or null if it cannot work on it directly. */
    void *memory;

    /* Null: the memory is coherent. Otherwise the first makes what the processor wrote visible to the accelerator
       (clean or flush the cache), the second what the accelerator wrote to the processor (invalidate). */
    void (*flush)(void *context, void *from, size_t nbytes);
    void (*invalidate)(void *context, void *from, size_t nbytes);

    /* Where `memory` is null: copies, to and from the accelerator's addresses. */
    int (*write_memory)(void *context, uint64_t address, const void *from, size_t nbytes);
    int (*read_memory)(void *context, uint64_t address, void *to, size_t nbytes);

    /* Null, or what to do between two looks at a running program: sleep, wait for the interrupt, let time pass. */
    int (*wait)(void *context);

    /* Null, or called when the network is unloaded. */
    void (*close)(void *context);
} weft_device;

#endif
