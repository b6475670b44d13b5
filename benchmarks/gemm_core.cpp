// Drives the verilated GEMM core through a C ABI; a cycle is evaluated as tsim's harness does it.

#include <cstdint>
#include <cstring>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

void Vtop___024root___eval_ico(Vtop___024root*);
void Vtop___024root___eval_nba(Vtop___024root*);

// Verilator spells "__" as "___05F" in C++.
#define PORT(unit, name) top.unit##___05F##name

namespace {

struct Core {
    VerilatedContext context;
    Vtop top{&context, "top"};

    Core() {
        top.clk = 0;
        top.rst = 1;
        top.eval();
        cycle();
        top.rst = 0;
        settle();
    }
    ~Core() { top.final(); }

    void settle() {
        top.rootp->__VicoTriggered[0] = 1;
        Vtop___024root___eval_ico(top.rootp);
    }
    void rise() {
        top.rootp->__VnbaTriggered[0] = 1;
        Vtop___024root___eval_nba(top.rootp);
    }
    void cycle() {
        settle();
        rise();
    }
};

Core& of(void* handle) { return *static_cast<Core*>(handle); }

}  // namespace

extern "C" {
void* core_create() { return new Core; }
void core_destroy(void* handle) { delete static_cast<Core*>(handle); }
void core_write_inp(void* handle, unsigned index, const void* tile) {
    Vtop& top = of(handle).top;
    std::memcpy(&PORT(write_inp, tile), tile, sizeof PORT(write_inp, tile));
    PORT(write_inp, index) = index;
    PORT(write_inp, enable) = 1;
    of(handle).cycle();
    PORT(write_inp, enable) = 0;
    of(handle).settle();
}
void core_write_wgt(void* handle, unsigned index, const void* tile) {
    Vtop& top = of(handle).top;
    std::memcpy(&PORT(write_wgt, tile), tile, sizeof PORT(write_wgt, tile));
    PORT(write_wgt, index) = index;
    PORT(write_wgt, enable) = 1;
    of(handle).cycle();
    PORT(write_wgt, enable) = 0;
    of(handle).settle();
}
void core_read_acc(void* handle, unsigned index, void* tile) {
    Vtop& top = of(handle).top;
    PORT(read_acc, index) = index;
    PORT(read_acc, enable) = 1;
    of(handle).cycle();
    PORT(read_acc, enable) = 0;
    of(handle).settle();
    std::memcpy(tile, &PORT(read_acc, tile), sizeof PORT(read_acc, tile));
}
uint64_t core_run(void* handle, const void* nest) {
    Vtop& top = of(handle).top;
    std::memcpy(&top.nest, nest, sizeof top.nest);
    top.start = 1;
    of(handle).cycle();
    top.start = 0;
    of(handle).settle();
    uint64_t cycles = 1;
    for (; top.busy; ++cycles) of(handle).rise();
    return cycles;
}
}
