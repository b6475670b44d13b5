"""The modules of an accelerator, each with what its area depends on.

Memories and multipliers are counted, by how yosys maps them; for look-up tables and flip-flops there are terms with a
meaning in hardware, whose weights are fitted (`fit`). A module's area depends on few of the configuration's fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from weft_hardware.config import AcceleratorConfig
from weft_hardware.isa import instruction_bits, uop_bits
from weft_hardware.latencies import (
    FETCH_BUFFER_BYTES,
    TILES_AHEAD,
    epilogue_buffer,
    epilogue_burst,
    epilogue_reader_beats,
    fetch_burst,
    longest_burst,
    streaming_beats,
)
from weft_hardware.parts import Usage

from .memories import Mapped, mapped

PARAM_BITS = 64
"""Of a channel's parameters: bias and scale."""

DSP_SHORTEST_PRODUCT = {"xc7": 9, "xcup": 9, "ecp5": 0}
"""Bits of the narrowest product that a DSP block is used for, by family."""


ALU_DSPS = {"xc7": 3, "xcup": 3, "ecp5": 3}
"""DSP blocks of the ALU's 32-bit multiplier, by family."""

DSP_ADDS = {"xc7": True, "xcup": False, "ecp5": False}
"""Whether yosys uses the adders and the registers of DSP blocks, by family."""

WIDE_DSPS = {"xc7": 1, "xcup": 1, "ecp5": 2}
"""DSP blocks of a product whose one factor has 19 to 25 bits, by family: those of ECP5 have 18 × 18 bits."""


NOTHING = Usage()


@dataclass(frozen=True)
class Instance:
    """One or more equal modules.

    Parameters
    ----------
    kind : str
        Modules of one kind have the same terms, and share their weights.
    paths : tuple of str
        Where they are.
    terms : tuple of float
        What the look-up tables and the flip-flops of one depend on.
    counted : Usage
        What is known of one: memories, multipliers, and the registers of memories.
    constant : bool
        Whether there is also a part that depends on nothing.
    """

    kind: str
    paths: tuple[str, ...]
    terms: tuple[float, ...]
    counted: Usage = NOTHING
    constant: bool = True


def _log(number: float) -> int:
    return max(0, int(number - 1).bit_length())


def _memory(made: Mapped) -> Usage:
    return Usage(luts=made.luts + made.logic, lutram=made.luts, ffs=made.registers, brams=made.brams)


def _tables(luts: int) -> Usage:
    """Memories of more ports, or of a prescribed kind, that no field changes."""
    return Usage(luts=luts, lutram=luts)


def instances(config: AcceleratorConfig, family: str, packed: bool) -> Iterator[Instance]:
    """Every module of an accelerator."""
    yield from _control(config, family)
    yield from _memory_port(config, family)
    yield from _queues(config, family)
    yield from _fetch(config, family)
    yield from _load(config, family)
    yield from _compute(config, family, packed)
    yield from _store(config, family)
    if config.epilogue_lanes:
        yield from _epilogue(config, family)


def _control(config: AcceleratorConfig, family: str) -> Iterator[Instance]:
    epilogue, address = bool(config.epilogue_lanes), config.axi_addr_bits
    yield Instance("top", ("",), (epilogue, address))
    yield Instance("control", ("control",), (epilogue, address - 32, _log(config.token_queue_depth + 1)))
    names = ("load", "compute", "store")
    yield Instance(
        "counters", tuple(f"control.counters_{name}" for name in names), (), _tables(96 if family == "ecp5" else 48)
    )
    yield Instance("port", ("control.port",), ())
    yield Instance(
        "windows", ("control.windows",), (address - 32, address > 32), _tables(256 if family == "xc7" else 320)
    )
    ends = ("load_compute", "compute_load", "compute_store", "store_compute")
    yield Instance("tokens", tuple(f"tokens_{end}" for end in ends), (_log(config.token_queue_depth + 1),))


def _fifo(kind: str, paths: tuple[str, ...], width: int, depth: int, family: str) -> Instance:
    """A queue in a memory whose word is read as it is addressed."""
    made = mapped(width, depth, family, registered=False)
    return Instance(kind, paths, (_log(depth), (made.rows - 1) * width), _memory(made))


