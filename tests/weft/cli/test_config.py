"""``weft config``: output that people edit and programs read."""

import json

from support.command import weft
from weft_hardware.presets import PRESETS, from_toml


def test_show_is_toml():
    result = weft("config", "show", "tiny8")
    assert result.code == 0
    assert from_toml(result.out) == PRESETS["tiny8"]


def test_show_json():
    result = weft("config", "show", "--json")
    assert json.loads(result.out) == {**PRESETS["vta"].to_dict(), "digest": PRESETS["vta"].digest}


def test_list_names_every_preset():
    result = weft("config", "list")
    assert result.code == 0
    assert [line.split()[0] for line in result.out.splitlines()[1:]] == list(PRESETS)
    assert json.loads(weft("config", "list", "--json").out).keys() == PRESETS.keys()


def test_unknown_preset():
    result = weft("config", "show", "vtb")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "weft: configuration 'vtb' is neither a preset nor a file; use a .toml or .json file or one of "
        "vta, base, pynq, ultra96, zcu104, ecp5, tiny4, tiny8 (did you mean 'vta'?)\n"
    )
