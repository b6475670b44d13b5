"""The page of an exploration, in a real Chromium."""

from __future__ import annotations

import json
import math
import re
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from support.browser import Shown, chromium, show
from support.command import weft
from support.explorations import exploration
from weft_hardware.presets import from_toml, load_config

pytest.importorskip("plotly", reason="plotly is not installed")

from weft_explore.page import render

SEED = 7
FOUND = exploration(150, SEED)
DESIGNS = FOUND["designs"]
FRONT = [design for design in DESIGNS if design["front"]]
CHART = "#pareto .chart"
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def opened(browser, directory: Path, content: dict[str, Any], **context: Any) -> Shown:
    file = directory / "report.html"
    file.write_text(render(content), encoding="utf-8")
    return shown_file(browser, file, **context)


def shown_file(browser, file: Path, **context: Any) -> Shown:
    shown = show(browser, file, **context)
    shown.page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
    return shown


@pytest.fixture(scope="module")
def one_page(browser, tmp_path_factory):
    return opened(browser, tmp_path_factory.mktemp("page"), FOUND, color_scheme="light")


@pytest.fixture
def shown(one_page):
    """The page of `FOUND` without filters, sorted by cycles; whatever a test does must leave it quiet."""
    if one_page.page.locator("#clear").is_enabled():
        one_page.page.click("#clear")
    yield one_page
    one_page.assert_quiet()


def rows(shown: Shown) -> list[dict[str, str]]:
    """The table, by its headings' keys."""
    return shown.page.evaluate(
        """() => {
            const table = document.getElementById("designs");
            const keys = [...table.tHead.rows[0].cells].map(cell => cell.dataset.key ?? "reason");
            const named = row => [...row.cells].map((cell, index) => [keys[index], cell.textContent]);
            return [...table.tBodies[0].rows].map(row => Object.fromEntries(named(row)));
        }"""
    )


def select(shown: Shown, design: dict[str, Any]) -> None:
    shown.page.evaluate("id => { location.hash = `#design=${id}`; }", design["id"])
    shown.page.wait_for_function(
        "id => document.getElementById('headline').textContent.startsWith(`Design ${id} `)", arg=design["id"]
    )


def waits_for_passing(shown: Shown, count: int) -> None:
    shown.page.wait_for_function(
        "text => document.getElementById('passing').textContent === text",
        arg=f"{count} of {len(DESIGNS)} designs shown",
    )
    shown.page.wait_for_function(
        "count => document.querySelectorAll('#designs tr[data-index]').length === Math.min(100, count)", arg=count
    )


def drawn(shown: Shown, count: int) -> None:
    """Waits until the first plot draws so many designs of those that pass."""
    shown.page.wait_for_function(
        """count => document.querySelector("#pareto .chart").data
            .filter(trace => /^(infeasible|failed|designs|front) /.test(trace.name ?? ""))
            .reduce((sum, trace) => sum + trace.x.length, 0) === count""",
        arg=count,
    )


