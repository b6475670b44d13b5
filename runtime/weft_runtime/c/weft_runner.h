/* A network on a device, in memory that the caller provides. Needs no library but memcpy and memset. */
#ifndef WEFT_RUNNER_H
#define WEFT_RUNNER_H

#include "weft_engine.h"
#include "weft_network.h"

typedef struct {
    const weft_network *network;
    weft_device device;
    uint8_t *regions[2];
    uint64_t cycles;
    weft_failure failure;
} weft_runner;

/* Checks the device, and writes zeros and constants into the network's memory.

   `host`: network->region_bytes[WEFT_HOST_REGION] bytes at a multiple of 64. `mirror`: the same for the device region,
   used where device->memory is null, otherwise null. Returns 0, or -1 with runner->failure filled in. */
int weft_runner_start(weft_runner *runner, const weft_network *network, const weft_device *device, void *host,
                      void *mirror);

/* Runs every step on what the inputs hold. */
int weft_runner_run(weft_runner *runner);

/* Where a tensor lies. */
void *weft_runner_data(const weft_runner *runner, const weft_tensor *tensor);

#endif
