/* A program without an operating system: the network on every image of a mailbox in its memory. */
#include "network.h"
#include "weft_mmio.h"

#define REGISTERS 0x40000000u
#define DEVICE_MEMORY 0x60000000u
#define DEVICE_MEMORY_BYTES 0x100000u

/* At this address the test puts the number of images and the images, and finds the results. */
typedef struct {
    volatile uint32_t count, done, failed;
    volatile uint32_t cycles;
    const char *volatile words;
    uint32_t unused[11];
    float images[64][64];
    float logits[64][10];
} mailbox;

int main(void) {
    mailbox *const box = (mailbox *)0x20000000u;
    const weft_device device = weft_mmio(REGISTERS, DEVICE_MEMORY, DEVICE_MEMORY, DEVICE_MEMORY_BYTES);
    weft_model *model = weft_load_on(&device);
    if (!model) {
        box->words = weft_last_error(NULL);
        return 1;
    }
    for (uint32_t k = 0; k < box->count; k++) {
        if (weft_set_input(model, WEFT_INPUT_IMAGE, box->images[k], WEFT_INPUT_IMAGE_BYTES) || weft_run(model) ||
            weft_get_output(model, WEFT_OUTPUT_LOGITS, box->logits[k], WEFT_OUTPUT_LOGITS_BYTES)) {
            box->words = weft_last_error(model);
            return 1;
        }
        box->cycles += (uint32_t)weft_cycles(model);
        box->done++;
    }
    return 0;
}
