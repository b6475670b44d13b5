/* What a compiled network consists of: tables that `weft export` writes. */
#ifndef WEFT_NETWORK_H
#define WEFT_NETWORK_H

#include "weft.h"

enum { WEFT_DEVICE_REGION, WEFT_HOST_REGION };
enum { WEFT_HOST_STEP, WEFT_ACCELERATOR_STEP };

/* Bytes of a region; offsets are multiples of 64. */
typedef struct {
    uint32_t region, offset, nbytes;
} weft_buffer;

/* What a region holds from the start. */
typedef struct {
    weft_buffer buffer;
    const uint8_t *data;
} weft_constant;

/* A call of a function with the addresses of `buffers`, or the launch of `instructions`, which reads the first `reads`
   of the buffers and writes the others. */
typedef struct {
    uint32_t kind;
    const char *layer;
    void (*function)(void **buffers);
    uint32_t instructions, instruction_count;
    const weft_buffer *buffers;
    uint32_t buffer_count, reads;
} weft_step;

typedef struct {
    uint32_t config_digest; /* first 32 bits */
    uint32_t region_bytes[2];
    const weft_tensor *inputs, *outputs;
    uint32_t input_count, output_count;
    const weft_constant *constants;
    uint32_t constant_count;
    const weft_step *steps;
    uint32_t step_count;
    void **pointers; /* room for the buffers of any host step */
} weft_network;

extern const weft_network weft_the_network;

#endif
