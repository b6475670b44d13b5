#include "weft_engine.h"

#include "weft_registers.h"

static int fail(weft_failure *failure, int code, uint64_t value) {
    failure->code = code;
    failure->value = value;
    return -1;
}

static int lost(weft_failure *failure) { return fail(failure, WEFT_LINK_LOST, 0); }

static int get(const weft_device *device, uint32_t offset, uint32_t *value) {
    return device->read_register(device->context, offset, value);
}

static int put(const weft_device *device, uint32_t offset, uint32_t value) {
    return device->write_register(device->context, offset, value);
}

/* The lower half is read first: the upper one then is of the same moment. */
static int get_wide(const weft_device *device, uint32_t offset, uint64_t *value) {
    uint32_t low, high;
    if (get(device, offset, &low) || get(device, offset + 4, &high)) return -1;
    *value = (uint64_t)high << 32 | low;
    return 0;
}

static int put_wide(const weft_device *device, uint32_t offset, uint64_t value) {
    return put(device, offset, (uint32_t)value) || put(device, offset + 4, (uint32_t)(value >> 32));
}

static int idle(const weft_device *device) { return device->wait ? device->wait(device->context) : 0; }

/* Empties the bus and clears every unit. Never changes a failure that is there already. */
static int reset(const weft_device *device, weft_failure *failure) {
    uint32_t status;
    if (put(device, WEFT_CONTROL, WEFT_CONTROL_RESET)) return lost(failure);
    for (;;) {
        if (get(device, WEFT_STATUS, &status)) return lost(failure);
        if (!(status & WEFT_STATUS_RESETTING)) break;
        if (idle(device)) return lost(failure);
    }
    return status & WEFT_STATUS_FAULT ? fail(failure, WEFT_BUS_HUNG, 0) : 0;
}

int weft_engine_open(const weft_device *device, uint32_t config_digest, weft_failure *failure) {
    uint32_t identity, digest, status;
    if (get(device, WEFT_IDENTITY, &identity) || get(device, WEFT_CONFIG_DIGEST, &digest)) return lost(failure);
    if (identity != WEFT_IDENTITY_VALUE) return fail(failure, WEFT_NO_ACCELERATOR, identity);
    if (digest != config_digest) return fail(failure, WEFT_OTHER_CONFIGURATION, digest);
    if (put(device, WEFT_WATCHDOG, WEFT_WATCHDOG_CYCLES) || put(device, WEFT_DRAIN_LIMIT, WEFT_WATCHDOG_CYCLES) ||
        put(device, WEFT_IRQ_ENABLE, WEFT_INTERRUPT_DONE | WEFT_INTERRUPT_FAULT) || get(device, WEFT_STATUS, &status))
        return lost(failure);
    /* Whoever had the device before may have left it in the middle of something. */
    return status & (WEFT_STATUS_BUSY | WEFT_STATUS_FAULT | WEFT_STATUS_RESETTING) ? reset(device, failure) : 0;
}

static int start(const weft_device *device, uint64_t base, uint32_t nbytes, uint64_t address, uint32_t count) {
    const uint64_t last = base + nbytes - 1;
    if (put(device, WEFT_INSN_COUNT, count) || put_wide(device, WEFT_INSN_ADDR_LO, address) ||
        put_wide(device, WEFT_INSN_FIRST_LO, base) || put_wide(device, WEFT_INSN_LAST_LO, last))
        return -1;
#define WEFT_PLACE(NAME)                                                                                       \
    if (put_wide(device, WEFT_##NAME##_BASE_LO, base) || put_wide(device, WEFT_##NAME##_FIRST_LO, base) ||     \
        put_wide(device, WEFT_##NAME##_LAST_LO, last))                                                         \
        return -1;
    WEFT_EACH_MEMORY(WEFT_PLACE)
#undef WEFT_PLACE
    return put(device, WEFT_IRQ_STATUS, WEFT_INTERRUPT_DONE | WEFT_INTERRUPT_FAULT) ||
           put(device, WEFT_CONTROL, WEFT_CONTROL_START);
}

static int wait_for_end(const weft_device *device, uint32_t *status, weft_failure *failure) {
    uint32_t nothing = 0;
    for (;;) {
        if (get(device, WEFT_STATUS, status)) return lost(failure);
        if (*status & (WEFT_STATUS_DONE | WEFT_STATUS_FAULT)) return 0;
        if (!(*status & WEFT_STATUS_BUSY) && ++nothing > WEFT_START_LOOKS) return fail(failure, WEFT_STOPPED, 0);
        if (idle(device)) return lost(failure);
    }
}

static int read_fault(const weft_device *device, weft_failure *failure) {
    if (get(device, WEFT_FAULT, &failure->fault) || get(device, WEFT_FAULT_INDEX, &failure->index) ||
        get_wide(device, WEFT_FAULT_VALUE_LO, &failure->value))
        return lost(failure);
    failure->code = WEFT_FAULTED;
    reset(device, failure); /* if the bus hangs or the link is lost, that matters more */
    return -1;
}

static int check_tokens(const weft_device *device, weft_failure *failure) {
    static const uint32_t queues[] = {WEFT_TOKENS_LOAD_COMPUTE, WEFT_TOKENS_COMPUTE_LOAD, WEFT_TOKENS_COMPUTE_STORE,
                                      WEFT_TOKENS_STORE_COMPUTE};
    uint32_t left = 0, tokens;
    for (size_t k = 0; k < sizeof queues / sizeof *queues; k++) {
        if (get(device, queues[k], &tokens)) return lost(failure);
        left += tokens;
    }
    return left ? fail(failure, WEFT_TOKENS_LEFT, left) : 0;
}

int weft_engine_launch(const weft_device *device, uint64_t base, uint32_t nbytes, uint64_t address, uint32_t count,
                       uint64_t *cycles, weft_failure *failure) {
    uint32_t status;
    uint64_t took;
    if (start(device, base, nbytes, address, count)) return lost(failure);
    if (wait_for_end(device, &status, failure)) return -1;
    if (status & WEFT_STATUS_FAULT) return read_fault(device, failure);
    if (get_wide(device, WEFT_CYCLES_LO, &took)) return lost(failure);
    *cycles += took;
    return check_tokens(device, failure);
}
