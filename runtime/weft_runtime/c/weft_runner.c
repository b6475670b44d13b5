#include "weft_runner.h"

#define ALIGNMENT 64u

void *memcpy(void *restrict to, const void *restrict from, size_t nbytes);
void *memset(void *to, int value, size_t nbytes);

static int fail(weft_runner *runner, int code, uint64_t value) {
    runner->failure.code = code;
    runner->failure.value = value;
    return -1;
}

/* Makes what the processor wrote visible to the accelerator. */
static int send(weft_runner *runner, uint32_t offset, uint32_t nbytes) {
    const weft_device *device = &runner->device;
    uint8_t *from = runner->regions[WEFT_DEVICE_REGION] + offset;
    if (device->memory) {
        if (device->flush) device->flush(device->context, from, nbytes);
        return 0;
    }
    if (device->write_memory(device->context, device->memory_address + offset, from, nbytes))
        return fail(runner, WEFT_LINK_LOST, 0);
    return 0;
}

/* Makes what the accelerator wrote visible to the processor. */
static int receive(weft_runner *runner, uint32_t offset, uint32_t nbytes) {
    const weft_device *device = &runner->device;
    uint8_t *to = runner->regions[WEFT_DEVICE_REGION] + offset;
    if (device->memory) {
        if (device->invalidate) device->invalidate(device->context, to, nbytes);
        return 0;
    }
    if (device->read_memory(device->context, device->memory_address + offset, to, nbytes))
        return fail(runner, WEFT_LINK_LOST, 0);
    return 0;
}

static int check_memory(weft_runner *runner) {
    const weft_device *device = &runner->device;
    const uint32_t needed = runner->network->region_bytes[WEFT_DEVICE_REGION];
    if (device->memory_bytes < needed) return fail(runner, WEFT_MEMORY_TOO_SMALL, needed);
    if (device->memory_address % ALIGNMENT) return fail(runner, WEFT_MISALIGNED, device->memory_address);
    for (int k = 0; k < 2; k++)
        if ((uintptr_t)runner->regions[k] % ALIGNMENT) return fail(runner, WEFT_MISALIGNED, (uintptr_t)runner->regions[k]);
    if (!device->memory && (!device->write_memory || !device->read_memory || !runner->regions[WEFT_DEVICE_REGION]))
        return fail(runner, WEFT_NO_ACCESS, 0);
    return 0;
}

int weft_runner_start(weft_runner *runner, const weft_network *network, const weft_device *device, void *host,
                      void *mirror) {
    memset(runner, 0, sizeof *runner);
    runner->network = network;
    runner->device = *device;
    runner->regions[WEFT_DEVICE_REGION] = device->memory ? device->memory : mirror;
    runner->regions[WEFT_HOST_REGION] = host;
    if (!device->read_register || !device->write_register) return fail(runner, WEFT_NO_ACCESS, 0);
    if (check_memory(runner)) return -1;
    if (weft_engine_open(device, network->config_digest, &runner->failure)) return -1;
    for (int k = 0; k < 2; k++) memset(runner->regions[k], 0, network->region_bytes[k]);
    for (uint32_t k = 0; k < network->constant_count; k++) {
        const weft_constant *constant = &network->constants[k];
        memcpy(runner->regions[constant->buffer.region] + constant->buffer.offset, constant->data,
               constant->buffer.nbytes);
    }
    return send(runner, 0, network->region_bytes[WEFT_DEVICE_REGION]);
}

static void call(weft_runner *runner, const weft_step *step) {
    void **pointers = runner->network->pointers;
    for (uint32_t k = 0; k < step->buffer_count; k++)
        pointers[k] = runner->regions[step->buffers[k].region] + step->buffers[k].offset;
    step->function(pointers);
}

static int launch(weft_runner *runner, const weft_step *step) {
    const uint64_t base = runner->device.memory_address;
    const uint32_t nbytes = runner->network->region_bytes[WEFT_DEVICE_REGION];
    for (uint32_t k = 0; k < step->reads; k++)
        if (send(runner, step->buffers[k].offset, step->buffers[k].nbytes)) return -1;
    /* Lines of the cache where results will lie must not be written back over them. */
    if (runner->device.memory && runner->device.flush)
        for (uint32_t k = step->reads; k < step->buffer_count; k++)
            if (send(runner, step->buffers[k].offset, step->buffers[k].nbytes)) return -1;
    if (weft_engine_launch(&runner->device, base, nbytes, base + step->instructions, step->instruction_count,
                           &runner->cycles, &runner->failure))
        return -1;
    for (uint32_t k = step->reads; k < step->buffer_count; k++)
        if (receive(runner, step->buffers[k].offset, step->buffers[k].nbytes)) return -1;
    return 0;
}

int weft_runner_run(weft_runner *runner) {
    const weft_network *network = runner->network;
    runner->cycles = 0;
    for (uint32_t k = 0; k < network->step_count; k++) {
        const weft_step *step = &network->steps[k];
        runner->failure.layer = step->layer;
        if (step->kind == WEFT_HOST_STEP)
            call(runner, step);
        else if (launch(runner, step))
            return -1;
    }
    return 0;
}

void *weft_runner_data(const weft_runner *runner, const weft_tensor *tensor) {
    return runner->regions[tensor->region] + tensor->offset;
}
