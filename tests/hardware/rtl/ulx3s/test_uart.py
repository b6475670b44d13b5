"""Bytes survive a line whose ends do not quite agree about time."""

import pytest
from amaranth import Module
from amaranth.sim import Simulator
from weft_hardware.rtl.ulx3s.uart import UartReceiver, UartTransmitter

pytestmark = pytest.mark.rtl

DATA = bytes([0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x7E, 0x3C])


@pytest.mark.parametrize("sender_hz", [0.98e6, 1e6, 1.02e6])
@pytest.mark.parametrize("divisor", [8, 25])
def test_bytes(divisor, sender_hz):
    """2 % off is more than two crystals are."""
    m = Module()
    m.submodules.transmitter = transmitter = UartTransmitter(divisor)
    received = []
    sender = Simulator(m)
    line = []

    async def send(ctx):
        for byte in DATA:
            ctx.set(transmitter.data, byte)
            ctx.set(transmitter.valid, 1)
            await ctx.tick().until(transmitter.ready)
        ctx.set(transmitter.valid, 0)
        await ctx.tick().repeat(12 * divisor)

    async def watch(ctx):
        async for *_, tx in ctx.tick().sample(transmitter.tx):
            line.append(tx)

    sender.add_clock(1e-6)
    sender.add_testbench(send)
    sender.add_process(watch)
    sender.run()

    receiver = UartReceiver(divisor)

    async def receive(ctx):
        cycle = 0
        while (at := int(cycle * sender_hz / 1e6)) < len(line):
            ctx.set(receiver.rx, line[at])
            await ctx.tick()
            if ctx.get(receiver.valid):
                received.append(ctx.get(receiver.data))
            cycle += 1

    simulator = Simulator(receiver)
    simulator.add_clock(1e-6)
    simulator.add_testbench(receive)
    simulator.run()
    assert bytes(received) == DATA
