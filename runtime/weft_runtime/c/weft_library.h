/* What the files of the library share. */
#ifndef WEFT_LIBRARY_H
#define WEFT_LIBRARY_H

#include "weft_device.h"

/* Keeps the sentence for weft_last_error(NULL); returns -1. */
int weft_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Opens a device by its name, see weft.h, with so many bytes of memory. Its `close` is there. */
int weft_open_device(const char *name, uint64_t nbytes, weft_device *device);

/* Tells the host's code what this processor has. -1 if it cannot run that code. */
int weft_prepare_cpu(void);

#endif
