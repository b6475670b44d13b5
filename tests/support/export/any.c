/* Runs a network once: its inputs from standard input one after another, its outputs to standard output. */
#include <stdio.h>

#include "net.h"

int main(int count, char **arguments) {
    weft_model *model = weft_load(count > 1 ? arguments[1] : NULL);
    if (!model) {
        fprintf(stderr, "%s\n", weft_last_error(NULL));
        return 1;
    }
    for (size_t k = 0; k < weft_input_count(); k++)
        if (fread(weft_input_data(model, k), weft_input(k)->nbytes, 1, stdin) != 1) return 2;
    if (weft_run(model)) {
        fprintf(stderr, "%s\n", weft_last_error(model));
        return 1;
    }
    for (size_t k = 0; k < weft_output_count(); k++)
        fwrite(weft_output_data(model, k), weft_output(k)->nbytes, 1, stdout);
    weft_unload(model);
    return 0;
}
