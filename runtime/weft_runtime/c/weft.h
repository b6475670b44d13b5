/* One compiled network as a library. The processor's order of bytes is little-endian. */
#ifndef WEFT_H
#define WEFT_H

#include "weft_device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { WEFT_INT8, WEFT_UINT8, WEFT_INT32, WEFT_FLOAT32 } weft_dtype;

/* An input or output; `region` and `offset` say where it lies in the network's own memory. */
typedef struct weft_tensor {
    const char *name;
    weft_dtype dtype;
    uint32_t rank;
    uint32_t shape[8];
    uint32_t nbytes;
    uint32_t region, offset;
} weft_tensor;

typedef struct weft_model weft_model;

size_t weft_input_count(void);
size_t weft_output_count(void);
const weft_tensor *weft_input(size_t index);  /* null if there is none of that number */
const weft_tensor *weft_output(size_t index);
uint64_t weft_device_bytes(void); /* memory that the network takes on its device */

/* Load the network on a device; null if that fails, and weft_last_error(NULL) says why. Devices by name:

     sim:PATH                               a simulator that `weft link PATH` serves
     mem:REGISTERS,MEMORY,BYTES             physical addresses, through /dev/mem
     uio:/dev/uioN,/dev/udmabufN,MEMORY,BYTES   registers through UIO, memory through u-dma-buf; MEMORY is its physical
                                            address */
weft_model *weft_load(const char *device);
weft_model *weft_load_on(const weft_device *device); /* the struct itself is copied */
void weft_unload(weft_model *model);                  /* null is allowed */

/* These return 0, or -1 if they fail; weft_last_error(model) says why. One model is used by one thread at a time. */
int weft_set_input(weft_model *model, size_t index, const void *data, size_t nbytes);
int weft_run(weft_model *model);
int weft_get_output(weft_model *model, size_t index, void *data, size_t nbytes);

/* The tensors where they lie, for runs without copies: write every input before each run, and read outputs before the
   next, for they share memory with others. Null if there is none of that number. */
void *weft_input_data(weft_model *model, size_t index);
const void *weft_output_data(weft_model *model, size_t index);

uint64_t weft_cycles(const weft_model *model); /* the accelerator's, of the last run */

/* One sentence about the last failure; of the calling thread's last load where model is null. Never null. */
const char *weft_last_error(const weft_model *model);

#ifdef __cplusplus
}
#endif

#endif
