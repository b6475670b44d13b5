// Drives one verilated accelerator through a C ABI: clock, AXI4-Lite host, AXI4 memory over a caller's buffer.
//
// A cycle: the harness drives its outputs, lets combinational paths settle, samples every handshake, and raises clk.
// So a handshake sampled at cycle t is answered at cycle t + 1 + latency at the earliest.
// One protocol violation by the accelerator ends the run; its sentence is kept in `violation`.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "fst/weft_compress.h"
#include "verilated_fst_c.h"
using WaveFile = VerilatedFstC;
extern "C" WeftCompressor weft_compressor = nullptr;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using WaveFile = VerilatedVcdC;
#endif

// Two parts of Vtop::eval(). The design's one event is clk's rise and clk reaches registers only, so inputs that change
// while clk rests need the paths from inputs alone, and an edge needs the registers, and what hangs on them, alone.
// Everything else in eval() finds that out anew, twice a cycle.
#ifndef WEFT_ANY_DESIGN
void Vtop___024root___eval_ico(Vtop___024root*);
void Vtop___024root___eval_nba(Vtop___024root*);
#endif

// Verilator spells "__" as "___05F" in C++.
#define HOST(name) top->host___05F##name
#define MEM(name) top->mem___05F##name

extern "C" {
// Mirrored by `model.Settings`.
struct WeftSettings {
    uint64_t read_latency;
    uint64_t write_latency;
    uint64_t random_seed;    // of stalls and reordering
    uint64_t stall_percent;  // chance that a channel pauses in a cycle
    uint64_t out_of_order;   // answers of different ids may overtake each other
    uint64_t error_begin;    // SLVERR for bytes [error_begin, error_end)
    uint64_t error_end;
    uint64_t bytes_per_cycle;  // of data each way; 0: a beat
};
// Mirrored by `model._Injection`: what the memory does wrong. Numbers count from the moment it is set.
struct WeftInjection {
    uint64_t read_beat;      // this beat is answered with read_response
    uint64_t read_response;
    uint64_t write_burst;    // nothing of this burst is written, it is answered with write_response
    uint64_t write_response;
    uint64_t hang_channels;  // of `Channel`: nothing more happens on them
    uint64_t hang_after;     // after so many handshakes on the memory port
};
// Mirrored by `model.Traffic`: handshakes since the counts were last cleared, with the cycles of the first and the last.
struct WeftTraffic {
    uint64_t bursts;
    uint64_t first_burst;
    uint64_t beats;
    uint64_t last_beat;
};
}

namespace {

constexpr unsigned kBeatBytes = sizeof(Vtop::mem___05Fwdata);
constexpr unsigned kPageBytes = 4096;
constexpr unsigned kHostPatience = 10000;  // cycles until an unanswered host access is a violation
constexpr unsigned kPollPeriod = 64;       // cycles between two looks at the polled register, at least,
constexpr unsigned kPollShare = 32;        // and this part of the run so far: a look costs as much as some cycles
constexpr unsigned kIds = 16;              // of reads; traffic index of the writes too
enum Response : uint8_t { kOkay = 0, kSlaveError = 2, kDecodeError = 3 };
enum Channel : unsigned { kAr = 1, kR = 2, kAw = 4, kW = 8, kB = 16 };
enum Outcome : int { kLimit = 0, kHit = 1, kViolation = 2 };

constexpr WeftInjection kNoInjection = {~uint64_t(0), 0, ~uint64_t(0), 0, 0, 0};

constexpr unsigned log2_of(unsigned value) { return value <= 1 ? 0 : 1 + log2_of(value / 2); }

class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0xD1B54A32D192ED03ull) {}
    uint32_t next() {  // xorshift64*
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<uint32_t>((state_ * 0x2545F4914F6CDD1Dull) >> 32);
    }
    uint32_t below(uint32_t bound) { return next() % bound; }

  private:
    uint64_t state_;
};

struct Burst {
    uint64_t address;  // of the next beat, aligned to the beat
    unsigned beats;    // left
    unsigned id;
    uint64_t ready_at;  // first cycle in which its answer may be valid
    uint8_t response;   // writes: the worst so far
    bool refused;       // writes: by injection
};

