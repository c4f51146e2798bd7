"""The tutorial: its commands run, and its figures are what they print."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests import children

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared/data"
PAGE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
# Other machines round differently, and a prediction on the edge of two classes may change.
TOLERANCE = 2.0


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def commands(text):
    """The shell commands of a section, without the download."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return "".join(block for block in blocks if "curl" not in block)


def accuracies(text):
    """Accuracies of a table by the name of their run."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+\.\d)", text, re.MULTILINE)
    return {name: float(accuracy) for name, accuracy in rows}


@pytest.mark.parametrize("title", ["EMO-DB", "MELD"])
def test_a_section_compares_the_runs_that_it_trains(title):
    text = section(title)
    trained = set(re.findall(r"--workdir=runs/(\w+)", text))
    assert set(accuracies(text)) == trained
    assert len(trained) > 1
    comparison = re.search(r"mman compare (.*?) --output", text.replace("\\\n", " "))[1]
    assert set(re.findall(r"runs/(\w+)", comparison)) == trained


@pytest.mark.parametrize(
    ("title", "folder"),
    [
        # Ten folds of two systems, after 535 clips are measured.
        pytest.param("EMO-DB", "emodb/wav", marks=pytest.mark.slow),
        pytest.param("MELD", "meld", marks=pytest.mark.e2e),
    ],
)
def test_a_section_runs_and_prints_its_figures(title, folder, tmp_path):
    if not (DATA / folder).is_dir():
        pytest.skip(f"{title} is not at ../shared/data/{folder}")
    (tmp_path / pathlib.Path(folder).name).symlink_to(DATA / folder)
    wrappers = {"mman": "-c 'from mman_jax.cli.main import main; main()'", "python": ""}
    (tmp_path / "bin").mkdir()
    for name, arguments in wrappers.items():
        wrapper = tmp_path / "bin" / name
        wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        wrapper.chmod(0o755)
    path = f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}"
    environment = children.environment(PYTHONPATH=str(ROOT), PATH=path)
    ended = subprocess.run(
        ["bash", "-ec", commands(section(title))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    for name, accuracy in accuracies(section(title)).items():
        results = json.loads((tmp_path / "runs" / name / "results.json").read_text())
        measured = 100 * results["test"]["accuracy"]["mean"]
        assert measured == pytest.approx(accuracy, abs=TOLERANCE), name