def numeric(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def test_counts(shown):
    of = {state: sum(design["state"] == state for design in DESIGNS) for state in ("done", "infeasible", "failed")}
    assert all(of.values())
    assert shown.text("#counts") == (
        f"150 designs · {of['done']} done · {of['infeasible']} infeasible · {of['failed']} failed · "
        f"{len(FRONT)} on the front · 3 confirmed, 1 could not be"
    )
    assert shown.text("h1") == "Exploration: resnet18"


def test_plot_shows_all_designs_and_the_front(shown):
    plot = shown.plot(CHART)
    assert plot["layout"]["xaxis"]["type"] == "log"
    front = next(trace for name, trace in plot["traces"].items() if name.startswith("front "))
    assert sorted(zip(front["x"], front["y"], strict=True)) == sorted(
        (design["values"]["cycles"], design["values"]["luts"]) for design in FRONT
    )
    there = [design for design in DESIGNS if numeric(design["values"].get("cycles"))]
    drawn(shown, len(there))
    failed = len(DESIGNS) - len(there)
    note = shown.page.locator("#pareto .note").first.inner_text()
    assert note == f"{failed} designs not drawn, without a number above 0 here: {failed} failed."


def test_axes_are_chosen_by_the_reader(shown):
    shown.page.get_by_label("Plot 1, x axis").select_option("value:fmax")
    shown.page.locator("#pareto label", has_text="log y").first.uncheck()
    plot = shown.plot(CHART)
    assert plot["layout"]["xaxis"]["title"]["text"] == "fmax (MHz)"
    assert (plot["layout"]["xaxis"]["type"], plot["layout"]["yaxis"]["type"]) == ("linear", "linear")
    known = [design for design in DESIGNS if numeric(design["values"].get("fmax"))]
    drawn(shown, len(known))
    shown.page.get_by_label("Plot 1, x axis").select_option("value:cycles")
    shown.page.locator("#pareto label", has_text="log y").first.check()


def test_a_click_selects(shown):
    # The point that lies farthest from all others, so that the click can mean no other.
    def place(design):
        return [math.log(design["values"][name]) for name in ("cycles", "luts")]

    there = [design for design in DESIGNS if design["state"] == "done"]
    lonely = max(there, key=lambda one: min(math.dist(place(one), place(other)) for other in there if other is not one))
    x, y = shown.page.evaluate(
        """([x, y]) => {
            const chart = document.querySelector("#pareto .chart");
            const { left, top } = chart.getBoundingClientRect();
            const { xaxis, yaxis } = chart._fullLayout;
            return [left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(y)];
        }""",
        [lonely["values"]["cycles"], lonely["values"]["luts"]],
    )
    shown.page.mouse.move(x, y)
    shown.page.mouse.click(x, y)
    shown.page.wait_for_function(
        "id => document.getElementById('headline').textContent.startsWith(`Design ${id} `)", arg=lonely["id"]
    )
    assert shown.page.url.endswith(f"#design={lonely['id']}")


def test_a_slider_filters_all_views(shown):
    values = sorted({design["values"]["cycles"] for design in DESIGNS if numeric(design["values"].get("cycles"))})
    slider = shown.page.get_by_label("cycles, to", exact=True)
    slider.focus()
    slider.press("Home")
    for _ in range(12):
        slider.press("ArrowRight")
    kept = [design for design in DESIGNS if numeric(c := design["values"].get("cycles")) and c <= values[12]]
    waits_for_passing(shown, len(kept))
    assert {int(row["id"]) for row in rows(shown)} == {design["id"] for design in kept}
    drawn(shown, len(kept))
    assert slider.get_attribute("aria-valuetext") == f"{values[12]:,}"


def test_choices_filter(shown):
    box = shown.page.locator('fieldset[data-column="field:block_in"]')
    box.get_by_label("32", exact=True).uncheck()
    shown.page.get_by_label("front only").check()
    kept = [design for design in FRONT if design["config"]["block_in"] != 32]
    assert 0 < len(kept) < len(FRONT)
    waits_for_passing(shown, len(kept))
    assert {int(row["id"]) for row in rows(shown)} == {design["id"] for design in kept}


def test_without_a_number(shown):
    """A filter on a column that some designs have no number in asks what to do with those; failed ones never pass."""
    box = shown.page.locator('fieldset[data-column="value:fmax"]')
    box.get_by_label("without a number too").uncheck()
    waits_for_passing(shown, sum(numeric(design["values"].get("fmax")) for design in DESIGNS))


def test_a_brush_filters(shown):
    grip = shown.page.locator('[data-axis="field:block_in"]')
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    middle = box["x"] + box["width"] / 2
    shown.page.mouse.move(middle, box["y"] + 0.6 * box["height"])  # between 8 and 16
    shown.page.mouse.down()
    shown.page.mouse.move(middle, box["y"] + 0.3 * box["height"])
    shown.page.mouse.move(middle, box["y"] + 2)
    shown.page.mouse.up()
    waits_for_passing(shown, sum(design["config"]["block_in"] in (16, 32) for design in DESIGNS))
    checked = shown.page.locator('fieldset[data-column="field:block_in"] input').evaluate_all(
        "boxes => boxes.map(box => box.checked)"
    )
    assert checked == [False, True, True]
    brush = shown.page.locator('[data-brush="field:block_in"]').bounding_box()
    assert brush is not None
    assert brush["height"] > 50
    shown.page.mouse.click(middle, box["y"] + box["height"] / 2)
    waits_for_passing(shown, len(DESIGNS))


def test_a_brush_of_an_objective_keeps_what_lies_in_it(shown):
    grip = shown.page.locator('[data-axis="value:luts"]')
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    middle = box["x"] + box["width"] / 2
    shown.page.mouse.move(middle, box["y"] + box["height"] - 1)
    shown.page.mouse.down()
    shown.page.mouse.move(middle, box["y"] + box["height"] / 2, steps=4)
    shown.page.mouse.up()
    shown.page.wait_for_selector('fieldset[data-column="value:luts"].active')
    low, high = shown.page.locator('fieldset[data-column="value:luts"] output').all_inner_texts()
    values = [design["values"].get("luts") for design in DESIGNS]
    known = [value for value in values if numeric(value)]
    assert int(low.replace(",", "")) == min(known)
    limit = int(high.replace(",", ""))
    # Half of an axis from least to most, linear as its numbers are within a factor of 30.
    assert max(known) / min(known) < 30
    assert abs(limit - (min(known) + max(known)) / 2) < 0.15 * max(known)
    waits_for_passing(shown, sum(value <= limit for value in known))


@pytest.mark.parametrize("design", [FRONT[0], next(d for d in DESIGNS if not d["front"])], ids=["front", "other"])
def test_download_is_the_configuration(shown, design):
    select(shown, design)
    with shown.page.expect_download() as started:
        shown.page.click("#download")
    name = Path(design["file"]).name if design["file"] else f"design-{design['id']}.toml"
    assert started.value.suggested_filename == name
    text = Path(started.value.path()).read_text()
    assert from_toml(text).to_dict() == design["config"]
    links = shown.page.locator("#selected a:not(#download)").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert links == ([design["file"]] if design["file"] else [])


def test_sorting(shown):
    heading = shown.page.locator('#designs thead [data-key="value:fmax"]')
    known = sorted(d["values"]["fmax"] for d in DESIGNS if numeric(d["values"].get("fmax")))
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert [float(row["value:fmax"]) for row in rows(shown)] == pytest.approx(known[:100], rel=1e-3)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(row["value:fmax"]) for row in rows(shown)] == pytest.approx(known[:-101:-1], rel=1e-3)
    shown.page.get_by_role("button", name="Last").click()
    words = [row["value:fmax"] for row in rows(shown)]
    assert words[-1] == "no value"
    assert words.index("no value") > max(i for i, word in enumerate(words) if re.match(r"\d", word))
    shown.page.locator('#designs thead [data-key="value:cycles"]').get_by_role("button").click()