// What a valid-ready source showed in a cycle in which it was not taken: it has to show the same in the next one.
template <typename Payload>
struct Pending {
    bool waiting = false;
    Payload payload{};
};

struct AddressPayload {
    uint64_t address;
    unsigned length, size, burst, id;
    bool operator==(const AddressPayload& o) const {
        return address == o.address && length == o.length && size == o.size && burst == o.burst && id == o.id;
    }
};

struct Beat {
    uint8_t data[kBeatBytes];
    uint64_t strobe;
    bool last;
    bool operator==(const Beat& o) const {
        return std::memcmp(data, o.data, kBeatBytes) == 0 && strobe == o.strobe && last == o.last;
    }
};

// A design may do without an interrupt output.
template <typename Design>
auto irq_of(Design* design, int) -> decltype(int(design->irq)) {
    return design->irq;
}
template <typename Design>
int irq_of(Design*, ...) {
    return 0;
}

class Harness {
  public:
    Harness(uint8_t* dram, uint64_t base, uint64_t size, const WeftSettings& settings)
        : dram_(dram), base_(base), size_(size), settings_(settings), random_(settings.random_seed) {
        const char* arguments[] = {"weft"};
        context_.commandArgs(1, arguments);
#if VM_TRACE
        context_.traceEverOn(true);
#endif
        top = std::make_unique<Vtop>(&context_, "top");
        top->clk = 0;
        top->rst = 1;
        set(HOST(awprot), 0);
        set(HOST(arprot), 0);
        set(HOST(wstrb), 0xF);
        top->eval();  // initial values
    }
    ~Harness() {
        stop_wave();
        top->final();
    }

#if VM_TRACE
    // Cycles [begin, end) from now on, two units of time each: before and after the clock's rise.
    bool start_wave(const char* path, uint64_t begin, uint64_t end) {
        wave_ = std::make_unique<WaveFile>();
        top->trace(wave_.get(), 99);
        wave_->open(path);
        wave_begin_ = now + begin;
        wave_end_ = end == ~uint64_t(0) ? end : now + end;
        return wave_->isOpen();
    }
    void stop_wave() {
        if (wave_) wave_->close();
        wave_.reset();
    }
#else
    bool start_wave(const char*, uint64_t, uint64_t) { return false; }
    void stop_wave() {}
#endif

    uint64_t now = 0;
    uint64_t bad_address = 0;
    bool has_bad_address = false;
    WeftTraffic traffic[kIds + 1] = {};  // reads by id, then writes
    std::string violation;

    void inject(const WeftInjection& injection) {
        injection_ = injection;
        read_beats_ = write_bursts_ = handshakes_ = 0;
        dead_ = injection.hang_after == 0 ? injection.hang_channels : 0;
    }

    // Empties the memory's pipelines; the buffer and the accelerator's memories keep their content.
    void reset(unsigned cycles) {
        inject(kNoInjection);
        reads_.clear();
        writes_.clear();
        early_beats_.clear();
        answers_.clear();
        read_shown_ = answer_shown_ = false;
        read_pending_.waiting = write_pending_.waiting = data_pending_.waiting = false;
        read_budget_ = write_budget_ = 0;
        has_bad_address = false;
        violation.clear();
        set(HOST(awvalid), 0);
        set(HOST(wvalid), 0);
        set(HOST(bready), 0);
        set(HOST(arvalid), 0);
        set(HOST(rready), 0);
        set(MEM(arready), 0);
        set(MEM(awready), 0);
        set(MEM(wready), 0);
        set(MEM(rvalid), 0);
        set(MEM(bvalid), 0);
        set(top->rst, 1);
        for (unsigned k = 0; k < cycles; ++k) {
            settle();
            rise();
        }
        set(top->rst, 0);
    }

