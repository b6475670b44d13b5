"""The package for a board: pip installs it, pynq delivers its notebook, which runs on the RTL; and its service."""

import configparser
import json
import os
import shlex
import subprocess

import pytest
from support.board_projects import small_config, small_project
from support.handoff import build_for_tests
from support.pynq_environment import environment, pynq_python
from weft.demo import reference_logits
from weft.models import digits_heldout, digits_onnx
from weft.serving import from_file
from weft_boards.catalogue import BOARDS
from weft_boards.overlay import FOLDER, NOTEBOOK, POOL, SERVICE

import weft

pytestmark = pytest.mark.rtl

RUN = """
import json, sys
sys.modules.update(dict.fromkeys(("llvmlite", "xdsl", "onnx")))  # no board has them
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
import support.rtl_board  # is the board
import weft_overlay
shell, outputs = InteractiveShell.instance(), []
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        with capture_output() as captured:
            result = shell.run_cell("".join(cell["source"]))
        result.raise_error()
        outputs.append(captured.stdout)
print(json.dumps({"outputs": outputs, "package": weft_overlay.__file__}))
"""


@pytest.mark.slow
def test_the_package_on_a_board_made_of_rtl(tmp_path):
    python = pynq_python("3.1.2")
    if python is None:
        pytest.skip("needs an environment with pynq 3.1.2, which pip could not make")
    board = BOARDS["pynq-z2"]
    weft.compile(digits_onnx(), small_config(board), link=True).save(tmp_path / "digits.weft")
    project = small_project(board, digits=(tmp_path / "digits.weft").read_bytes())
    project.write(tmp_path / "z2")
    build_for_tests(project, tmp_path / "z2" / FOLDER)

    installed = tmp_path / "installed"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", installed]
    subprocess.run([*install, tmp_path / "z2" / "overlay"], check=True, capture_output=True, cwd=tmp_path)
    variables = environment("pynq-z2")
    variables["PYTHONPATH"] += f"{os.pathsep}{installed}"

    deliver = "import sys; from pynq._cli.get_notebooks import main; sys.argv[0] = 'get-notebooks'; main()"
    command = [python, "-c", deliver, "weft", "--ignore-overlays", "--path", tmp_path / "notebooks"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (notebook,) = (tmp_path / "notebooks").rglob("*.ipynb")
    assert notebook.name == NOTEBOOK

    command = [python, "-c", RUN, notebook]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["package"].startswith(str(installed))
    opened, registers, digits, cycles, closed = result["outputs"]
    assert opened == "configuration True\n"
    assert registers == "b'WEFT'\n"
    read, labels = (json.loads(line.split(" ", 1)[1]) for line in digits.splitlines())
    images, expected = digits_heldout()
    assert read == reference_logits(images[:10]).argmax(axis=1).tolist()
    assert labels == expected[:10].tolist()
    assert cycles.endswith(" cycles\n")
    assert closed == ""


def test_the_service_runs_what_weft_serve_takes(tmp_path):
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read_string(SERVICE)
    command = shlex.split(unit["Service"]["ExecStart"].replace("\\\n", " "))
    assert command[0].endswith("/weft")
    assert command[1:] == [
        *("serve", "--pool", "/etc/weft/pool.toml", "--listen", "0.0.0.0:7350"),
        *("--credentials", "/etc/weft/credentials"),
    ]
    (tmp_path / "pool.toml").write_text(POOL)
    (entry,) = from_file(tmp_path / "pool.toml")
    assert (entry.device, entry.config) == ("pynq", str(tmp_path / "config.toml"))
    assert entry.board_options == {"bitstream": str(tmp_path / "weft.bit")}
