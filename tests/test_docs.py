"""What the hand-written pages name exists: source files, constants with their values, links, every unit of the RTL."""

import doctest
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RTL = ROOT / "hardware" / "weft_hardware" / "rtl"
UNITS = sorted((ROOT / "docs" / "hardware").glob("*.md"))
EXAMPLES = [ROOT / "docs" / "tensor_expressions.md", ROOT / "docs" / "modules.md"]
PAGES = [
    *EXAMPLES,
    *UNITS,
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
    *(ROOT / "docs" / f"{page}.md" for page in ("networks", "boards", "silicon", "export", "remote", "module_format")),
    ROOT / "ARCHITECTURE.md",
    ROOT / "README.md",
]

CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w./-]+\.(?:py|md|cpp|vlt)")
CONSTANT = re.compile(r"`(\w+)\.([A-Z][A-Z_]+)`(?: = (\d+))?")
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def files() -> frozenset[str]:
    """Every file of the checkout by its path, with a slash before it."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [path for folder in folders for path in folder.rglob("*.*")] + list(ROOT.glob("*.*"))
    return frozenset(f"/{name(path)}" for path in found)


def named_files(page: Path) -> list[str]:
    return [code for code in CODE.findall(page.read_text(encoding="utf-8")) if FILE.fullmatch(code)]


@pytest.mark.parametrize("page", EXAMPLES, ids=name)
def test_examples_give_what_the_page_says(page):
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("page", UNITS, ids=name)
def test_a_unit_page_opens_with_its_source(page):
    title, empty, source, *_ = page.read_text(encoding="utf-8").split("\n")
    assert title.startswith("# ")
    assert not empty
    found = re.match(r"Source: `([^`]+)`", source)
    assert found, source
    assert found[1].startswith("hardware/weft_hardware/")
    assert (ROOT / found[1]).exists(), found[1]


def test_every_unit_of_the_rtl_has_a_page():
    named = {Path(file).name for page in UNITS for file in named_files(page)}
    modules = {path.name for path in RTL.glob("*.py")} - {"__init__.py"}
    assert modules
    assert modules <= named, f"no page of docs/hardware names {', '.join(sorted(modules - named))}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_files_and_links_exist(page):
    """A file may be named by the end of its path."""
    unknown = [file for file in named_files(page) if not any(path.endswith(f"/{file}") for path in files())]
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert unknown + [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", UNITS, ids=name)
def test_constants_have_the_values_that_a_page_gives(page):
    pytest.importorskip("amaranth")
    for module, constant, value in CONSTANT.findall(page.read_text(encoding="utf-8")):
        for folder, package in ((RTL, "weft_hardware.rtl"), (RTL.parent, "weft_hardware")):
            if (folder / f"{module}.py").exists():
                actual = getattr(import_module(f"{package}.{module}"), constant)
                assert not value or actual == int(value), f"{module}.{constant} is {actual}, not {value}"