def _memory_port(config: AcceleratorConfig, family: str) -> Iterator[Instance]:
    address, bus, burst = config.axi_addr_bits, config.axi_data_bits, _log(longest_burst(config))
    clients = 4 if config.epilogue_lanes else 3
    yield Instance("reads", ("reads",), (clients == 4, bus, _log(config.reads_in_flight), address - 32))
    yield Instance("address slice", ("reads.address", "writes.address"), (address,))
    paths = tuple(f"reads.in_flight_{k}" for k in range(clients))
    yield _fifo("queue of addresses", paths, address, config.reads_in_flight, family)
    yield Instance("writes", ("writes",), (address - 32, _log(config.writes_in_flight)))
    yield Instance("data slice", ("writes.data",), (bus,))
    yield _fifo("queue of addresses", ("writes.in_flight",), address + 1, config.writes_in_flight, family)
    yield _fifo("queue of addresses", ("writes.lengths",), 8, config.writes_in_flight, family)
    yield _splitter("writes.splitter", config, burst)


def _splitter(path: str, config: AcceleratorConfig, burst: int) -> Instance:
    return Instance("splitter", (path,), (config.axi_addr_bits, burst, _log(config.axi_bytes)))


def _queues(config: AcceleratorConfig, family: str) -> Iterator[Instance]:
    bits, depth = instruction_bits(config), config.command_queue_depth
    names = ("load", "compute", "store")
    yield Instance("command queue", tuple(f"queue_{name}" for name in names), (bits, _log(depth)))
    waiting = mapped(bits, depth - 1, family)
    terms = (_log(depth), bits * (not waiting.block), (waiting.rows - 1) * bits)
    yield Instance("waiting", tuple(f"queue_{name}.waiting" for name in names), terms, _memory(waiting))


def _reader(path: str, config: AcceleratorConfig, family: str, beats: int, burst: int) -> Iterator[Instance]:
    """A reader of byte ranges, with the buffer of its beats."""
    word = config.axi_data_bits + 1
    yield Instance("reader", (path,), (_log(beats), burst))
    made, front = mapped(word, beats, family), mapped(word, 4, family, registered=False)
    terms = (_log(beats), word, (made.rows - 1) * word)
    yield Instance("beats", (f"{path}.buffer",), terms, _memory(made) + _memory(front))
    yield _splitter(f"{path}.splitter", config, burst)


