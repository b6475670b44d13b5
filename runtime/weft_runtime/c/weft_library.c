/* The library's functions on top of the runner: memory from malloc, failures as sentences. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weft_library.h"
#include "weft_registers.h"
#include "weft_runner.h"

#define ALIGNMENT 64u
#define WORDS 512

struct weft_model {
    weft_runner runner;
    void *host, *mirror;
    char words[WORDS];
};

static __thread char load_words[WORDS] = "nothing failed";

static const weft_network *const network = &weft_the_network;

int weft_say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(load_words, WORDS, format, arguments);
    va_end(arguments);
    return -1;
}

static int say(weft_model *model, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(model->words, WORDS, format, arguments);
    va_end(arguments);
    return -1;
}

static const char *cause_of(uint32_t fault) {
    switch (fault & 0xff) {
    case WEFT_CAUSE_ILLEGAL_INSTRUCTION: return "an illegal instruction";
    case WEFT_CAUSE_SCRATCHPAD_RANGE: return "an index outside its scratchpad";
    case WEFT_CAUSE_BUS_ERROR: return "the memory answering an error";
    case WEFT_CAUSE_DEADLOCK: return "every module waiting for a token";
    case WEFT_CAUSE_NO_FINISH: return "a program without FINISH";
    case WEFT_CAUSE_WINDOW: return "an address outside the network's memory";
    case WEFT_CAUSE_WATCHDOG: return "no progress within the watchdog's cycles";
    case WEFT_CAUSE_BUS_HUNG: return "a memory that does not answer";
    default: return "an unknown cause";
    }
}

static const char *unit_of(uint32_t fault) {
    switch (fault >> 8 & 0xff) {
    case WEFT_UNIT_LOAD: return "load";
    case WEFT_UNIT_COMPUTE: return "compute";
    case WEFT_UNIT_STORE: return "store";
    case WEFT_UNIT_FETCH: return "fetch";
    default: return "engine";
    }
}

/* The sentence about a failure of the runner. */
static void describe(const weft_failure *failure, char *words) {
    const unsigned long long value = (unsigned long long)failure->value;
    const char *layer = failure->layer ? failure->layer : "";
    switch (failure->code) {
    case WEFT_LINK_LOST:
        snprintf(words, WORDS, "the device does not answer; check it and load the network again");
        return;
    case WEFT_NO_ACCELERATOR:
        snprintf(words, WORDS, "no accelerator is there: IDENTITY reads %#llx, not %#x; check the registers' address", value,
                 WEFT_IDENTITY_VALUE);
        return;
    case WEFT_OTHER_CONFIGURATION:
        snprintf(words, WORDS,
                 "the network was compiled for configuration %#010lx, the device has %#010llx; compile the network for "
                 "the device's configuration",
                 (unsigned long)network->config_digest, value);
        return;
    case WEFT_MEMORY_TOO_SMALL:
        snprintf(words, WORDS, "the device has too little memory, the network takes %llu bytes; give it more", value);
        return;
    case WEFT_MISALIGNED:
        snprintf(words, WORDS, "address %#llx is not a multiple of %u; align the memory", value, ALIGNMENT);
        return;
    case WEFT_NO_ACCESS:
        snprintf(words, WORDS,
                 "the device has neither memory nor functions that copy, or no registers; fill in its struct");
        return;
    case WEFT_FAULTED:
        snprintf(words, WORDS,
                 "layer %s: the accelerator stopped at %s (%s, instruction %lu, value %#llx); it was reset", layer,
                 cause_of(failure->fault), unit_of(failure->fault), (unsigned long)failure->index, value);
        return;
    case WEFT_TOKENS_LEFT:
        snprintf(words, WORDS, "layer %s: the program ended with %llu tokens that nobody took; compile the network again",
                 layer, value);
        return;
    case WEFT_STOPPED:
        snprintf(words, WORDS, "layer %s: the accelerator was reset by somebody else; run again", layer);
        return;
    case WEFT_BUS_HUNG:
        snprintf(words, WORDS, "layer %s: the memory does not answer; reset accelerator and bus", layer);
        return;
    default: snprintf(words, WORDS, "failure %d", failure->code);
    }
}

static void *aligned(uint32_t nbytes) {
    void *memory = NULL;
    return posix_memalign(&memory, ALIGNMENT, nbytes ? nbytes : 1) ? NULL : memory;
}

static void destroy(weft_model *model) {
    free(model->host);
    free(model->mirror);
    free(model);
}

weft_model *weft_load_on(const weft_device *device) {
    weft_model *model;
    if (!device) {
        weft_say("the device is null; pass one");
        return NULL;
    }
    if (weft_prepare_cpu()) return NULL;
    model = calloc(1, sizeof *model);
    if (model) {
        model->host = aligned(network->region_bytes[WEFT_HOST_REGION]);
        model->mirror = device->memory ? NULL : aligned(network->region_bytes[WEFT_DEVICE_REGION]);
    }
    if (!model || !model->host || (!device->memory && !model->mirror)) {
        if (model) destroy(model);
        weft_say("there is no memory for the network; free some");
        return NULL;
    }
    strcpy(model->words, "nothing failed");
    if (weft_runner_start(&model->runner, network, device, model->host, model->mirror)) {
        describe(&model->runner.failure, load_words);
        destroy(model);
        return NULL;
    }
    return model;
}

weft_model *weft_load(const char *name) {
    weft_device device;
    weft_model *model;
    if (weft_open_device(name, weft_device_bytes(), &device)) return NULL;
    model = weft_load_on(&device);
    if (!model) device.close(device.context);
    return model;
}

void weft_unload(weft_model *model) {
    if (!model) return;
    if (model->runner.device.close) model->runner.device.close(model->runner.device.context);
    destroy(model);
}

void *weft_input_data(weft_model *model, size_t index) {
    const weft_tensor *tensor = weft_input(index);
    return tensor ? weft_runner_data(&model->runner, tensor) : NULL;
}

const void *weft_output_data(weft_model *model, size_t index) {
    const weft_tensor *tensor = weft_output(index);
    return tensor ? weft_runner_data(&model->runner, tensor) : NULL;
}

static int check(weft_model *model, const char *kind, const weft_tensor *tensor, size_t index, size_t count,
                 size_t nbytes) {
    if (!tensor)
        return say(model, "%s %zu does not exist, the network has %zu; count from 0", kind, index, count);
    if (nbytes != tensor->nbytes)
        return say(model, "%s %s has %lu bytes, %zu were passed; pass all of it", kind, tensor->name,
                   (unsigned long)tensor->nbytes, nbytes);
    return 0;
}

int weft_set_input(weft_model *model, size_t index, const void *data, size_t nbytes) {
    if (check(model, "input", weft_input(index), index, network->input_count, nbytes)) return -1;
    memcpy(weft_input_data(model, index), data, nbytes);
    return 0;
}

int weft_get_output(weft_model *model, size_t index, void *data, size_t nbytes) {
    if (check(model, "output", weft_output(index), index, network->output_count, nbytes)) return -1;
    memcpy(data, weft_output_data(model, index), nbytes);
    return 0;
}

int weft_run(weft_model *model) {
    if (!weft_runner_run(&model->runner)) return 0;
    describe(&model->runner.failure, model->words);
    return -1;
}

uint64_t weft_cycles(const weft_model *model) { return model->runner.cycles; }

const char *weft_last_error(const weft_model *model) { return model ? model->words : load_words; }
