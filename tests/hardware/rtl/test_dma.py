"""The DMA engines: burst rules, out-of-order answers, fairness, acknowledgements, errors."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from support.bench import TINY, seeded, simulate
from support.bursts import CONFIGS, check_burst, cut, draw_ranges
from weft_hardware.rtl.dma import ReadEngine, WriteEngine


def beat_starts(address, nbytes, axi_bytes):
    return list(range(address // axi_bytes * axi_bytes, address + nbytes, axi_bytes))


@pytest.mark.parametrize("name", CONFIGS)
def test_reads_come_back_to_their_client(name):
    """Bursts of different clients are answered in any order and interleaved by burst; of one client, in order."""
    config, rng = CONFIGS[name], seeded(1)
    clients, axi_bytes = 3, config.axi_bytes
    dut = ReadEngine(config, clients)
    requests = [deque(burst for r in draw_ranges(rng, 5) for burst in cut(config, *r)) for _ in range(clients)]
    expected = [deque(b + k * axi_bytes for b, length in queue for k in range(length + 1)) for queue in requests]

    async def testbench(ctx):
        bursts: list[deque[tuple[int, int]]] = [deque() for _ in range(clients)]
        answering, position, highest = None, 0, 0
        for _ in range(200_000):
            bus = dut.bus
            for n in range(clients):
                port = getattr(dut, f"client_{n}")
                ctx.set(port.request.valid, bool(requests[n]))
                if requests[n]:
                    ctx.set(port.request.payload.address, requests[n][0][0])
                    ctx.set(port.request.payload.length, requests[n][0][1])
            ctx.set(bus.arready, rng.random() < 0.7)
            waiting = [n for n in range(clients) if bursts[n]]
            if answering is None and waiting and rng.random() < 0.6:
                answering, position = rng.choice(waiting), 0
            ctx.set(bus.rvalid, answering is not None)
            if answering is not None:
                start, length = bursts[answering][0]
                address = start + position * axi_bytes
                ctx.set(bus.rid, answering)
                ctx.set(bus.rdata, address)
                ctx.set(bus.rlast, position == length)

            for n in range(clients):
                port = getattr(dut, f"client_{n}")
                if requests[n] and ctx.get(port.request.ready):
                    requests[n].popleft()
                if ctx.get(port.beats.valid):
                    assert n == answering
                    assert ctx.get(port.beats.payload.data) == expected[n].popleft()
            assert ctx.get(bus.rready)
            if answering is not None:
                position += 1
                if position > bursts[answering][0][1]:
                    bursts[answering].popleft()
                    answering = None
            if ctx.get(bus.arvalid) and ctx.get(bus.arready):
                burst = ctx.get(bus.araddr), ctx.get(bus.arlen)
                check_burst(config, *burst, ctx.get(bus.arsize), ctx.get(bus.arburst))
                bursts[ctx.get(bus.arid)].append(burst)
            highest = max(highest, sum(map(len, bursts)))
            await ctx.tick()
            if not any(expected):
                break
        assert not any(expected)
        assert highest <= config.reads_in_flight
        assert not ctx.get(dut.busy)

    simulate(dut, testbench)


def test_all_clients_get_their_turn():
    """Three clients with endless single-beat bursts get a third of the bus each."""
    config = replace(TINY, max_burst=16, reads_in_flight=64)
    dut = ReadEngine(config, 3)
    granted = [0, 0, 0]

    async def testbench(ctx):
        for n in range(3):
            ctx.set(getattr(dut, f"client_{n}").request.valid, 1)
        ctx.set(dut.bus.arready, 1)
        for _ in range(40):
            if ctx.get(dut.bus.arvalid):
                granted[ctx.get(dut.bus.arid)] += 1
            await ctx.tick()

    simulate(dut, testbench)
    assert max(granted) - min(granted) <= 1
    assert sum(granted) >= 38, "a burst a cycle"


def test_read_error_names_its_burst():
    config = CONFIGS["64 bits, 16 beats"]
    dut = ReadEngine(config, 2)

    async def testbench(ctx):
        port, bus = dut.client_1, dut.bus
        ctx.set(bus.arready, 1)
        ctx.set(port.request.valid, 1)
        ctx.set(port.request.payload.length, 15)
        for address in (0x1000, 0x1080):
            ctx.set(port.request.payload.address, address)
            await ctx.tick()
        ctx.set(port.request.valid, 0)
        await ctx.tick().repeat(6)
        ctx.set(bus.rvalid, 1)
        ctx.set(bus.rid, 1)
        for beat in range(32):
            ctx.set(bus.rlast, beat % 16 == 15)
            ctx.set(bus.rresp, 2 if beat == 20 else 0)
            assert ctx.get(port.beats.payload.error) == (beat == 20)
            await ctx.tick()
        ctx.set(bus.rvalid, 0)
        assert ctx.get(dut.failed_1)
        assert ctx.get(dut.failed_address_1) == 0x1080
        assert not ctx.get(dut.failed_0)
        assert not ctx.get(dut.busy)

    simulate(dut, testbench)


@pytest.mark.parametrize("name", CONFIGS)
def test_writes(name):
    """Every beat arrives at its place with its strobes; one acknowledgement a range, after its last burst's."""
    config, rng = CONFIGS[name], seeded(2)
    axi_bytes = config.axi_bytes
    dut = WriteEngine(config)
    ranges = draw_ranges(rng, 8)
    beats = deque(start for r in ranges for start in beat_starts(*r, axi_bytes))
    burst_counts: list[int] = []

    async def testbench(ctx):
        requests, bus, port = deque(ranges), dut.bus, dut.client
        addresses: deque[tuple[int, int]] = deque()
        # Beats that were accepted before their burst's address was, though not shown before it.
        early: deque[tuple[int, int, int]] = deque()
        answers, position, acknowledged, highest = 0, 0, 0, 0
        due = list(beats)
        sent = deque(beats)
        answered, announced = 0, 0
        for _ in range(200_000):
            ctx.set(port.request.valid, bool(requests))
            if requests:
                ctx.set(port.request.payload.address, requests[0][0])
                ctx.set(port.request.payload.nbytes, requests[0][1])
            ctx.set(port.beats.valid, bool(sent) and rng.random() < 0.8)
            if sent:
                ctx.set(port.beats.payload.data, sent[0])
                ctx.set(port.beats.payload.strobe, sent[0] // axi_bytes % (1 << axi_bytes))
            ctx.set(bus.awready, rng.random() < 0.7)
            ctx.set(bus.wready, rng.random() < 0.7)
            respond = answers > 0 and rng.random() < 0.5
            ctx.set(bus.bvalid, respond)
            if requests and ctx.get(port.request.ready):
                requests.popleft()
            if sent and ctx.get(port.beats.valid) and ctx.get(port.beats.ready):
                sent.popleft()
            if respond and ctx.get(bus.bready):
                answers, answered = answers - 1, answered + 1
            if ctx.get(port.acknowledged):
                acknowledged += 1
                assert answered == sum(burst_counts[:acknowledged])
            if ctx.get(bus.awvalid) and ctx.get(bus.awready):
                burst = ctx.get(bus.awaddr), ctx.get(bus.awlen)
                check_burst(config, *burst, ctx.get(bus.awsize), ctx.get(bus.awburst))
                addresses.append(burst)
                announced += 1
            if ctx.get(bus.wvalid):
                assert addresses or ctx.get(bus.awvalid), "data are shown before their address"
                if ctx.get(bus.wready):
                    early.append((ctx.get(bus.wdata), ctx.get(bus.wstrb), ctx.get(bus.wlast)))
            while early and addresses:
                word, strobe, last = early.popleft()
                start, length = addresses[0]
                assert word == start + position * axi_bytes == due.pop(0)
                assert strobe == word // axi_bytes % (1 << axi_bytes)
                assert last == (position == length)
                position += 1
                if position > length:
                    addresses.popleft()
                    answers, position = answers + 1, 0
            highest = max(highest, announced - answered)
            await ctx.tick()
            if acknowledged == len(ranges):
                break
        assert acknowledged == len(ranges)
        assert not due
        assert highest <= config.writes_in_flight
        await ctx.tick()
        assert not ctx.get(dut.busy)

    burst_counts += [len(cut(config, *r)) for r in ranges]
    simulate(dut, testbench)


def test_data_do_not_wait_for_the_address_to_be_accepted():
    """A subordinate may accept an address only once it sees the data (A3.3.1)."""
    dut = WriteEngine(CONFIGS["64 bits, 16 beats"])

    async def testbench(ctx):
        port, bus = dut.client, dut.bus
        ctx.set(port.request.valid, 1)
        ctx.set(port.request.payload.nbytes, 64)
        ctx.set(port.beats.valid, 1)
        ctx.set(bus.wready, 1)
        for _ in range(4):
            await ctx.tick()
            ctx.set(port.request.valid, 0)
        assert ctx.get(bus.awvalid)
        assert ctx.get(bus.wvalid)

    simulate(dut, testbench)


def test_writes_leave_no_gap():
    """Ranges of 8 beats, each a burst of its own, and a slow answer: a beat a cycle."""
    config = replace(TINY, max_burst=16)
    dut = WriteEngine(config)

    async def testbench(ctx):
        port, bus = dut.client, dut.bus
        for signal in (port.request.valid, port.beats.valid, bus.awready, bus.wready):
            ctx.set(signal, 1)
        ctx.set(port.request.payload.nbytes, 64)
        due: deque[int] = deque()
        shown = []
        for cycle in range(400):
            respond = bool(due) and due[0] <= cycle
            ctx.set(bus.bvalid, respond)
            if respond:
                due.popleft()
            shown.append(ctx.get(bus.wvalid))
            if shown[-1] and ctx.get(bus.wlast):
                due.append(cycle + 51)
            await ctx.tick()
        assert shown[:4] == [0, 0, 0, 1], "range, burst, address, data"
        assert all(shown[3:])

    simulate(dut, testbench)


def test_write_error_comes_with_its_range():
    config = CONFIGS["64 bits, 16 beats"]
    dut = WriteEngine(config)

    async def testbench(ctx):
        port, bus = dut.client, dut.bus
        for signal in (bus.awready, bus.wready, port.beats.valid, port.request.valid):
            ctx.set(signal, 1)
        ctx.set(port.request.payload.address, 0x2000)
        ctx.set(port.request.payload.nbytes, 256)
        await ctx.tick()
        ctx.set(port.request.valid, 0)
        await ctx.tick().repeat(40)
        ctx.set(bus.bvalid, 1)
        ctx.set(bus.bresp, 3)
        assert not ctx.get(port.acknowledged)
        await ctx.tick()
        ctx.set(bus.bresp, 0)
        assert (ctx.get(port.acknowledged), ctx.get(port.error)) == (1, 1)
        assert (ctx.get(dut.failed), ctx.get(dut.failed_address)) == (1, 0x2000)

    simulate(dut, testbench)
