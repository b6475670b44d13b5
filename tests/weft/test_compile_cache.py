"""The cache of compiled modules: what it is asked with, what it does with damage, and how large it gets."""

import os

import pytest
from weft.models import digits_onnx
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


def content(path, module):
    module.save(path)
    return path.read_bytes()


def test_the_second_time_it_is_read(cache, make, tmp_path):
    first, second = (compile_cache.cached(MODEL, VTA, 1, make) for _ in range(2))
    assert make.calls == 1
    assert content(tmp_path / "a.weft", first) == content(tmp_path / "b.weft", second)


def test_model_configuration_batch_and_hosts_are_asked_for(cache, make):
    for model, config, batch in ((MODEL, VTA, 1), (b"other", VTA, 1), (MODEL, BASE, 1), (MODEL, VTA, 2)):
        compile_cache.cached(model, config, batch, make)
    compile_cache.cached(MODEL, VTA, 1, make, ("armv7",))
    assert make.calls == 5


def test_sources_are_asked_for(cache, make, monkeypatch):
    compile_cache.cached(MODEL, VTA, 1, make)
    monkeypatch.setattr(compile_cache, "_source", lambda package: [package, b"edited"])
    compile_cache.cached(MODEL, VTA, 1, make)
    assert make.calls == 2


def test_a_damaged_file_is_made_anew(cache, make):
    compile_cache.cached(MODEL, VTA, 1, make)
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    compile_cache.cached(MODEL, VTA, 1, make)
    compile_cache.cached(MODEL, VTA, 1, make)
    assert make.calls == 2


def test_those_not_asked_for_the_longest_make_room(cache, make, monkeypatch):
    compile_cache.cached(b"0", VTA, 1, make)
    (file,) = cache.iterdir()
    monkeypatch.setattr(compile_cache, "MAX_BYTES", 2 * file.stat().st_size)
    compile_cache.cached(b"1", VTA, 1, make)
    for age, path in enumerate(sorted(cache.iterdir(), key=lambda path: path != file)):
        os.utime(path, (age, age))
    compile_cache.cached(b"0", VTA, 1, make)  # asked for again, so the other one is the oldest
    compile_cache.cached(b"2", VTA, 1, make)
    assert make.calls == 3
    compile_cache.cached(b"0", VTA, 1, make)
    assert make.calls == 3
    compile_cache.cached(b"1", VTA, 1, make)
    assert make.calls == 4


def test_where_nothing_can_be_kept_it_is_made_every_time(make, monkeypatch):
    monkeypatch.setenv("WEFT_CACHE", "/proc/none")
    compile_cache.cached(MODEL, VTA, 1, make)
    compile_cache.cached(MODEL, VTA, 1, make)
    assert make.calls == 2


def test_compile_uses_it_if_told(cache):
    weft.compile(digits_onnx(), VTA)
    assert not cache.exists()
    weft.compile(digits_onnx(), VTA, cache=True)
    assert len(list(cache.iterdir())) == 1
