"""Fetch, load, compute and store, each alone: idle × backpressure × size × offset, tokens, reports, guards."""

from pathlib import Path

import pytest
from amaranth.hdl import Cat, Signal
from support.cocotb_model import run_bench
from support.single_modules import CONFIG, MODULES, SingleModules
from weft_hardware.latencies import TOKEN_TO_READ


class WrongData(SingleModules):
    """Each module does one thing where it should not, or not as it should."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        fetch, load, compute = (self.units[name] for name in ("fetch", "load", "compute"))
        word = fetch.store.payload
        m.d.comb += self.fetch_store.payload.eq(Cat(word[:-1], ~word[-1]))
        again = Signal()
        m.d.sync += again.eq(load.write_wgt.enable)
        m.d.comb += self.load_write_wgt.enable.eq(load.write_wgt.enable | again)
        m.d.comb += compute.write_inp.index.eq(self.compute_write_inp.index ^ 1)
        m.d.comb += self.store_mem.wstrb.eq((1 << CONFIG.axi_bytes) - 1)
        return m


class TooEarly(SingleModules):
    """Each module reports before it is true."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        load, compute, store = (self.units[name] for name in ("load", "compute", "store"))
        m.d.comb += self.fetch_done.eq(1)
        written = load.write_inp
        for part in ("enable", "index", "tile"):
            late = [getattr(written, part)]
            for _ in range(TOKEN_TO_READ):
                late.append(Signal.like(late[0]))
                m.d.sync += late[-1].eq(late[-2])
            m.d.comb += getattr(self.load_write_inp, part).eq(late[-1])
        m.d.comb += self.compute_retire.eq(compute.instruction.ready & compute.instruction.valid)
        announced = Signal()
        m.d.sync += announced.eq(store.write.request.valid & store.write.request.ready)
        m.d.comb += store.write.acknowledged.eq(announced)
        return m


WRONG = {
    "fetch": r"store gets 0x[0-9a-f]+ instead of 0x[0-9a-f]+",
    "load": r"is written, not |is written after all",
    "compute": r"accumulator [0-9]+ reads 0x[0-9a-f]+ instead of",
    "store": r"is not written yet|bytes differ, first at 0x",
}
EARLY = {
    "fetch": r"done, with [0-9]+ words to come",
    "load": "a token came before its tiles could be read",
    "compute": r"status__retired|assert [0-9]+ == ",
    "store": r"a token came with [0-9]+ of [0-9]+ bursts acknowledged|is not written yet",
}


def bench_of(module: str) -> Path:
    return Path(__file__).with_name(f"{module}_bench.py")


@pytest.mark.rtl
@pytest.mark.parametrize("module", MODULES)
def test_a_share_of_the_crossing(module, tmp_path):
    run_bench(SingleModules, CONFIG, bench_of(module), tmp_path)


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_whole_crossing(module, seed, tmp_path):
    run_bench(SingleModules, CONFIG, bench_of(module), tmp_path, {"WEFT_WHOLE_CROSSING": "1"}, seed)


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize(("broken", "messages"), [(WrongData, WRONG), (TooEarly, EARLY)])
@pytest.mark.parametrize("module", MODULES)
def test_a_broken_module_is_found(broken, messages, module, tmp_path):
    with pytest.raises(AssertionError, match=rf"[0-9]+ of [0-9]+ tests failed(.|\n)*({messages[module]})"):
        run_bench(broken, CONFIG, bench_of(module), tmp_path)
