"""The notebooks run, and print what they say they print."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")
for package in ("numba", "optuna", "plotly"):
    pytest.importorskip(package, reason=f"{package} is not installed")

# The link leads to the notebook of a board, which tests/boards/test_overlay.py runs.
NOTEBOOKS = sorted(p for p in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb") if not p.is_symlink())


def printed(notebook):
    """What each cell of code prints and gives, as text."""
    return [
        "".join(output.get("text") or output["data"]["text/plain"] for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_shows(path):
    notebook = nbformat.read(path, as_version=4)
    shown = printed(notebook)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert printed(notebook) == shown
    assert " cycles, " in shown[-1]


def test_every_tutorial_is_there():
    assert [path.stem.split("_", 1)[1] for path in NOTEBOOKS] == [
        "vector_add",
        "matmul",
        "matmul_virtual_threads",
        "conv2d",
        "network_to_profile",
        "exploration",
    ]
