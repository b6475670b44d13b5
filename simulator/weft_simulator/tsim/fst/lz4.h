#pragma once
#include "weft_compress.h"

inline int LZ4_compressBound(int size) { return static_cast<int>(weft_compress_bound(size)); }
inline int LZ4_compress_default(const char* from, char* to, int size, int room) {
    const int64_t written = weft_compressor(kWeftLz4, from, size, to, room, 0);
    return written < 0 ? 0 : static_cast<int>(written);
}
