/* Functions that the host's code calls and C libraries may lack. */

#if defined(__GNUC__)
__attribute__((weak))
#endif
float roundevenf(float value);

/* To the nearest integer, half-way cases to the even one: after adding 2^23 there is no room for a fraction. */
float roundevenf(float value) {
    const float room = value < 0 ? -8388608.0f : 8388608.0f;
    volatile float sum = value + room;
    if (!(value < 8388608.0f && value > -8388608.0f)) return value;
    sum = sum - room;
    return sum == 0 ? value * 0.0f : sum; /* zero keeps the sign */
}