    bool write(uint32_t offset, uint32_t value) {
        set(HOST(awaddr), offset);
        set(HOST(wdata), value);
        set(HOST(awvalid), 1);
        set(HOST(wvalid), 1);
        set(HOST(bready), 1);
        for (unsigned waited = 0; waited < kHostPatience && violation.empty(); ++waited) {
            drive();
            settle();
            sample();
            const bool address_taken = HOST(awvalid) && HOST(awready);
            const bool data_taken = HOST(wvalid) && HOST(wready);
            const bool answered = HOST(bvalid);
            const unsigned response = HOST(bresp);
            rise();
            if (address_taken) set(HOST(awvalid), 0);
            if (data_taken) set(HOST(wvalid), 0);
            if (!answered) continue;
            set(HOST(bready), 0);
            if (HOST(awvalid) || HOST(wvalid)) violate("host write was answered before it was taken");
            if (response != kOkay) violate("host write was answered with an error");
            return violation.empty();
        }
        violate("host write was never answered");
        return false;
    }

    bool read(uint32_t offset, uint32_t* value) {
        start_read(offset);
        for (unsigned waited = 0; waited < kHostPatience && violation.empty(); ++waited)
            if (step_read(value)) return violation.empty();
        violate("host read was never answered");
        return false;
    }

    int irq() const { return irq_of(top.get(), 0); }

    // Runs until a register shows one of the masked bits or so many cycles are over.
    int run(uint32_t offset, uint32_t mask, uint64_t cycles, uint32_t* value) {
        const uint64_t begin = now, end = now + cycles;
        while (violation.empty()) {
            if (!read(offset, value)) break;
            if (*value & mask) return kHit;
            if (now >= end) return kLimit;
            const uint64_t pause = std::max<uint64_t>(kPollPeriod, (now - begin) / kPollShare);
            for (uint64_t stop = std::min(end, now + pause); now < stop && violation.empty();) {
                drive();
                settle();
                sample();
                rise();
            }
        }
        return kViolation;
    }

  private:
    VerilatedContext context_;
    std::unique_ptr<Vtop> top;
#if VM_TRACE
    std::unique_ptr<WaveFile> wave_;
    uint64_t wave_begin_ = 0, wave_end_ = 0;
#endif
    uint8_t* dram_;
    uint64_t base_, size_;
    WeftSettings settings_;
    Random random_;
    std::deque<Burst> reads_, writes_, answers_;
    std::deque<Beat> early_beats_;  // data that came before its address
    size_t read_index_ = 0, answer_index_ = 0;
    bool read_shown_ = false, answer_shown_ = false;
    WeftInjection injection_ = kNoInjection;
    uint64_t read_budget_ = 0, write_budget_ = 0;
    uint64_t read_beats_ = 0, write_bursts_ = 0, handshakes_ = 0;
    unsigned dead_ = 0;  // channels that hang now
    Pending<AddressPayload> read_pending_, write_pending_;
    Pending<Beat> data_pending_;
    bool settled_ = false;

    // Inputs are set through this.
    template <typename Port, typename Value>
    void set(Port& port, Value value) {
        if (port == static_cast<Port>(value)) return;
        port = static_cast<Port>(value);
        settled_ = false;
    }

    // Needed only where an input changed since the last time: an edge leaves all paths settled for the inputs it saw.
    void settle() {
        if (settled_) return;
        settled_ = true;
#ifdef WEFT_ANY_DESIGN
        top->eval();
#else
        top->rootp->__VicoTriggered[0] = 1;
        Vtop___024root___eval_ico(top->rootp);
#endif
    }
    void rise() {
#ifdef WEFT_ANY_DESIGN
        dump(2 * now);
        top->clk = 1;
        top->eval();
        dump(2 * now + 1);
        top->clk = 0;
        top->eval();
#else
        top->rootp->__VnbaTriggered[0] = 1;
        Vtop___024root___eval_nba(top->rootp);
#endif
        ++now;
    }

#if VM_TRACE
    void dump(uint64_t time) {
        if (wave_ && now >= wave_begin_ && now < wave_end_) wave_->dump(time);
        if (wave_ && now >= wave_end_) stop_wave();
    }
#else
    void dump(uint64_t) {}
#endif

