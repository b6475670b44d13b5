// The harness for designs that are not ours, and for waveforms: Verilator decides what a cycle has to evaluate.

#define WEFT_ANY_DESIGN
#include "harness.cpp"
