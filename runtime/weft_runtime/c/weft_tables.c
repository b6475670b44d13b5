/* What the interface tells of the network's tables. Needs no library. */
#include "weft_network.h"

size_t weft_input_count(void) { return weft_the_network.input_count; }
size_t weft_output_count(void) { return weft_the_network.output_count; }
uint64_t weft_device_bytes(void) { return weft_the_network.region_bytes[WEFT_DEVICE_REGION]; }

const weft_tensor *weft_input(size_t index) {
    return index < weft_the_network.input_count ? &weft_the_network.inputs[index] : NULL;
}

const weft_tensor *weft_output(size_t index) {
    return index < weft_the_network.output_count ? &weft_the_network.outputs[index] : NULL;
}
