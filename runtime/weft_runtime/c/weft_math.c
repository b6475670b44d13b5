/* Functions that compilers and the host's code call, where the C library may lack them or there is none. */
#include <stddef.h>
#include <stdint.h>

/* Rounds to the nearest integer, and half-way cases to the even one: adding 2^23 leaves no room for a fraction. */
__attribute__((weak)) float roundevenf(float value) {
    const float limit = 8388608.0f;
    volatile float shifted;
    if (!(value < limit && value > -limit)) return value;
    shifted = value + (value < 0 ? -limit : limit);
    shifted = shifted - (value < 0 ? -limit : limit);
    return __builtin_copysignf(shifted, value);
}
