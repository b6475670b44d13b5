"""The page of ``weft profile``, in a real Chromium."""

import pytest
from support.browser import chromium, show
from weft_hardware.isa import Queue
from weft_hardware.presets import PRESETS
from weft_hardware.registers import Activity
from weft_hardware.work import Work

pytest.importorskip("plotly", reason="plotly is not installed")

from weft.profile import Profile, Row
from weft.profile_page import render

CONFIG = PRESETS["vta"]
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"


def row(name, macs, cycles, nbytes):
    activity = {module: {Activity.BUSY: cycles - 10 * module, Activity.IDLE: 10 * module} for module in Queue}
    return Row(name, "accelerator", macs, cycles, activity, Work(read_bytes=nbytes))


ROWS = (row("conv1", 100_000, 1_000, 4_000), row(HOSTILE, 3_000_000, 20_000, 50_000), row("moved", 0, 50, 100))


def test_page(tmp_path):
    file = tmp_path / "page.html"
    file.write_text(render(Profile(CONFIG, ROWS), HOSTILE), encoding="utf-8")
    with chromium() as browser:
        shown = show(browser, file)
        assert shown.text("h1") == HOSTILE
        figures = shown.page.evaluate(
            "[...document.querySelectorAll('.js-plotly-plot')].map(({ data }) => data.map(({ x, y }) => ({ x, y })))"
        )
        (roof, layers), *bars = figures
        assert roof["y"][1:] == [256, 256]
        assert roof["x"][1] == 256 / 8  # where eight bytes a cycle feed all multipliers
        assert layers["x"] == pytest.approx([25, 60, 3_100_000 / 54_100])
        assert layers["y"] == pytest.approx([100, 150, 3_100_000 / 21_050])
        busy = [figure[list(Activity).index(Activity.BUSY)]["x"] for figure in bars]
        assert busy == [[row.cycles - 10 * module for row in ROWS] for module in Queue]
        assert HOSTILE in shown.page.locator(".js-plotly-plot").first.text_content()
        assert shown.page.locator("img").count() == 0
        assert shown.page.evaluate("window.hacked") is None
        shown.assert_quiet()