def test_the_table_walks_by_keyboard(shown):
    first, second = [int(row["id"]) for row in rows(shown)[:2]]
    shown.page.locator("#designs tbody tr").first.focus()
    shown.page.keyboard.press("Enter")
    assert shown.text("#headline").startswith(f"Design {first} ")
    shown.page.keyboard.press("ArrowDown")
    shown.page.keyboard.press("Enter")
    assert shown.text("#headline").startswith(f"Design {second} ")
    chosen = shown.page.locator("#designs tr[aria-selected=true]").get_attribute("data-index")
    assert int(chosen or -1) == second


def test_steps_along_the_front(shown):
    order = sorted(FRONT, key=lambda design: (design["values"]["cycles"], design["id"]))
    select(shown, order[0])
    shown.page.get_by_role("button", name="Next of the front").click()
    assert shown.text("#headline").startswith(f"Design {order[1]['id']} ")


def test_roofline(shown):
    design = FRONT[1]
    select(shown, design)
    config = design["config"]
    peak = config["batch"] * config["block_in"] * config["block_out"]
    bandwidth = config["axi_data_bits"] // 8
    roof, layers = shown.page.evaluate("document.getElementById('roofline').data")
    assert roof["name"] == f"{bandwidth} bytes, {peak:,} MACs a cycle"
    assert roof["x"][1] == pytest.approx(peak / bandwidth)
    assert roof["y"] == pytest.approx([roof["x"][0] * bandwidth, peak, peak])
    assert layers["x"] == pytest.approx([layer["macs"] / layer["bytes"] for layer in design["layers"]])
    assert layers["y"] == pytest.approx([layer["macs"] / layer["cycles"] for layer in design["layers"]])
    assert [text.split("</b>")[0] for text in layers["hovertext"]] == [
        f"<b>{name['name']}" for name in design["layers"]
    ]


