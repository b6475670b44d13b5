/* The driver of the accelerator: checks it, launches programs, says what went wrong. Needs no library. */
#ifndef WEFT_ENGINE_H
#define WEFT_ENGINE_H

#include "weft_device.h"

enum {
    WEFT_OK,
    WEFT_LINK_LOST,           /* a function of the device failed */
    WEFT_NO_ACCELERATOR,      /* `value` is what IDENTITY reads */
    WEFT_OTHER_CONFIGURATION, /* `value` is the digest that the device has */
    WEFT_MEMORY_TOO_SMALL,    /* `value` is how much is needed */
    WEFT_MISALIGNED,          /* `value` is the address */
    WEFT_NO_ACCESS,           /* the device gives neither memory nor functions that copy */
    WEFT_FAULTED,             /* `fault`, `index` and `value` are what the fault registers read */
    WEFT_TOKENS_LEFT,         /* `value` is how many */
    WEFT_STOPPED,             /* neither busy nor done: somebody else reset the accelerator */
    WEFT_BUS_HUNG             /* the memory does not answer: only a hardware reset helps */
};

typedef struct {
    int code;
    const char *layer; /* whose launch failed, or null */
    uint32_t fault, index;
    uint64_t value;
} weft_failure;

/* Cycles without progress after which a program is stopped, and that a reset waits for the memory. */
#ifndef WEFT_WATCHDOG_CYCLES
#define WEFT_WATCHDOG_CYCLES 10000000u
#endif

/* Looks at STATUS that may show nothing at all after a launch, before it counts as stopped. */
#define WEFT_START_LOOKS 1000

int weft_engine_open(const weft_device *device, uint32_t config_digest, weft_failure *failure);

/* Runs the program at `address`; every base register is `base`, and it may reach `nbytes` from there. Adds its cycles.
   After a failure the engine was reset. */
int weft_engine_launch(const weft_device *device, uint64_t base, uint32_t nbytes, uint64_t address, uint32_t count,
                       uint64_t *cycles, weft_failure *failure);

#endif
