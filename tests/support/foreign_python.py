"""Python and numpy for processors of boards, run by qemu's user mode: Debian's packages, unpacked into the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from weft_simulator.tsim.cache import cache_directory, exclusive

SUITE = "bookworm"
ARCHITECTURES = {
    "armv7": ("armhf", "arm-linux-gnueabihf", "qemu-arm"),
    "aarch64": ("arm64", "aarch64-linux-gnu", "qemu-aarch64"),
}
"""Debian's name of each target, of its libraries' folder, and the emulator."""

_APT = """\
APT::Architecture "{0}";
APT::Architectures {{ "{0}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::State "{1}/state";
Dir::State::status "{1}/status";
Dir::Cache "{1}/cache";
Dir::Etc::sourcelist "{1}/sources.list";
Dir::Etc::sourceparts "-";
"""


@cache
def foreign_python(target: str, folders: tuple[Path, ...]) -> list[str] | None:
    """The command of a target's Python that finds these packages beside numpy.

    None where apt and dpkg are missing, Debian's packages cannot be had, or there is no emulator.
    """
    architecture, libraries, emulator = ARCHITECTURES[target]
    if not all(map(shutil.which, ("apt-get", "dpkg-deb", emulator))):
        return None
    directory = cache_directory() / "environments" / f"python-{SUITE}-{architecture}"
    directory.parent.mkdir(exist_ok=True)
    with exclusive(directory.with_suffix(".lock")):
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            if not _unpack(directory, architecture):
                return None
            (directory / "complete").touch()
    root = directory / "root"
    python = root / "usr" / "bin" / "python3"
    where = root / "usr" / "lib" / libraries
    paths = [where, where / "blas", where / "lapack", root / "lib" / libraries]
    variables = {
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, paths)),
        "PYTHONPATH": os.pathsep.join(map(str, (*folders, root / "usr" / "lib" / "python3" / "dist-packages"))),
        "PYTHONHOME": str(root / "usr"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    options = [word for name, value in variables.items() for word in ("-E", f"{name}={value}")]
    return [emulator, "-L", str(root), *options, str(python)]


def _unpack(directory: Path, architecture: str) -> bool:
    """Fetch and unpack, with an apt that leaves the system's own alone."""
    for folder in ("state/lists/partial", "cache/archives/partial", "root"):
        (directory / folder).mkdir(parents=True)
    (directory / "status").touch()
    signed = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
    (directory / "sources.list").write_text(f"deb [{signed}] http://deb.debian.org/debian {SUITE} main\n")
    (directory / "apt.conf").write_text(_APT.format(architecture, directory))
    environment = {**os.environ, "APT_CONFIG": str(directory / "apt.conf")}
    for words in (["update"], ["install", "--yes", "--download-only", "python3-minimal", "python3-numpy"]):
        done = subprocess.run(["apt-get", *words], env=environment, capture_output=True, check=False, timeout=600)
        if done.returncode:
            return False
    for package in sorted((directory / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, directory / "root"], check=True)
    shutil.rmtree(directory / "cache")
    shutil.rmtree(directory / "state")
    return True
