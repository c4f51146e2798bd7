"""Commands as a user types them: what they print, and how they end."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mman_jax.data.readers import npz
from tests import tiny

ROOT = pathlib.Path(__file__).resolve().parents[3]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config.train.max_epoch=3"], "max_epochs"),
        (["--config.seeds=many"], "seeds"),
        (["--config=configs/nothing.py"], "nothing.py"),
        (["--config.data.path=nowhere.npz"], "nowhere.npz: no such file"),
        (["--config.data.protocol=mman"], "mman4"),
        (["--work=x"], "work"),
        (["stray"], "stray"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_is_one_line_and_status_2(arguments, said, tmp_path):
    workdir = tmp_path / "run"
    flags = ["--config=configs/mman.py", f"--workdir={workdir}", *arguments]
    ended = run("experiments.run", *flags)
    assert ended.returncode == 2, ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert not workdir.exists()


def test_a_field_that_the_recipe_lacks_is_a_mistake_also_where_no_config_is_named(tmp_path):
    ended = run("experiments.run", "--config.data.pth=x", f"--workdir={tmp_path / 'run'}")
    assert ended.returncode == 2
    assert ended.stderr.strip() == (
        'error: command line: \'pth\' Did you mean "path" instead of "pth"?'
    )


def test_help_lists_the_flags_of_the_command_itself():
    said = run("experiments.predict", "--help").stdout
    for flag in ("--checkpoint", "--input", "--output", "--[no]stream", "--state"):
        assert f"  {flag}:" in said


def test_convert_and_what_it_refuses(tmp_path):
    corpus = tiny.corpus((2, 1, 1))
    npz.write(corpus, tmp_path / "a.npz")
    ended = run("experiments.convert", f"--input={tmp_path}/a.npz", f"--output={tmp_path}/b.npz")
    assert ended.returncode == 0, ended.stderr
    with np.load(tmp_path / "b.npz", allow_pickle=False) as back:
        np.testing.assert_array_equal(back["features/text"], corpus.features["text"])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()

    (tmp_path / "broken.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-100])
    out = f"--output={tmp_path}/c.npz"
    for broken in ("broken.npz", "absent.npz"):
        ended = run("experiments.convert", f"--input={tmp_path}/{broken}", out)
        assert ended.returncode == 2
        assert len(ended.stderr.strip().splitlines()) == 1
        assert broken in ended.stderr
        assert not (tmp_path / "c.npz").exists()


def test_predict_without_a_run_says_so(tmp_path):
    npz.write(tiny.corpus((2, 1, 1)), tmp_path / "a.npz")
    ended = run(
        "experiments.predict",
        f"--checkpoint={tmp_path}/none",
        f"--input={tmp_path}/a.npz",
        f"--output={tmp_path}/out.csv",
    )
    assert ended.returncode == 2
    assert "no trained model" in ended.stderr
    assert not (tmp_path / "out.csv").exists()
