#pragma once
#include "weft_compress.h"

using Bytef = unsigned char;
using uLong = unsigned long;
using uLongf = uLong;
constexpr int Z_OK = 0;
constexpr int Z_BUF_ERROR = -5;

inline uLong compressBound(uLong size) { return static_cast<uLong>(weft_compress_bound(static_cast<int64_t>(size))); }
inline int compress2(Bytef* to, uLongf* room, const Bytef* from, uLong size, int level) {
    const int64_t written =
        weft_compressor(kWeftZlib, from, static_cast<int64_t>(size), to, static_cast<int64_t>(*room), level);
    if (written < 0) return Z_BUF_ERROR;
    *room = static_cast<uLongf>(written);
    return Z_OK;
}
