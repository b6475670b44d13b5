"""The cache of compiled modules: what it is asked with, what it does with damage, and how large it gets."""

import os

import pytest
from weft.models import digits_onnx
from weft_compiler import CompileOptions
from weft_hardware.presets import load_config
from weft_runtime.module import Module

import weft
from weft import compile_cache

for package in ("onnx", "llvmlite", "xdsl"):
    pytest.importorskip(package, reason=f"needs {package}")

MODEL = b"a model"
VTA, BASE = load_config("vta"), load_config("base")


@pytest.fixture(scope="module")
def module():
    return weft.compile(digits_onnx(), VTA)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path))
    return tmp_path / "modules"


@pytest.fixture
def make(module):
    """Compiles; ``make.calls`` counts how often."""

    def make() -> Module:
        make.calls += 1
        return module

    make.calls = 0
    return make


def kept(model, config, options, make, link=False):
    return compile_cache.kept_file(compile_cache.Place(model, config, options, link), make)


def test_the_second_time_it_is_read(cache, make, module):
    first, second = (kept(MODEL, VTA, "", make) for _ in range(2))
    assert make.calls == 1
    assert first == second
    assert second.content == module.to_bytes()
    assert second.module().content == module.content


def test_model_configuration_and_options_are_asked_for(cache, make):
    given = ({}, {"batch": 2}, {"host_targets": "armv7"}, {"overlap": False}, {"extensions": False})
    given += ({"schedules": {"layer": {"order": ["oc"]}}},)
    for options in (CompileOptions(**names) for names in given):
        kept(MODEL, VTA, options.key, make)
    for model, config in ((b"other", VTA), (MODEL, BASE), (MODEL, VTA)):
        kept(model, config, CompileOptions().key, make)
    kept(MODEL, VTA, CompileOptions().key, make, link=True)
    assert make.calls == 9


def test_sources_are_asked_for(cache, make, monkeypatch):
    kept(MODEL, VTA, "", make)
    monkeypatch.setattr(compile_cache, "_source", lambda package: [package, b"edited"])
    kept(MODEL, VTA, "", make)
    assert make.calls == 2


def cut(data):
    return data[:-100]


def flip_a_bit(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip_a_bit])
def test_a_damaged_file_is_made_anew(cache, make, damage):
    kept(MODEL, VTA, "", make)
    (file,) = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    kept(MODEL, VTA, "", make)
    kept(MODEL, VTA, "", make)
    assert make.calls == 2


def test_those_not_asked_for_the_longest_make_room(cache, make, monkeypatch):
    kept(b"0", VTA, "", make)
    (file,) = cache.iterdir()
    monkeypatch.setattr(compile_cache, "MAX_BYTES", 2 * file.stat().st_size)
    kept(b"1", VTA, "", make)
    for age, path in enumerate(sorted(cache.iterdir(), key=lambda path: path != file)):
        os.utime(path, (age, age))
    kept(b"0", VTA, "", make)  # asked for again, so the other one is the oldest
    kept(b"2", VTA, "", make)
    assert make.calls == 3
    kept(b"0", VTA, "", make)
    assert make.calls == 3
    kept(b"1", VTA, "", make)
    assert make.calls == 4


def test_where_nothing_can_be_kept_it_is_made_every_time(make, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE", "/proc/none")
    kept(MODEL, VTA, "", make)
    kept(MODEL, VTA, "", make)
    assert make.calls == 2


def test_compile_uses_it_if_told(cache):
    weft.compile(digits_onnx(), VTA)
    assert not cache.exists()
    weft.compile(digits_onnx(), VTA, cache=True)
    assert len(list(cache.iterdir())) == 1
