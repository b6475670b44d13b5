#include "weft_mmio.h"

static int read_register(void *context, uint32_t offset, uint32_t *value) {
    *value = *(volatile uint32_t *)((uintptr_t)context + offset);
    return 0;
}

static int write_register(void *context, uint32_t offset, uint32_t value) {
    *(volatile uint32_t *)((uintptr_t)context + offset) = value;
    return 0;
}

weft_device weft_mmio(uintptr_t registers, uintptr_t memory, uint64_t address, uint64_t nbytes) {
    weft_device device = {0};
    device.context = (void *)registers;
    device.read_register = read_register;
    device.write_register = write_register;
    device.memory = (void *)memory;
    device.memory_address = address;
    device.memory_bytes = nbytes;
    return device;
}
