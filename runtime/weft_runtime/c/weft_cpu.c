/* What this processor has beyond what its architecture promises, as bits of `weft_cpu`; the order of the bits is
   declared in weft_runtime/host_functions.py. */
#include "weft_library.h"

/* The host's code has this variable if it asks. */
__attribute__((weak)) uint32_t weft_cpu;

#if defined(__x86_64__)

#include <cpuid.h>

#define BIT(word, bit) ((word) >> (bit) & 1u)

int weft_prepare_cpu(void) {
    uint32_t a, b = 0, c = 0, d, low, high, b7, c7;
    __cpuid(1, a, b, c, d);
    if (!BIT(c, 27) || !BIT(c, 12)) return weft_say("this processor has no AVX2, which the network needs; run it elsewhere");
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    __cpuid_count(7, 0, a, b7, c7, d);
    if ((low & 6u) != 6u || !BIT(b7, 5))
        return weft_say("this processor has no AVX2, which the network needs; run it elsewhere");
    if ((low & 0xe0u) != 0xe0u) return 0; /* the system does not keep the wide registers */
    weft_cpu = BIT(b7, 16) | BIT(b7, 30) << 1 | BIT(b7, 17) << 2 | BIT(b7, 31) << 3 | BIT(c7, 11) << 4;
    return 0;
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

#define HWCAP_DOT_PRODUCTS (1ul << 20)

int weft_prepare_cpu(void) {
    weft_cpu = getauxval(AT_HWCAP) & HWCAP_DOT_PRODUCTS ? 1u << 5 : 0;
    return 0;
}

#else

int weft_prepare_cpu(void) { return 0; }

#endif
