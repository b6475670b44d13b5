"""Settings and options for all tests."""

import pytest
from hypothesis import settings

# No deadlines: the machine may be busy with other work. A failing case is printed so that it can be replayed.
settings.register_profile("weft", deadline=None, max_examples=30, print_blob=True)
settings.load_profile("weft")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--first-seed", type=int, default=0, help="seed of the first random program of each configuration")
    parser.addoption("--programs", type=int, help="random programs a test, instead of its own number")


def pytest_report_header(config: pytest.Config) -> str:
    return f"random programs: first seed {config.getoption('--first-seed')}"


@pytest.fixture
def first_seed(request: pytest.FixtureRequest) -> int:
    """Where the seeds of random programs begin."""
    return request.config.getoption("--first-seed")


@pytest.fixture
def program_count(request: pytest.FixtureRequest):
    """Random programs to run: ``program_count(default)``, unless the command line says otherwise."""
    chosen = request.config.getoption("--programs")
    return lambda default: default if chosen is None else chosen
