/* A device whose registers and memory the processor sees at addresses. */
#ifndef WEFT_MMIO_H
#define WEFT_MMIO_H

#include "weft_device.h"

/* Registers at `registers`; `nbytes` of memory at `memory`, which the accelerator sees at `address`. The processor must
   see both uncached, or `flush` and `invalidate` of the result must be set. */
weft_device weft_mmio(uintptr_t registers, uintptr_t memory, uint64_t address, uint64_t nbytes);

#endif