def _fetch(config: AcceleratorConfig, family: str) -> Iterator[Instance]:
    bits = instruction_bits(config)
    yield Instance("fetch", ("fetch",), (bits, config.axi_data_bits, bits // config.axi_data_bits > 1))
    beats = FETCH_BUFFER_BYTES // config.axi_bytes
    yield from _reader("fetch.reader", config, family, beats, _log(fetch_burst(config)))


def _module(path: str, in_flight: int, family: str) -> Iterator[Instance]:
    """What every module has around its instructions."""
    yield Instance(f"{path} issue", (f"{path}.issue",), ())
    owing = mapped(2, in_flight, family, registered=False)
    yield Instance(f"{path} owing", (f"{path}.issue.owing",), (), _memory(owing))


def _loader(path: str, kind: str, config: AcceleratorConfig, family: str, beats: int, burst: int) -> Iterator[Instance]:
    ahead = mapped(97 + 2 * _log(config.axi_data_bits / _narrowest(kind, config)), 2, family, registered=False)
    yield Instance("ahead", (f"{path}.ahead",), (), _memory(ahead))
    yield from _reader(f"{path}.reader", config, family, beats, burst)
    address, lane = config.axi_addr_bits, _log(config.axi_bytes)
    depths = _log(config.acc_depth) if kind == "compute" else _log(config.inp_depth) + _log(config.wgt_depth)
    rows = (address - 32, config.widening_load, lane, depths)
    yield Instance(f"{kind} rows", (f"{path}.rows",), rows, Usage(dsps=2))


def _narrowest(kind: str, config: AcceleratorConfig) -> int:
    """Bits of the narrowest tile that a module loads; a beat carries as many of them as fit."""
    return {
        "load": min(config.inp_tile_bits, config.wgt_tile_bits),
        "compute": min(config.acc_tile_bits, uop_bits(config)),
        "epilogue": config.out_tile_bits if config.residual else config.block_out * PARAM_BITS,
    }[kind]


def _load(config: AcceleratorConfig, family: str) -> Iterator[Instance]:
    bus, pad = config.axi_data_bits, config.pad_value
    yield Instance("load", ("load",), (pad, config.axi_addr_bits - 32))
    yield from _module("load", 4, family)
    tile = max(config.inp_tile_bits, config.wgt_tile_bits, bus)
    wide = max(config.inp_tile_bits, config.wgt_tile_bits)
    terms = (pad, tile, bus, wide / bus, pad * config.inp_tile_bits)
    yield Instance("load loader", ("load.loader",), terms, Usage(ffs=wide))
    yield from _loader("load.loader", "load", config, family, streaming_beats(config), _log(longest_burst(config)))
    if pad:
        yield Instance("load registers", ("load.registers",), ())


def _compute(config: AcceleratorConfig, family: str, packed: bool) -> Iterator[Instance]:
    lanes, bus, word = config.batch * config.block_out, config.axi_data_bits, uop_bits(config)
    extended = config.alu_extensions
    flags = config.pad_value + config.widening_load + config.gemm_overwrite
    yield Instance("compute", ("compute",), (flags, extended))
    yield from _module("compute", 4, family)
    tile = max(config.acc_tile_bits, bus)
    terms = (tile, bus, config.widening_load * lanes, config.widening_load * bus, config.pad_value, word)
    yield Instance("compute loader", ("compute.loader",), terms, Usage(ffs=config.acc_tile_bits))
    beats, burst = streaming_beats(config), _log(longest_burst(config))
    yield from _loader("compute.loader", "compute", config, family, beats, burst)
    if flags:
        yield Instance("compute registers", ("compute.registers",), (flags,))
    indices = config.acc_index_bits + config.src_index_bits + config.wgt_index_bits
    depths = sum(map(_log, (config.inp_depth, config.wgt_depth, config.acc_depth)))
    yield Instance("sequencer", ("compute.sequencer",), (indices, config.uop_index_bits, depths))
    yield _scratchpad("compute.uops", word, config.uop_depth, family, registered=True)
    yield _scratchpad("compute.datapath.inp", config.inp_tile_bits, config.inp_depth, family)
    yield _scratchpad("compute.datapath.wgt", config.wgt_tile_bits, config.wgt_depth, family)
    yield _accumulators(config, family)
    yield _multipliers(config, family, packed)
    yield Instance(
        "alu",
        ("compute.datapath.alu",),
        (lanes, extended * lanes),
        Usage(dsps=ALU_DSPS[family] * lanes),
    )
    overwrites = config.gemm_overwrite
    terms = (lanes, extended * lanes, overwrites * lanes)
    yield Instance("datapath", ("compute.datapath",), terms)


def _scratchpad(path: str, width: int, depth: int, family: str, registered: bool = False) -> Instance:
    made = mapped(width, depth, family)
    output = Usage(ffs=width if registered else 0)
    chosen = (made.rows - 1) * width
    return Instance("scratchpad", (path,), (registered, chosen, made.rows > 1), _memory(made) + output)


def _accumulators(config: AcceleratorConfig, family: str) -> Instance:
    tile = config.acc_tile_bits
    half = (config.acc_depth + 1) // 2
    banks = [mapped(tile, depth, family) for depth in (half, config.acc_depth - half)]
    stored = tile if config.raw_store or config.epilogue_lanes else config.out_tile_bits
    chosen = sum((bank.rows - 1) * tile for bank in banks)
    odd = half & (half - 1) != 0
    # What is written is kept once for both banks, where it is.
    shared = tile if all(bank.logic for bank in banks) else 0
    counted = _memory(banks[0]) + _memory(banks[1]) + Usage(ffs=stored - shared)
    return Instance("accumulators", ("compute.datapath.accumulators",), (stored, chosen, odd), counted)


def _multipliers(config: AcceleratorConfig, family: str, packed: bool) -> Instance:
    product, path = config.inp_bits + config.wgt_bits, ("compute.datapath.macs",)
    lanes, depth = config.batch * config.block_out, config.block_in
    width = product + _log(depth) + 1
    summed = lanes * width

    def tree(terms: int) -> int:
        """Bits of the adders of all lanes: yosys gives each the width of the whole sum."""
        return summed * max(0, terms - 1)

    registers = config.inp_tile_bits + config.wgt_tile_bits + config.macs * product + summed
    if not DSP_ADDS[family]:
        both = config.inp_bits + 2 * config.wgt_bits + 1
        blocks = WIDE_DSPS[family] if packed and both > 18 else 1
        known = Usage(ffs=registers, dsps=config.macs * blocks // (1 + packed))
        return Instance("packed multipliers" if packed else "multipliers", path, _sums(lanes, product, depth), known)
    if packed:
        known = Usage(luts=tree(depth // 2), ffs=summed, dsps=config.macs // 2)
        return Instance("packed multipliers", path, (config.macs, config.macs * config.wgt_bits / 2), known)
    if product < DSP_SHORTEST_PRODUCT[family]:
        return Instance("multipliers in tables", path, (config.macs * product,), Usage(luts=tree(depth), ffs=registers))
    # The sum of one chain alone is registered in its DSP blocks.
    known = Usage(luts=tree(depth // 4), ffs=summed if depth > 4 else 0, dsps=config.macs)
    return Instance("multipliers", path, (), known)


def _sums(lanes: int, product: int, depth: int) -> tuple[float, ...]:
    """The terms of sums outside DSP blocks: yosys builds them of full adders, and how well depends on their number."""
    steps = [_log(depth) <= 2, _log(depth) == 3, _log(depth) == 4, _log(depth) > 4]
    return tuple(chosen * depth * lanes * bits for chosen in steps for bits in (1, product))


def _store(config: AcceleratorConfig, family: str) -> Iterator[Instance]:
    epilogue, bus, address = bool(config.epilogue_lanes), config.axi_data_bits, config.axi_addr_bits
    raw = config.raw_store
    yield Instance("store", ("store",), (epilogue, address - 32, raw))
    yield from _module("store", 8, family)
    yield Instance("completion", ("store.completion",), (epilogue,))
    yield Instance("works", ("store.completion.works",), (), _memory(mapped(17, 8, family, registered=False)))
    yield Instance("unloader", ("store.reader",), (_log(config.acc_depth),))
    tile = config.acc_tile_bits if raw or epilogue else config.out_tile_bits
    yield _fifo("tiles ahead", ("store.reader.buffer",), tile, TILES_AHEAD, family)
    rows = (epilogue, address - 32, raw, _log(config.axi_bytes), _log(config.acc_depth))
    yield Instance("store rows", ("store.rows",), rows, Usage(dsps=2))
    yield Instance("sender", ("store.sender",), (epilogue, _log(config.axi_bytes)))
    passed = config.acc_tile_bits if raw else config.out_tile_bits
    packer = (passed, bus, max(0, passed - bus), bus * _log(config.axi_bytes))
    yield Instance("packer", ("store.sender.packer",), packer)
    shared = 2 * _log(bus / config.out_tile_bits)
    yield _fifo("blocks to send", ("store.sender.waiting",), 38 + shared, 4, family)
    if epilogue:
        yield Instance("results", ("store.results",), (config.out_tile_bits,))


def _epilogue(config: AcceleratorConfig, family: str) -> Iterator[Instance]:
    top, lanes, out = "store.requantising", config.epilogue_lanes, config.out_bits
    residual, table = config.residual, config.table
    both = residual + table
    yield Instance("requantising", (top,), (both, config.axi_addr_bits - 32))
    bus = config.axi_data_bits
    yield Instance("epilogue loader", (f"{top}.loader",), (bus, residual * config.out_tile_bits, both))
    beats, burst = epilogue_reader_beats(config), _log(epilogue_burst(config))
    yield from _loader(f"{top}.loader", "epilogue", config, family, beats, burst)
    yield Instance("epilogue registers", (f"{top}.registers",), (residual, table))
    tile = config.out_tile_bits
    yield Instance("path", (f"{top}.path",), (tile, residual, config.acc_tile_bits))
    yield _fifo("path waiting", (f"{top}.path.waiting",), 57, 2, family)
    if residual:
        yield _fifo("residuals", (f"{top}.path.residuals",), tile, 4, family)
    inside = f"{top}.path.epilogue"
    yield Instance("epilogue", (inside,), (lanes, residual * lanes, table * lanes, tile), constant=False)
    held = mapped(lanes * out, epilogue_buffer(config) - 1, family)
    yield Instance("epilogue buffer", (f"{inside}.buffer",), (lanes * out,), _memory(held))
    if residual:
        yield Instance("constants", (f"{inside}.constants",), ())
    yield _parameters(f"{inside}.parameters", config, family)
    product = Usage(dsps=2 * WIDE_DSPS[family])
    paths = tuple(f"{inside}.requantise_{k}" for k in range(lanes))
    yield Instance("requantise", paths, (out, residual, table), product)
    if residual:
        paths = tuple(f"{inside}.residual_{k}" for k in range(lanes))
        yield Instance("residual", paths, (out, table), product)
    if table:
        rows = 256 * 8 // bus
        one = _memory(mapped(bus, rows, family, registered=False))
        yield Instance("table", (f"{inside}.table",), (lanes * bus,), one * lanes, constant=False)


def _parameters(path: str, config: AcceleratorConfig, family: str) -> Instance:
    tile, read = config.block_out * PARAM_BITS, config.epilogue_lanes * PARAM_BITS
    written = min(config.axi_data_bits, tile)
    row = max(read, written)
    made = mapped(row, config.param_depth * (tile // row), family, granularity=written)
    terms = (row // read > 1, (row // read - 1) * read, (made.rows - 1) * row)
    return Instance("parameters", (path,), terms, _memory(made) + Usage(ffs=read))
