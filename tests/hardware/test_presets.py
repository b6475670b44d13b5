"""Presets, and configurations from TOML and vta_config.json."""

import json
from dataclasses import replace

import pytest
from weft_hardware.config import AcceleratorConfig
from weft_hardware.errors import ConfigError
from weft_hardware.isa import instruction_bits, uop_bits
from weft_hardware.presets import PRESETS, VTA_KEYS, from_toml, from_vta_json, load_config, to_toml

VTA_JSON = {
    "TARGET": "sim",
    "HW_VER": "0.0.2",
    "LOG_INP_WIDTH": 3,
    "LOG_WGT_WIDTH": 3,
    "LOG_ACC_WIDTH": 5,
    "LOG_BATCH": 0,
    "LOG_BLOCK": 4,
    "LOG_UOP_BUFF_SIZE": 15,
    "LOG_INP_BUFF_SIZE": 15,
    "LOG_WGT_BUFF_SIZE": 18,
    "LOG_ACC_BUFF_SIZE": 17,
}


def message(call, *args) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*args)
    return str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_vtas_word_sizes(name):
    config = load_config(name)
    assert instruction_bits(config) == 128
    assert uop_bits(config) == 32


def test_vta_preset_is_the_base_with_every_extension():
    vta, base = load_config("vta").to_dict(), load_config("base").to_dict()
    assert load_config("base") == AcceleratorConfig()
    extended = {"pad_value", "widening_load", "gemm_overwrite", "alu_extensions", "epilogue_lanes", "residual", "table"}
    assert {name for name, value in vta.items() if value != base[name]} == extended
    assert load_config("pynq") == replace(load_config("vta"), max_burst=16)


@pytest.mark.parametrize("name", PRESETS)
def test_toml_round_trip(name):
    assert from_toml(to_toml(PRESETS[name])) == PRESETS[name]


def test_toml_file_keeps_defaults(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("# smaller\nblock_in = 8\nraw_store = false\n")
    assert load_config(path) == replace(PRESETS["vta"], block_in=8, raw_store=False)


def test_vta_json_default(tmp_path):
    path = tmp_path / "vta_config.json"
    path.write_text(json.dumps(VTA_JSON))
    assert load_config(str(path)) == PRESETS["vta"]


def test_vta_json_target_chooses_the_port():
    config = from_vta_json(json.dumps({**VTA_JSON, "TARGET": "ultra96", "LOG_BLOCK": 5}))
    assert config == replace(
        PRESETS["vta"],
        block_in=32,
        block_out=32,
        inp_depth=1024,
        wgt_depth=256,
        acc_depth=1024,
        axi_data_bits=128,
        axi_addr_bits=40,
    )


@pytest.mark.parametrize("key", VTA_KEYS)
def test_vta_json_needs_every_key(key):
    values = {name: value for name, value in VTA_JSON.items() if name != key}
    assert message(from_vta_json, json.dumps(values)).startswith(f"{key} is missing")


def test_vta_json_close_match():
    values = {name: value for name, value in VTA_JSON.items() if name != "LOG_BLOCK"} | {"LOG_BLOK": 4}
    assert message(from_vta_json, json.dumps(values)).startswith("LOG_BLOCK is missing (did you mean 'LOG_BLOK'?);")


@pytest.mark.parametrize("value", [-1, 99, 1.5, "4", True, None])
def test_vta_json_refuses_what_is_no_logarithm(value):
    assert (
        message(from_vta_json, json.dumps({**VTA_JSON, "LOG_BLOCK": value}))
        == f"LOG_BLOCK = {value!r} is not a base-two logarithm (0..40); give a whole number"
    )


def test_vta_json_that_cannot_be_built():
    assert message(from_vta_json, json.dumps({**VTA_JSON, "LOG_INP_BUFF_SIZE": 30})) == (
        "inp_depth = 67108864 is outside 4..65536; choose a value in that range"
    )


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have(name):
    assert message(load_config, name).startswith(f"configuration {name!r} is neither a preset nor a file; ")


def test_unknown_name():
    assert message(load_config, "ultra69") == (
        "configuration 'ultra69' is neither a preset nor a file; use a .toml or .json file or one of "
        "vta, base, pynq, ultra96, zcu104, ecp5, tiny4, tiny8 (did you mean 'ultra96'?)"
    )


def test_missing_file(tmp_path):
    path = str(tmp_path / "none.toml")
    assert (
        message(load_config, path)
        == f"configuration file {path!r} cannot be read: No such file or directory; check its path"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "blockin = 8\n",
            "'blockin' is no field of a configuration (did you mean 'block_in'?); see `weft config show vta`",
        ),
        ("zzz = 8\n", "'zzz' is no field of a configuration; see `weft config show vta`"),
        ("batch = 3\n", "batch = 3 cannot be built; choose one of 1, 2, 4, 8, 16"),
        ("batch = true\n", "batch = True is not a whole number; change its type"),
        ("raw_store = 1\n", "raw_store = 1 is not true or false; change its type"),
    ],
)
def test_bad_toml(tmp_path, text, reason):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    assert message(load_config, path) == f"configuration file {str(path)!r}: {reason}"


def test_broken_syntax(tmp_path):
    toml, text = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text("batch =\n")
    text.write_text("[1, 2")
    assert "not TOML: Invalid value" in message(load_config, toml)
    assert "not JSON: Expecting" in message(load_config, text)
    text.write_text("[1, 2]")
    assert message(load_config, text).endswith("a JSON list is no vta_config.json; it must be an object of LOG_… keys")
    toml.write_bytes(b"\xff\xfe\x00")
    assert message(load_config, toml) == f"configuration file {str(toml)!r} is not UTF-8 text; give a TOML or JSON file"
