/* Runs a network on every image of standard input, and writes the results to standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "net.h"

static int failed(const weft_model *model) {
    fprintf(stderr, "%s\n", weft_last_error(model));
    return 1;
}

int main(int count, char **arguments) {
    const weft_tensor *in = weft_input(WEFT_INPUT_IMAGE), *out = weft_output(WEFT_OUTPUT_LOGITS);
    void *image = malloc(WEFT_INPUT_IMAGE_BYTES), *logits = malloc(WEFT_OUTPUT_LOGITS_BYTES);
    unsigned long long cycles = 0;
    weft_model *model;
    if (count != 2 || weft_input_count() != 1 || in->rank != 4 || out->dtype != WEFT_FLOAT32) return 3;
    model = weft_load(arguments[1]);
    if (!model) return failed(NULL);
    while (fread(image, in->nbytes, 1, stdin) == 1) {
        if (weft_set_input(model, 0, image, in->nbytes) || weft_run(model) ||
            weft_get_output(model, 0, logits, out->nbytes))
            return failed(model);
        cycles += weft_cycles(model);
        fwrite(logits, out->nbytes, 1, stdout);
    }
    fprintf(stderr, "%llu cycles\n", cycles);
    weft_unload(model);
    free(image);
    free(logits);
    return 0;
}
