// Drives one verilated component with streams: payloads in, payloads out, with random pauses.
//
// The generated lines before this file define kPorts (name, address, bits) of `Vtop`.
// A cycle: inputs change, combinational paths settle, handshakes are sampled, clk rises.

#include <cstdint>
#include <cstring>
#include <memory>

namespace {

size_t storage(unsigned bits) {
    return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : bits <= 64 ? 8 : (bits + 31) / 32 * 4;
}

class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0xD1B54A32D192ED03ull) {}
    bool chance(uint32_t percent) {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<uint32_t>((state_ * 0x2545F4914F6CDD1Dull) >> 32) % 100 < percent;
    }

  private:
    uint64_t state_;
};

struct Component {
    VerilatedContext context;
    std::unique_ptr<Vtop> top = std::make_unique<Vtop>(&context, "top");
    Port ports[kPortCount];

    Component() { bind(*top, ports); }
    void edge() {
        top->clk = 1;
        top->eval();
        top->clk = 0;
        top->eval();
    }
};

}  // namespace

extern "C" {

void* component_create() {
    auto* c = new Component;
    c->top->clk = 0;
    c->top->rst = 1;
    c->top->eval();
    for (int k = 0; k < 2; ++k) c->edge();
    c->top->rst = 0;
    c->top->eval();
    return c;
}

void component_destroy(void* handle) { delete static_cast<Component*>(handle); }

// `value` has as many bytes as the port's storage: 1, 2, 4, 8 or whole 32-bit words.
void component_set(void* handle, unsigned port, const uint8_t* value) {
    auto* c = static_cast<Component*>(handle);
    std::memcpy(c->ports[port].address, value, storage(c->ports[port].bits));
    c->top->eval();
}

void component_get(void* handle, unsigned port, uint8_t* value) {
    auto* c = static_cast<Component*>(handle);
    std::memcpy(value, c->ports[port].address, storage(c->ports[port].bits));
}

void component_tick(void* handle, unsigned cycles) {
    auto* c = static_cast<Component*>(handle);
    for (unsigned k = 0; k < cycles; ++k) c->edge();
}

// Sends `sent` payloads into one stream and takes as many as come out of another, up to `wanted`, for at most `limit`
// cycles. Ports are given as payload, valid, ready. A source once valid stays so; pauses are chances in percent.
// A payload that changes while it waits ends the run. Returns the payloads taken; `cycles` tells how long it took from
// the first cycle to the last payload.
uint64_t component_stream(void* handle, const unsigned* in, const uint8_t* payloads, uint64_t sent, const unsigned* out,
                          uint8_t* results, uint64_t wanted, uint64_t limit, uint64_t seed, unsigned in_pause,
                          unsigned out_pause, uint64_t* cycles) {
    auto* c = static_cast<Component*>(handle);
    Random random(seed);
    auto bit = [&](unsigned port) -> uint8_t& { return *static_cast<uint8_t*>(c->ports[port].address); };
    const size_t in_size = storage(c->ports[in[0]].bits), out_size = storage(c->ports[out[0]].bits);
    uint64_t given = 0, taken = 0;
    bool waiting = false;
    *cycles = 0;
    for (uint64_t cycle = 0; cycle < limit && taken < wanted; ++cycle) {
        if (given < sent && !bit(in[1]) && !random.chance(in_pause)) {
            bit(in[1]) = 1;
            std::memcpy(c->ports[in[0]].address, payloads + given * in_size, in_size);
        }
        bit(out[2]) = !random.chance(out_pause);
        c->top->eval();
        if (bit(out[1])) {
            const void* shown = c->ports[out[0]].address;
            if (waiting && std::memcmp(results + taken * out_size, shown, out_size) != 0) return taken;
            std::memcpy(results + taken * out_size, shown, out_size);
            waiting = !bit(out[2]);
            if (!waiting) {
                ++taken;
                *cycles = cycle + 1;
            }
        } else if (waiting) {
            return taken;
        }
        const bool accepted = bit(in[1]) && bit(in[2]);
        c->edge();
        if (accepted) {
            ++given;
            bit(in[1]) = 0;
        }
    }
    bit(in[1]) = 0;
    bit(out[2]) = 0;
    c->top->eval();
    return taken;
}

}