    void violate(const std::string& what) {
        if (violation.empty()) violation = "cycle " + std::to_string(now) + ": " + what;
    }

    void start_read(uint32_t offset) {
        set(HOST(araddr), offset);
        set(HOST(arvalid), 1);
        set(HOST(rready), 1);
    }
    bool step_read(uint32_t* value) {
        drive();
        settle();
        sample();
        const bool taken = HOST(arvalid) && HOST(arready);
        const bool answered = HOST(rvalid);
        const unsigned response = HOST(rresp);
        *value = HOST(rdata);
        rise();
        if (taken) set(HOST(arvalid), 0);
        if (!answered) return false;
        set(HOST(rready), 0);
        if (HOST(arvalid)) violate("host read was answered before it was taken");
        if (response != kOkay) violate("host read was answered with an error");
        return true;
    }

    bool stalled() { return settings_.stall_percent && random_.below(100) < settings_.stall_percent; }

    // Bytes that may move in this cycle, each way; what is left over counts for the next, but a burst is not saved for.
    void save_up() {
        const uint64_t rate = settings_.bytes_per_cycle ? settings_.bytes_per_cycle : kBeatBytes;
        const uint64_t most = kBeatBytes - 1 + rate;
        read_budget_ = std::min(read_budget_ + rate, most);
        write_budget_ = std::min(write_budget_ + rate, most);
    }

    // The memory's outputs for this cycle.
    void drive() {
        set(MEM(arready), !(dead_ & kAr) && !stalled());
        set(MEM(awready), !(dead_ & kAw) && !stalled());
        save_up();
        set(MEM(wready), !(dead_ & kW) && write_budget_ >= kBeatBytes && !stalled());
        if (!read_shown_ && read_budget_ >= kBeatBytes && !reads_.empty() && !(dead_ & kR) && !stalled() && choose(reads_, &read_index_)) show_read();
        if (!answer_shown_ && !answers_.empty() && !(dead_ & kB) && !stalled() && choose(answers_, &answer_index_)) {
            set(MEM(bid), answers_[answer_index_].id);
            set(MEM(bresp), answers_[answer_index_].response);
            answer_shown_ = true;
        }
        set(MEM(rvalid), read_shown_);
        set(MEM(bvalid), answer_shown_);
    }

    // The burst to answer now: the oldest, or out of order any due one that is the oldest of its id.
    bool choose(const std::deque<Burst>& bursts, size_t* index) {
        *index = 0;
        if (!settings_.out_of_order) return bursts.front().ready_at <= now;
        std::vector<size_t> candidates;
        uint64_t seen = 0;
        for (size_t k = 0; k < bursts.size(); ++k) {
            const uint64_t bit = 1ull << (bursts[k].id & 63);
            if (!(seen & bit) && bursts[k].ready_at <= now) candidates.push_back(k);
            seen |= bit;
        }
        if (candidates.empty()) return false;
        *index = candidates[random_.below(candidates.size())];
        return true;
    }

    void show_read() {
        const Burst& burst = reads_[read_index_];
        const Span inside = clip(burst.address);
        Response response = check(burst.address, inside.bytes > 0);
        if (read_beats_++ == injection_.read_beat) response = static_cast<Response>(injection_.read_response);
        uint8_t data[kBeatBytes] = {};
        if (response == kOkay) std::memcpy(data + inside.lane, dram_ + inside.offset, inside.bytes);
        std::memcpy(&MEM(rdata), data, kBeatBytes);
        settled_ = false;
        set(MEM(rid), burst.id);
        set(MEM(rresp), response);
        set(MEM(rlast), burst.beats == 1);
        read_shown_ = true;
        read_budget_ -= kBeatBytes;
    }

