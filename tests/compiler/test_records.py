"""Records as lines: what is whole comes back, what is damaged is named."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from weft_compiler.errors import CompileError
from weft_compiler.records import Record, Records, describe_damage, parse_line, read_records, schedules

ONE = Record(
    layer="layer",
    config="config",
    name="conv 3×3",
    candidate={"tiles": {"y": 7}},
    cycles=1000,
    device="timing",
    memory={"read_latency": 0},
    seed=3,
    time="2026-01-02T03:04:05.000+00:00",
    weft="0.1.0",
)
FAILED = replace(ONE, cycles=None, failure="it overflows")


def changed(**fields: object) -> str:
    """The line of `ONE` with fields set to other values, and the checksum that it had."""
    return json.dumps({**json.loads(ONE.to_line()), **fields})


@pytest.mark.parametrize("record", [ONE, FAILED])
def test_a_line_comes_back(record: Record) -> None:
    line = record.to_line()
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert parse_line(line.encode()) == record


def test_order_and_spacing_of_fields_say_nothing() -> None:
    content = json.loads(ONE.to_line())
    assert parse_line(json.dumps(content, sort_keys=True, separators=(" , ", " : ")).encode()) == ONE


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (ONE.to_line()[:40], "is not JSON (Unterminated string starting at at column 34)"),
        ("{}", "version None of records is unknown, this Weft reads version 1"),
        (changed(version=2), "version 2 of records is unknown, this Weft reads version 1"),
        (changed(version=True), "version True of records is unknown, this Weft reads version 1"),
        ("[1, 2]", "is [1, 2], not an object"),
        ("[" * 100_000, "is not JSON of a record (nested too deep)"),
        (f'{{"a": {"9" * 5000}}}', "is not JSON of a record (a number is too long)"),
        (b"\xff\xfe", "byte 1 is not UTF-8"),
        (changed(cycles="1000"), "field 'cycles' is \"1000\", it must be a whole number or null"),
        (changed(cycles=True), "field 'cycles' is true, it must be a whole number or null"),
        (changed(cycles=0), "field 'cycles' is 0, it must be at least 1"),
        (changed(cycles=None), "one of the fields 'cycles' and 'failure' must be null, and one must not"),
        (changed(cycles=999), "its checksum differs: the line was changed after it was written"),
        (changed(candidate=[7]), "field 'candidate' is [7], it must be an object"),
        (changed(extra=1), "field 'extra' is unknown"),
        (json.dumps({"version": 1}), "field 'candidate' is missing"),
    ],
)
def test_damage_has_a_reason(line: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        parse_line(line if isinstance(line, bytes) else line.encode())


def test_damaged_lines_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_text(ONE.to_line() + "\n" + changed(version=9) + "\n" + FAILED.to_line(), encoding="utf-8")
    second.write_text("nonsense\n" + ONE.to_line().strip(), encoding="utf-8")
    records = read_records([first, second])
    assert records.found == (ONE, FAILED, ONE)
    assert describe_damage(records.damage) == [
        f"{first}:3: version 9 of records is unknown, this Weft reads version 1; the line is left out",
        f"{second}:1: is not JSON (Expecting value at column 1); the line is left out",
    ]
    assert describe_damage(records.damage, 1)[1] == "1 more lines of records are left out"


@pytest.mark.parametrize("seed", range(3))
def test_no_flipped_bit_goes_unnoticed(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    line = ONE.to_line().encode()
    for _ in range(60):
        place = rng.randrange(len(line) - 1)
        flipped = bytearray(line)
        flipped[place] ^= 1 << rng.randrange(8)
        (tmp_path / "flipped.jsonl").write_bytes(bytes(flipped) + line)
        records = read_records([tmp_path / "flipped.jsonl"])
        # A space that became another white space says the same; a newline makes two damaged lines of one.
        assert all(record == ONE for record in records.found), bytes(flipped)
        assert len(records.found) + min(len(records.damage), 1) == 2, bytes(flipped)


def test_the_best_of_each_layer_is_of_one_device_and_memory() -> None:
    later = "2026-02-02T03:04:05.000+00:00"
    slower = replace(ONE, cycles=1500, candidate={"k": 1})
    on_tsim = replace(ONE, cycles=900, device="tsim", candidate={"k": 2}, time="2025-01-01T00:00:00.000+00:00")
    far = replace(ONE, cycles=2000, memory={"read_latency": 50}, time=later, candidate={"k": 3})
    other = replace(ONE, layer="other", cycles=5)
    elsewhere = replace(ONE, config="another", cycles=1)

    def best(*records: Record, device: str | None = None) -> dict[str, int | None]:
        found = Records(records).best("config", device)
        return {layer: record.cycles for layer, record in found.items()}

    assert best(slower, ONE, FAILED, other, elsewhere) == {"layer": 1000, "other": 5}
    assert best(ONE, on_tsim) == {"layer": 1000}
    assert best(ONE, on_tsim, device="tsim") == {"layer": 900}
    assert best(ONE, on_tsim, other, device="tsim") == {"layer": 900, "other": 5}
    assert best(ONE, far) == {"layer": 2000}
    assert best(FAILED) == {}


def test_schedules_are_candidates_by_layer() -> None:
    assert schedules({"layer": ONE}) == {"layer": {"tiles": {"y": 7}}}


def test_a_missing_file_is_a_sentence() -> None:
    with pytest.raises(
        CompileError,
        match=r"^records nowhere\.jsonl cannot be read: No such file or directory; "
        "give a file that `weft tune --records` wrote$",
    ):
        read_records(["nowhere.jsonl"])