def test_predicted_beside_confirmed(shown):
    design = FRONT[0]
    select(shown, design)
    assert " · confirmed ·" in shown.text("#headline")
    cycles = f"{design['values']['cycles']:,}"
    assert shown.text("#simulated") == f"The RTL ran 1 of 1 workload: resnet18 {cycles} cycles (exact)."
    cells = shown.page.locator("#values tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    predicted, real = design["values"], design["confirmed"]["values"]
    by_name = {name: rest for name, *rest in cells}
    assert by_name["cycles"] == [f"{predicted['cycles']:,}", f"{real['cycles']:,}", "exact"]
    part = 100 * (real["luts"] / predicted["luts"] - 1)
    assert by_name["luts (LUT)"][:2] == [f"{predicted['luts']:,}", f"{real['luts']:,}"]
    assert float(by_name["luts (LUT)"][2].removesuffix(" %")) == pytest.approx(part, abs=0.006)
    assert by_name["brams"][1:] == ["not confirmed", ""]


def test_what_cannot_be_confirmed_is_marked(shown):
    design = FRONT[2]
    select(shown, design)
    assert f"could not be confirmed: {design['confirmed']['reason']}" in shown.text("#headline")
    marks = shown.plot(CHART)["traces"]["could not be confirmed (1)"]
    assert marks["x"] == [design["values"]["cycles"]]
    (row,) = [row for row in rows(shown) if row["id"] == str(design["id"])] or [None]
    if row is not None:
        assert row["state"] == "done, front, could not be confirmed"


def test_what_was_searched(shown):
    text = shown.text("#search")
    for expected in ("resnet18", "fits pynq-z2", "nsga2", "fmax, as high as can be (MHz)", "64, 128", f"{SEED}", "150"):
        assert expected in text
    reasons = shown.page.locator("#reasons tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    )
    assert sum(int(count) for count, *_ in reasons) == sum(design["state"] != "done" for design in DESIGNS)
    volume = shown.page.evaluate("document.getElementById('volume').data[0]")
    assert len(volume["y"]) == len(DESIGNS)
    assert volume["y"] == sorted(volume["y"])


def test_light_and_dark(shown):
    ground = "getComputedStyle(document.body).backgroundColor"
    assert shown.page.evaluate(ground) == "rgb(246, 246, 243)"
    shown.page.select_option("#theme", "dark")
    assert shown.page.evaluate(ground) == "rgb(20, 24, 26)"
    assert shown.plot(CHART)["layout"]["font"]["color"] == "#e6eaea"
    shown.page.select_option("#theme", "")


BAD = [math.nan, math.inf, None, "unknown", True, 0, -1, {"no": "number"}]
"""Cycles of the first designs of the hostile page, of which two can be drawn."""


def hostile() -> dict[str, Any]:
    """Names and reasons as somebody would write them who wants the page to run his script; values that are none."""
    content = deepcopy(exploration(40, SEED))
    content["workloads"] = [{"name": HOSTILE, "sha256": HOSTILE, "macs": None}]
    content["constraints"] = [HOSTILE]
    content["space"][HOSTILE] = [HOSTILE]
    content["objectives"].append({"name": HOSTILE, "unit": HOSTILE, "goal": "min"})
    content["reference_point"].append(1)
    for number, design in enumerate(content["designs"]):
        design["values"][HOSTILE] = number if number % 2 else HOSTILE
        design["values"]["__proto__"] = number
        design["reason"] = HOSTILE if design["state"] != "done" else None
        if design["front"]:
            design["file"] = "javascript:window.hacked=3"
            design["confirmed"] = {"values": {HOSTILE: 1}, "reason": HOSTILE if number % 2 else None}
            for layer in design["layers"]:
                layer["name"] = HOSTILE
    for design, value in zip(content["designs"], BAD, strict=False):
        design["state"] = "done"
        design["values"] |= {"cycles": value, "luts": 10}
    return content


@pytest.fixture(scope="module")
def hostile_page(browser, tmp_path_factory):
    return opened(browser, tmp_path_factory.mktemp("hostile"), hostile())


def test_hostile_names_stay_text(hostile_page):
    shown = hostile_page
    assert shown.text("h1") == f"Exploration: {HOSTILE}"
    assert shown.page.title() == f"Exploration: {HOSTILE}"
    shown.page.get_by_label("Plot 2, y axis").select_option(f"value:{HOSTILE}")
    select(shown, next(design for design in hostile()["designs"] if design["front"]))
    chart = shown.page.locator("#roofline .drag").first.bounding_box()
    assert chart is not None
    for step in range(0, int(chart["width"]), 16):  # hover boxes are plotly's to make
        shown.page.mouse.move(chart["x"] + step, chart["y"] + chart["height"] / 3)
    assert shown.page.locator("#selected a:not(#download)").count() == 0
    assert shown.page.locator("img").count() == 0
    assert shown.page.evaluate("window.hacked") is None
    shown.assert_quiet()


def test_bad_numbers_are_shown_as_such(hostile_page):
    words = {int(row["id"]): row["value:cycles"] for row in rows(hostile_page)}
    assert [words[index] for index in range(len(BAD))] == [
        *("NaN", "Infinity", "no value", "unknown", "yes", "0", "-1", '{"no":"number"}')
    ]
    assert hostile_page.plot(CHART)["layout"]["xaxis"]["type"] == "linear"
    note = hostile_page.page.locator("#pareto .note").first.inner_text()
    assert note == "7 designs not drawn, without a number above 0 here: 6 done, 1 failed."  # the other axis is log
    hostile_page.assert_quiet()


@pytest.mark.parametrize("count", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_hardly_any_design(browser, tmp_path, count):
    content = exploration(1, SEED)
    content["designs"] = content["designs"][:count]
    shown = opened(browser, tmp_path, content)
    assert shown.text("#passing") == ("1 of 1 design shown" if count else "0 of 0 designs shown")
    shown.assert_quiet()
    shown.page.close()


@pytest.mark.slow
def test_thousands_of_designs(browser, tmp_path):
    content = exploration(5000, SEED)
    shown = opened(browser, tmp_path, content)
    shown.page.get_by_label("front only").check()
    count = sum(design["front"] for design in content["designs"])
    shown.page.wait_for_function(
        "text => document.getElementById('passing').textContent === text", arg=f"{count} of 5,000 designs shown"
    )
    drawn(shown, count)
    shown.assert_quiet()
    shown.page.close()


def test_a_real_exploration(browser, tmp_path):
    """What `weft explore` wrote, against its own files."""
    for package in ("optuna", "numba", "onnx", "xdsl", "llvmlite"):
        pytest.importorskip(package, reason=f"needs {package}")
    (tmp_path / "space.toml").write_text('base = "pynq"\n[space]\nepilogue_lanes = [2, 4, 8]\nwgt_depth = [128, 256]\n')
    asked = ("--objective", "cycles,energy", "--budget", "4", "--jobs", "1", "--confirm", "0")
    digits = files("weft.models").joinpath("digits.onnx")
    result = weft("explore", tmp_path / "space.toml", "--workload", digits, *asked, "-o", tmp_path / "found")
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "found" / "exploration.json").read_text())
    shown = shown_file(browser, tmp_path / "found" / "report.html")
    assert shown.text("#counts").startswith("4 designs · 4 done · ")
    design = next(design for design in found["designs"] if design["front"])
    select(shown, design)
    with shown.page.expect_download() as started:
        shown.page.click("#download")
    assert load_config(started.value.path().rename(tmp_path / "mine.toml")) == load_config(
        tmp_path / "found" / design["file"]
    )
    layers = shown.page.locator("#layers tbody tr").evaluate_all(
        "rows => rows.map(row => Number(row.cells[3].textContent.replaceAll(',', '')))"
    )
    assert sum(layers) == design["values"]["cycles"]
    shown.assert_quiet()
    shown.page.close()
