"""The notebook has no output in git and runs from top to bottom."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from tests import children

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "experiments/notebooks/mman_colab.ipynb"
LONGEST = 15
MISSING = [name for name in ("nbclient", "ipykernel") if importlib.util.find_spec(name) is None]


def read(path):
    """All cells of a notebook, and those of code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells, [cell for cell in cells if cell["cell_type"] == "code"]


def test_cells_are_short_and_have_no_output():
    cells, code = read(NOTEBOOK)
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []
    assert not any(cell["metadata"] for cell in cells)
    assert max(len(cell["source"]) for cell in cells) <= LONGEST


@pytest.mark.skipif(bool(MISSING), reason=f"the extra [notebook] is not installed: {MISSING}")
def test_it_runs_from_top_to_bottom(tmp_path):
    # In another process, because Jupyter's warnings would be errors in this one.
    arguments = [f"--output={tmp_path}/done", str(NOTEBOOK)]
    command = f"from nbclient.cli import main; main({arguments!r})"
    workdir = {"MMAN_JAX_SMALL": "1", "MMAN_JAX_WORKDIR": str(tmp_path / "run")}
    ended = subprocess.run(
        [sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True,
        env=children.environment(PYTHONPATH=str(ROOT), **workdir),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    _, code = read(tmp_path / "done.ipynb")
    assert all(cell["execution_count"] for cell in code)
    outputs = [output for cell in code for output in cell["outputs"]]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 3  # learning curves, confusion, attention
    assert [o["text"] for o in outputs if o.get("name") == "stderr"] == []
