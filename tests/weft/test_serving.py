"""Pools in files, and what is wrong with them."""

import pytest
from weft.errors import UsageError
from weft.serving import Served, from_file, from_options


def test_options_pair_up():
    assert from_options(["tsim", "functional"], ["vta", "base"]) == [
        Served("tsim", "vta"),
        Served("functional", "base"),
    ]
    assert from_options(["tsim", "functional"], ["base"]) == [Served("tsim", "base"), Served("functional", "base")]
    assert from_options(["tsim"], []) == [Served("tsim", "vta")]


def test_configurations_lie_beside_the_pool(tmp_path):
    pool = tmp_path / "pool.toml"
    pool.write_text('[[device]]\ndevice = "tsim"\nconfig = "own.toml"\ncount = 3\n[[device]]\ndevice = "pynq"\n')
    assert from_file(pool) == [Served("tsim", str(tmp_path / "own.toml"), 3), Served("pynq", "vta", 1)]


def test_one_configuration_for_all_or_one_for_each():
    with pytest.raises(UsageError) as caught:
        from_options(["functional"], ["vta", "base"])
    assert str(caught.value) == (
        "1 --device and 2 --config do not go together; give one --config for all, or one for each"
    )


def test_nothing_to_serve():
    with pytest.raises(UsageError) as caught:
        from_options([], [])
    assert str(caught.value) == "nothing to serve; give --device functional, or --pool FILE.toml"


def test_a_pool_that_is_not_there(tmp_path):
    with pytest.raises(UsageError) as caught:
        from_file(tmp_path / "no.toml")
    assert str(caught.value) == (
        f"pool {tmp_path / 'no.toml'} cannot be read: No such file or directory; check its path"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not consist of tables [[device]]; write one for each device"),
        ("[[board]]\n", "does not consist of tables [[device]]; write one for each device"),
        ("device = []\n", "does not consist of tables [[device]]; write one for each device"),
        ("device = [1]\n", ": a table [[device]] has no key 'device'; name a kind such as \"tsim\""),
        ("[[device]]\n", ": a table [[device]] has no key 'device'; name a kind such as \"tsim\""),
        ("[[device]]\ndevice = 1\n", ": device = 1 is no str; correct it"),
        ('[[device]]\ndevice = "tsim"\ncount = true\n', ": count = True is no int; correct it"),
        ('[[device]]\ndevice = "tsim"\ncount = 0\n', ": count = 0 is outside 1..64; correct it"),
        ('[[device]]\ndevice = "tsim"\nport = 1\n', ": 'port' is no key of [[device]]; use device, config, count"),
        ("[[device\n", " is not TOML"),
    ],
)
def test_what_is_no_pool(tmp_path, text, message):
    pool = tmp_path / "pool.toml"
    pool.write_text(text)
    with pytest.raises(UsageError) as caught:
        from_file(pool)
    said = str(caught.value).removeprefix(f"pool {pool}")
    assert said.strip().startswith(message.strip()) if "TOML" in message else said.strip() == message.strip()
