/* The interface without a C library or an operating system: one model in static memory. */
#include "weft_memory.h"
#include "weft_runner.h"

#define ALIGNMENT 64u

void *memcpy(void *restrict to, const void *restrict from, size_t nbytes);

struct weft_model {
    weft_runner runner;
    const char *words;
    int loaded;
};

static struct weft_model the_model;
static const char *load_words = "nothing failed";
static uint8_t host_memory[WEFT_HOST_BYTES + ALIGNMENT];

static uint8_t *aligned(uint8_t *memory) { return memory + (0u - (uintptr_t)memory) % ALIGNMENT; }

static const char *describe(int code) {
    switch (code) {
    case WEFT_LINK_LOST: return "the device does not answer";
    case WEFT_NO_ACCELERATOR: return "no accelerator is at the registers' address";
    case WEFT_OTHER_CONFIGURATION: return "the device has another configuration than the network was compiled for";
    case WEFT_MEMORY_TOO_SMALL: return "the device has less memory than the network takes";
    case WEFT_MISALIGNED: return "the memory does not begin at a multiple of 64";
    case WEFT_NO_ACCESS: return "the device has no memory or no registers; without a system it needs both";
    case WEFT_FAULTED: return "the accelerator stopped a program and was reset";
    case WEFT_TOKENS_LEFT: return "a program ended with tokens that nobody took";
    case WEFT_STOPPED: return "the accelerator was reset by somebody else";
    case WEFT_BUS_HUNG: return "the memory does not answer";
    default: return "unknown failure";
    }
}

weft_model *weft_load_on(const weft_device *device) {
    weft_model *model = &the_model;
    if (!device || model->loaded) {
        load_words = device ? "the network is loaded already; unload it first" : "the device is null";
        return NULL;
    }
    if (!device->memory) {
        load_words = describe(WEFT_NO_ACCESS);
        return NULL;
    }
    model->words = "nothing failed";
    if (weft_runner_start(&model->runner, &weft_the_network, device, aligned(host_memory), NULL)) {
        load_words = describe(model->runner.failure.code);
        return NULL;
    }
    model->loaded = 1;
    return model;
}

void weft_unload(weft_model *model) {
    if (!model || !model->loaded) return;
    if (model->runner.device.close) model->runner.device.close(model->runner.device.context);
    model->loaded = 0;
}

void *weft_input_data(weft_model *model, size_t index) {
    const weft_tensor *tensor = weft_input(index);
    return tensor ? weft_runner_data(&model->runner, tensor) : NULL;
}

const void *weft_output_data(weft_model *model, size_t index) {
    const weft_tensor *tensor = weft_output(index);
    return tensor ? weft_runner_data(&model->runner, tensor) : NULL;
}

static int check(weft_model *model, const weft_tensor *tensor, size_t nbytes) {
    if (tensor && tensor->nbytes == nbytes) return 0;
    model->words = tensor ? "the tensor has another number of bytes" : "no tensor has that number";
    return -1;
}

int weft_set_input(weft_model *model, size_t index, const void *data, size_t nbytes) {
    if (check(model, weft_input(index), nbytes)) return -1;
    memcpy(weft_input_data(model, index), data, nbytes);
    return 0;
}

int weft_get_output(weft_model *model, size_t index, void *data, size_t nbytes) {
    if (check(model, weft_output(index), nbytes)) return -1;
    memcpy(data, weft_output_data(model, index), nbytes);
    return 0;
}

int weft_run(weft_model *model) {
    if (!weft_runner_run(&model->runner)) return 0;
    model->words = describe(model->runner.failure.code);
    return -1;
}

uint64_t weft_cycles(const weft_model *model) { return model->runner.cycles; }

const char *weft_last_error(const weft_model *model) { return model ? model->words : load_words; }