    // The part of a beat that lies in the buffer. The accelerator reads whole beats, so a beat that the buffer fills in
    // part is answered, with zeros around; a write outside is refused byte by byte.
    struct Span {
        unsigned lane, bytes;
        uint64_t offset;
    };
    Span clip(uint64_t address) const {
        const uint64_t first = std::max(address, base_), last = std::min(address + kBeatBytes, base_ + size_);
        if (first >= last) return {0, 0, 0};
        return {unsigned(first - address), unsigned(last - first), first - base_};
    }
    uint64_t lanes(const Span& span) const {
        const uint64_t ones = span.bytes == 64 ? ~uint64_t(0) : (uint64_t(1) << span.bytes % 64) - 1;
        return ones << span.lane;
    }

    Response check(uint64_t address, bool inside) {
        if (!inside) {
            if (!has_bad_address) {
                has_bad_address = true;
                bad_address = address;
            }
            return kDecodeError;
        }
        return address < settings_.error_end && address + kBeatBytes > settings_.error_begin ? kSlaveError : kOkay;
    }

    // The accelerator's outputs in this cycle, and what was taken of ours.
    void sample() {
        if (MEM(arvalid) || read_pending_.waiting) {
            const AddressPayload payload{MEM(araddr), MEM(arlen), MEM(arsize), MEM(arburst), MEM(arid)};
            watch("AR", read_pending_, MEM(arvalid), MEM(arready), payload);
            if (MEM(arvalid) && MEM(arready)) {
                reads_.push_back(accept("AR", payload, now + 1 + settings_.read_latency));
                count_burst(traffic[payload.id % kIds]);
                moved();
            }
        }
        if (MEM(awvalid) || write_pending_.waiting) {
            const AddressPayload payload{MEM(awaddr), MEM(awlen), MEM(awsize), MEM(awburst), MEM(awid)};
            watch("AW", write_pending_, MEM(awvalid), MEM(awready), payload);
            if (MEM(awvalid) && MEM(awready)) {
                writes_.push_back(accept("AW", payload, 0));
                writes_.back().refused = write_bursts_++ == injection_.write_burst;
                count_burst(traffic[kIds]);
                moved();
                while (!early_beats_.empty() && !writes_.empty()) {
                    store(early_beats_.front());
                    early_beats_.pop_front();
                }
            }
        }
        if (MEM(wvalid) || data_pending_.waiting) {
            Beat beat;
            std::memcpy(beat.data, &MEM(wdata), kBeatBytes);
            beat.strobe = MEM(wstrb);
            beat.last = MEM(wlast);
            watch("W", data_pending_, MEM(wvalid), MEM(wready), beat);
            if (MEM(wvalid) && MEM(wready)) {
                count_beat(traffic[kIds]);
                moved();
                write_budget_ -= kBeatBytes;
                if (writes_.empty())
                    early_beats_.push_back(beat);
                else
                    store(beat);
            }
        }
        if (read_shown_ && MEM(rready)) {
            read_shown_ = false;
            Burst& burst = reads_[read_index_];
            count_beat(traffic[burst.id % kIds]);
            moved();
            burst.address += kBeatBytes;
            if (--burst.beats == 0) reads_.erase(reads_.begin() + read_index_);
        }
        if (answer_shown_ && MEM(bready)) {
            answer_shown_ = false;
            moved();
            answers_.erase(answers_.begin() + answer_index_);
        }
    }

    void moved() {
        if (++handshakes_ == injection_.hang_after) dead_ = injection_.hang_channels;
    }
    void count_burst(WeftTraffic& traffic) const {
        if (!traffic.bursts++) traffic.first_burst = now;
    }
    void count_beat(WeftTraffic& traffic) const {
        ++traffic.beats;
        traffic.last_beat = now;
    }

    template <typename Payload>
    void watch(const char* channel, Pending<Payload>& pending, bool valid, bool ready, const Payload& payload) {
        if (pending.waiting && !valid) violate(std::string(channel) + "VALID fell before " + channel + "READY");
        if (pending.waiting && valid && !(payload == pending.payload))
            violate(std::string(channel) + " changed while it waited for " + channel + "READY");
        pending.waiting = valid && !ready;
        pending.payload = payload;
    }

