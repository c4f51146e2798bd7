"""Commands in environments that users have: other settings of JAX, other terminals, other paths."""

import json
import os
import pathlib

import pytest

from mman_jax.files import pool
from mman_jax.study import jobs
from mman_jax.trial.progress import Progress
from tests.children import mman, refused

SHORT = ("--config.train.max_epochs=1", "--config.data.modalities=text")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("environments") / "run"
    ended = mman("run", "--config=clstm_text", f"--workdir={workdir}", *SHORT)
    assert ended.returncode == 0, ended.stderr
    return workdir


def test_settings_of_jax_change_no_number(run, tmp_path):
    variables = {
        "JAX_ENABLE_X64": "1",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
    }
    ended = mman("run", "--config=clstm_text", f"--workdir={tmp_path / 'run'}", *SHORT, **variables)
    assert ended.returncode == 0, ended.stderr
    scores = [json.loads((w / "results.json").read_text()) for w in (run, tmp_path / "run")]
    assert scores[0]["validation"] == scores[1]["validation"]


def test_a_platform_that_is_absent_is_one_line():
    line = refused("run", "--workdir=runs/x", JAX_PLATFORMS="cuda")
    assert line.startswith("error: JAX_PLATFORMS=cuda: ")


def test_a_terminal_that_is_not_utf_8_gets_replacements(run):
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = mman("run", "--config=clstm_text", f"--workdir={run}", *SHORT, **variables)
    assert ended.returncode == 0, ended.stderr
    assert "majority answer" in ended.stdout


@pytest.mark.parametrize("flag", ["--workdir", "--config.data.path"])
def test_a_remote_path_is_refused(flag, tmp_path):
    where = () if flag == "--workdir" else (f"--workdir={tmp_path / 'run'}",)
    line = refused("run", *where, f"{flag}=gs://bucket/run", cwd=tmp_path)
    assert line.startswith(f"error: {flag}=gs://bucket/run: ")
    assert os.listdir(tmp_path) == []


def test_a_long_name_is_refused(tmp_path):
    line = refused("run", f"--workdir={tmp_path / ('x' * 256)}")
    assert "256 bytes" in line


def test_home_is_expanded(run, tmp_path):
    (tmp_path / "run").symlink_to(run)
    flags = ("--workdir=~/run", "--config=clstm_text", *SHORT)
    ended = mman("run", *flags, HOME=str(tmp_path), cwd=tmp_path)
    assert "nothing to do" in ended.stdout, ended.stderr


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="a place where nothing is written")
def test_a_place_that_cannot_be_written_is_named_as_such(run):
    line = refused("run", "--workdir=/proc/x", "--config=clstm_text", *SHORT)
    assert "/proc/x" in line
    assert "another process" not in line


def test_without_semaphores_all_work_is_done_in_one_process(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("multiprocessing.context.BaseContext.Lock", refuse)
    pool.shortage.cache_clear()
    notices = []

    class Kept(Progress):
        notice = staticmethod(notices.append)

    try:
        assert list(pool.run(str.upper, ["a", "b"], 2)) == [("a", "A"), ("b", "B")]
        jobs.run([], Kept(), 2, "")
    finally:
        pool.shortage.cache_clear()
    assert "Read-only" in notices[0]


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(("rnu",), "'run'"), (("run", "--workdir=x", "--config=mutl"), "mult"),
     (("run", "--workdri=x"), "workdir")],
)  # fmt: skip
def test_what_is_unknown_gets_the_nearest_known(arguments, near):
    assert near in refused(*arguments)
