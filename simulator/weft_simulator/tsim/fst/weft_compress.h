// How Verilator's FST writer compresses: a function of whoever loads the model, since no wheel brings zlib's or LZ4's
// headers. zlib.h and lz4.h beside this file declare the four functions that it calls of them, under their own names.
#pragma once
#include <cstdint>

enum WeftCompression { kWeftLz4 = 0, kWeftZlib = 1 };

// Bytes written, or -1 if they do not fit the room.
using WeftCompressor = int64_t (*)(int method, const void* from, int64_t size, void* to, int64_t room, int level);

extern "C" WeftCompressor weft_compressor;

// What incompressible data become, in blocks that are stored as they are, at most.
inline int64_t weft_compress_bound(int64_t size) { return size + size / 128 + 128; }
