"""A tiny accelerator of one's own behind tsim's host and memory ports: c = a + b on vectors of 64-bit words.

Run it: ``python examples/vector_add.py``. docs/own_hardware.md explains the two ports.
"""

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from weft_hardware.config import AcceleratorConfig
from weft_hardware.registers import ADDRESS_BITS
from weft_hardware.rtl.axi import BURST_INCR, axi4, axi4_lite
from weft_hardware.rtl.host import HostPort
from weft_simulator.tsim.model import MemoryTiming
from weft_simulator.tsim.own_hardware import OwnHardware

CONTROL, A, B, C, WORDS = 0x00, 0x04, 0x08, 0x0C, 0x10
START = DONE = 1
WORD_BYTES = 8


class VectorAdd(wiring.Component):
    """Reads a word of each operand, adds, writes the sum, one after another; CONTROL reads DONE when all is written."""

    host: In(axi4_lite(ADDRESS_BITS))
    mem: Out(axi4(AcceleratorConfig(axi_data_bits=64)))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        mem, total, done = self.mem, Signal(64), Signal(init=1)
        m.submodules.port = port = HostPort()
        wiring.connect(m, wiring.flipped(self.host), port.host)
        registers = {offset: Signal(32, name=f"register_{offset:x}") for offset in (A, B, C, WORDS)}
        m.d.comb += [port.ready.eq(done), port.read_data.eq(done)]
        for offset, register in registers.items():
            with m.If(port.write & (port.write_word == offset // 4)):
                m.d.sync += register.eq(port.write_data)
        for prefix in ("ar", "aw"):
            m.d.comb += [getattr(mem, f"{prefix}size").eq(3), getattr(mem, f"{prefix}burst").eq(BURST_INCR)]
        m.d.comb += [mem.awaddr.eq(registers[C]), mem.wdata.eq(total), mem.wstrb.eq(0xFF), mem.wlast.eq(1)]

        with m.FSM():
            with m.State("IDLE"), m.If(port.write & (port.write_word == CONTROL // 4)):
                m.d.sync += [done.eq(0), total.eq(0)]
                m.next = "ASK_A"
            for operand, after in (("A", "ASK_B"), ("B", "ADDRESS")):
                address = registers[A if operand == "A" else B]
                with m.State(f"ASK_{operand}"):
                    m.d.comb += [mem.arvalid.eq(1), mem.araddr.eq(address)]
                    with m.If(mem.arready):
                        m.d.sync += address.eq(address + WORD_BYTES)
                        m.next = f"TAKE_{operand}"
                with m.State(f"TAKE_{operand}"):
                    m.d.comb += mem.rready.eq(1)
                    with m.If(mem.rvalid):
                        m.d.sync += total.eq(total + mem.rdata)
                        m.next = after
            with m.State("ADDRESS"):
                m.d.comb += mem.awvalid.eq(1)
                with m.If(mem.awready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += mem.wvalid.eq(1)
                with m.If(mem.wready):
                    m.d.sync += [registers[C].eq(registers[C] + WORD_BYTES), registers[WORDS].eq(registers[WORDS] - 1)]
                    m.next = "WRITTEN"
            with m.State("WRITTEN"):
                m.d.comb += mem.bready.eq(1)
                with m.If(mem.bvalid):
                    m.d.sync += [total.eq(0), done.eq(registers[WORDS] == 0)]
                    with m.If(registers[WORDS] == 0):
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "ASK_A"
        return m


def main() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 1 << 63, 1000, np.uint64) for _ in range(2))
    with OwnHardware(VectorAdd(), memory=MemoryTiming(read_latency=20)) as device:
        at = {offset: device.allocate(a.nbytes) for offset in (A, B, C)}
        device.write(at[A], a)
        device.write(at[B], b)
        for offset, address in at.items():
            device.write_register(offset, address)
        device.write_register(WORDS, len(a))
        device.write_register(CONTROL, START)
        cycles = device.run_until(CONTROL, DONE)
        c = device.read(at[C], a.nbytes).view(np.uint64)
    assert np.array_equal(c, a + b)
    print(f"{len(a)} sums in {cycles} cycles, all as numpy has them")


if __name__ == "__main__":
    main()