    Burst accept(const char* channel, const AddressPayload& payload, uint64_t ready_at) {
        const uint64_t first = payload.address & ~uint64_t(kBeatBytes - 1);
        const unsigned beats = payload.length + 1;
        char text[64];
        std::snprintf(text, sizeof text, "%s burst of %u beats at %#llx ", channel, beats,
                      static_cast<unsigned long long>(payload.address));
        if (payload.burst != 1) violate(text + std::string("is not INCR"));
        if (payload.size != log2_of(kBeatBytes)) violate(text + std::string("is narrower or wider than the bus"));
        if ((first & (kPageBytes - 1)) + uint64_t(beats) * kBeatBytes > kPageBytes)
            violate(text + std::string("crosses a 4 KiB boundary"));
        return Burst{first, beats, payload.id, ready_at, kOkay, false};
    }

    // One beat of the oldest accepted write.
    void store(const Beat& beat) {
        Burst& burst = writes_.front();
        if (beat.last != (burst.beats == 1)) violate("WLAST does not come with the burst's last beat");
        Response response = kOkay;
        if (burst.refused)
            response = static_cast<Response>(injection_.write_response);
        else if (beat.strobe)
            response = store_bytes(burst.address, beat);
        burst.response = std::max<uint8_t>(burst.response, response);
        burst.address += kBeatBytes;
        if (--burst.beats == 0) {
            burst.ready_at = now + 1 + settings_.write_latency;
            answers_.push_back(burst);
            writes_.pop_front();
        }
    }

    Response store_bytes(uint64_t address, const Beat& beat) {
        const Span inside = clip(address);
        const Response response = check(address, (beat.strobe & ~lanes(inside)) == 0);
        if (response != kOkay) return response;
        uint8_t* target = dram_ + inside.offset;
        if (inside.bytes == kBeatBytes && beat.strobe == lanes(inside)) {
            std::memcpy(target, beat.data, kBeatBytes);
            return response;
        }
        for (unsigned k = 0; k < inside.bytes; ++k)
            if (beat.strobe >> (inside.lane + k) & 1) target[k] = beat.data[inside.lane + k];
        return response;
    }
};

}  // namespace

extern "C" {

void* weft_create(uint8_t* dram, uint64_t base, uint64_t size, const WeftSettings* settings) {
    return new Harness(dram, base, size, *settings);
}
void weft_destroy(void* handle) { delete static_cast<Harness*>(handle); }
void weft_inject(void* handle, const WeftInjection* injection) { static_cast<Harness*>(handle)->inject(*injection); }
int weft_irq(void* handle) { return static_cast<Harness*>(handle)->irq(); }
void weft_reset(void* handle, uint32_t cycles) { static_cast<Harness*>(handle)->reset(cycles); }
int weft_write(void* handle, uint32_t offset, uint32_t value) {
    return static_cast<Harness*>(handle)->write(offset, value);
}
int weft_read(void* handle, uint32_t offset, uint32_t* value) {
    return static_cast<Harness*>(handle)->read(offset, value);
}
int weft_run(void* handle, uint32_t offset, uint32_t mask, uint64_t cycles, uint32_t* value) {
    return static_cast<Harness*>(handle)->run(offset, mask, cycles, value);
}
int weft_wave(void* handle, const char* path, uint64_t begin, uint64_t end) {
    return static_cast<Harness*>(handle)->start_wave(path, begin, end);
}
void weft_wave_stop(void* handle) { static_cast<Harness*>(handle)->stop_wave(); }
uint64_t weft_cycles(void* handle) { return static_cast<Harness*>(handle)->now; }
const char* weft_violation(void* handle) { return static_cast<Harness*>(handle)->violation.c_str(); }
void weft_traffic(void* handle, uint32_t index, WeftTraffic* traffic) {
    *traffic = static_cast<Harness*>(handle)->traffic[index % (kIds + 1)];
}
void weft_clear_traffic(void* handle) {
    for (WeftTraffic& traffic : static_cast<Harness*>(handle)->traffic) traffic = {};
}
int weft_bad_address(void* handle, uint64_t* address) {
    const Harness* harness = static_cast<Harness*>(handle);
    *address = harness->bad_address;
    return harness->has_bad_address;
}
}
