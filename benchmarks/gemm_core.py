"""The yardstick of tsim's speed: a bare 1×16×16 GEMM core, which does nothing but multiply what its memories hold.

A sequencer, three memories, the multiply-accumulate array of the accelerator, and an adder: what no accelerator of this
kind can do without. It goes through the accelerator's own tools with the accelerator's own flags.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray
from weft_hardware.presets import BASE
from weft_hardware.rtl import verilog
from weft_hardware.rtl.gemm import MAC_LATENCY, MacArray, acc_tile_layout
from weft_hardware.rtl.scratchpad import scratchpad_read
from weft_hardware.rtl.signatures import scratchpad_write
from weft_simulator.tsim.build import Builder

LOOPS = ("outer", "middle", "inner")
OPERANDS = ("dst", "src", "wgt")
INDEX_BITS = 11
COUNT_BITS = 14

_HARNESS = Path(__file__).with_suffix(".cpp")


def nest_layout() -> data.StructLayout:
    """Three loops: their iterations less one, and what each operand's index grows by at a step of each."""
    counts = {loop: COUNT_BITS for loop in LOOPS}
    return data.StructLayout({**counts, **{f"{op}_{loop}": INDEX_BITS for loop in LOOPS for op in OPERANDS}})


class GemmCore(wiring.Component):
    """``acc[dst] += inp[src] · wgt[wgt]ᵀ`` over a loop nest, one step a cycle, for any sequence of indices.

    The memories hold 2,048 inp tiles, 1,024 wgt tiles and 2,048 acc tiles; indices wrap.

    Attributes
    ----------
    start : In(1)
        Takes ``nest`` while idle.
    nest : In(nest_layout)
        Indices start at 0. At a loop's step each index grows by the loop's amount from where that loop's iteration
        began; loops inside start again from there.
    write_inp, write_wgt : scratchpad_write
    read_acc : scratchpad_read
        Used while idle; latency 1.
    busy : Out(1)
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "nest": In(nest_layout()),
                "write_inp": In(scratchpad_write(BASE.inp_index_bits, BASE.inp_tile_bits)),
                "write_wgt": In(scratchpad_write(BASE.wgt_index_bits, BASE.wgt_tile_bits)),
                "read_acc": In(scratchpad_read(BASE.acc_index_bits, BASE.acc_tile_bits)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        running = Signal()
        index = self._count(m, running)
        stages = [running, *(Signal(name=f"valid{k}") for k in range(1, MAC_LATENCY + 3))]
        places = [index["dst"], *(Signal(INDEX_BITS, name=f"dst{k}") for k in range(1, MAC_LATENCY + 3))]
        for earlier, later, place, next_place in zip(stages, stages[1:], places, places[1:], strict=False):
            m.d.sync += later.eq(earlier)
            with m.If(earlier):
                m.d.sync += next_place.eq(place)
        m.d.comb += self.busy.eq(Cat(stages).any())

        m.submodules.macs = macs = MacArray(BASE)
        for name, port, words in (("inp", self.write_inp, macs.inp), ("wgt", self.write_wgt, macs.wgt)):
            depth = getattr(BASE, f"{name}_depth")
            m.submodules[name] = tiles = memory.Memory(shape=len(words.as_value()), depth=depth, init=[])
            write, read = tiles.write_port(), tiles.read_port()
            m.d.comb += [write.en.eq(port.enable), write.addr.eq(port.index), write.data.eq(port.tile)]
            m.d.comb += [read.en.eq(running), read.addr.eq(index["src" if name == "inp" else name])]
            m.d.comb += words.as_value().eq(read.data)
        m.d.comb += macs.valid.eq(stages[1])
        self._accumulate(m, macs.sums, stages[MAC_LATENCY:], places[MAC_LATENCY:])
        return m

    def _count(self, m: Module, running: Signal) -> dict[str, Signal]:
        """Steps the loops while ``running``; returns the indices."""
        nest = Signal(nest_layout())
        left = {loop: Signal(COUNT_BITS, name=f"{loop}_left") for loop in LOOPS}
        ends = {"inner": left["inner"] == 0}
        ends["middle"] = ends["inner"] & (left["middle"] == 0)
        ends["outer"] = ends["middle"] & (left["outer"] == 0)
        with m.If(running):
            m.d.sync += left["inner"].eq(Mux(ends["inner"], nest.inner, left["inner"] - 1))
            with m.If(ends["inner"]):
                m.d.sync += left["middle"].eq(Mux(ends["middle"], nest.middle, left["middle"] - 1))
            with m.If(ends["middle"]):
                m.d.sync += left["outer"].eq(left["outer"] - 1)
            with m.If(ends["outer"]):
                m.d.sync += running.eq(0)
        with m.Elif(self.start):
            m.d.sync += [running.eq(1), nest.eq(self.nest)]
            m.d.sync += [left[loop].eq(self.nest[loop]) for loop in LOOPS]

        indices = {}
        for op in OPERANDS:
            begins = {loop: Signal(INDEX_BITS, name=f"{op}_{loop}") for loop in LOOPS}
            with m.If(running):
                with m.If(ends["outer"]):
                    m.d.sync += [begins[loop].eq(0) for loop in LOOPS]
                with m.Elif(ends["middle"]):
                    m.d.sync += [begins[loop].eq(begins["outer"] + nest[f"{op}_outer"]) for loop in LOOPS]
                with m.Elif(ends["inner"]):
                    step = begins["middle"] + nest[f"{op}_middle"]
                    m.d.sync += [begins[loop].eq(step) for loop in ("middle", "inner")]
                with m.Else():
                    m.d.sync += begins["inner"].eq(begins["inner"] + nest[f"{op}_inner"])
            indices[op] = begins["inner"]
        return indices

    def _accumulate(self, m: Module, sums: data.View, stages: list[Signal], places: list[Signal]) -> None:
        """Reads an accumulator while its sums are registered, adds, and writes in the next cycle but one."""
        layout = acc_tile_layout(BASE)
        m.submodules.acc = tiles = memory.Memory(shape=BASE.acc_tile_bits, depth=BASE.acc_depth, init=[])
        write, read = tiles.write_port(), tiles.read_port()
        reads, adds, writes = stages
        total, late = Signal(layout, reset_less=True), Signal(layout, reset_less=True)
        near, far = Signal(), Signal()
        m.d.comb += [
            read.en.eq(reads | self.read_acc.enable),
            read.addr.eq(Mux(reads, places[0], self.read_acc.index)),
            self.read_acc.tile.eq(read.data),
            write.en.eq(writes),
            write.addr.eq(places[2]),
            write.data.eq(total),
        ]
        m.d.sync += [near.eq(adds & (places[0] == places[1])), far.eq(writes & (places[0] == places[2]))]
        with m.If(reads & writes & (places[0] == places[2])):
            m.d.sync += late.eq(total)
        bank, operand = data.View(layout, read.data), Signal(layout)
        m.d.comb += operand.eq(Mux(near, total, Mux(far, late, bank)))
        with m.If(adds):
            for column in range(BASE.block_out):
                m.d.sync += total[0][column].eq(operand[0][column] + sums[0][column])


class VerilatedCore:
    """One `GemmCore`, built like the accelerator's simulator.

    Parameters
    ----------
    rewritten : bool
        Rewrite Verilator's C++ as the accelerator's is. The yardstick is what Verilator writes.
    """

    def __init__(self, rewritten: bool = False) -> None:
        text = verilog.to_rtlil(GemmCore())
        library = Builder(rests=rewritten).library(text, lambda: verilog.to_verilog(text), _HARNESS)
        self._abi = ctypes.CDLL(str(library))
        self._abi.core_create.restype = ctypes.c_void_p
        self._abi.core_run.restype = ctypes.c_uint64
        self._handle = ctypes.c_void_p(self._abi.core_create())

    def close(self) -> None:
        self._abi.core_destroy(self._handle)

    def write(self, inp: NDArray[np.int8], wgt: NDArray[np.int8]) -> None:
        """Fill the memories: (tiles, 16) inp elements, (tiles, 16, 16) wgt elements."""
        for index, tile in enumerate(np.ascontiguousarray(inp)):
            self._abi.core_write_inp(self._handle, index, ctypes.c_void_p(tile.ctypes.data))
        for index, tile in enumerate(np.ascontiguousarray(wgt)):
            self._abi.core_write_wgt(self._handle, index, ctypes.c_void_p(tile.ctypes.data))

    def run(self, counts: tuple[int, int, int], growth: dict[str, tuple[int, int, int]]) -> int:
        """Run a loop nest, outermost first, until its last result is written; returns cycles."""
        fields = {loop: count - 1 for loop, count in zip(LOOPS, counts, strict=True)}
        for op, steps in growth.items():
            fields |= {f"{op}_{loop}": step for loop, step in zip(LOOPS, steps, strict=True)}
        bits = nest_layout().const(fields).as_value().value
        words = np.frombuffer(bits.to_bytes(20, "little"), np.uint32)
        return self._abi.core_run(self._handle, ctypes.c_void_p(words.ctypes.data))

    def accumulators(self, tiles: int) -> NDArray[np.int32]:
        """The first tiles, (tiles, 16)."""
        result = np.empty((tiles, BASE.block_out), np.int32)
        for index, tile in enumerate(result):
            self._abi.core_read_acc(self._handle, index, ctypes.c_void_p(tile.ctypes.data))
        return result
