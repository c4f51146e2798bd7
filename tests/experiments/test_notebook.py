"""The notebook: stripped in git, its cells short, and run from top to bottom."""

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


def cells(path=NOTEBOOK):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code(path=NOTEBOOK):
    return [cell for cell in cells(path) if cell["cell_type"] == "code"]


def test_nothing_that_a_run_leaves_is_in_git():
    assert [cell for cell in code() if cell["outputs"] or cell["execution_count"]] == []
    assert not any(cell["metadata"] for cell in cells())


def test_no_cell_is_long():
    assert max(len(cell["source"]) for cell in cells()) <= LONGEST


@pytest.mark.skipif(bool(MISSING), reason=f"the extra [notebook] is not installed: {MISSING}")
def test_it_runs_from_top_to_bottom(tmp_path):
    # As `jupyter execute` would, in processes of their own: Jupyter's warnings are not ours.
    command = (
        f"from nbclient.cli import main; main(['--output={tmp_path}/done', {str(NOTEBOOK)!r}])"
    )
    environment = children.environment(
        PYTHONPATH=str(ROOT), MMAN_JAX_SMALL="1", MMAN_JAX_WORKDIR=str(tmp_path / "run")
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ran = code(tmp_path / "done.ipynb")
    assert all(cell["execution_count"] for cell in ran)
    outputs = [output for cell in ran for output in cell["outputs"]]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 3  # learning curves, confusion, attention
    assert [o["text"] for o in outputs if o.get("name") == "stderr"] == []
