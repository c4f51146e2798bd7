"""Commands in other environments: settings of JAX, terminals, home folders."""

import json
import pathlib

import pytest

from mman_jax.files import pool
from mman_jax.study import jobs
from mman_jax.trial.progress import Progress
from tests.children import mman, refused

pytestmark = pytest.mark.e2e

SHORT = ("--config=clstm_text", "--config.train.max_epochs=1", "--config.data.modalities=text")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("environments") / "run"
    ended = mman("run", f"--workdir={workdir}", *SHORT)
    assert ended.returncode == 0, ended.stderr
    return workdir


def test_settings_of_jax_change_no_number(run, tmp_path):
    variables = {"JAX_ENABLE_X64": "1", "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    variables["JAX_NUMPY_RANK_PROMOTION"] = "raise"
    ended = mman("run", f"--workdir={tmp_path / 'run'}", *SHORT, **variables)
    assert ended.returncode == 0, ended.stderr
    first, second = (json.loads((w / "results.json").read_text()) for w in (run, tmp_path / "run"))
    assert first["validation"] == second["validation"]


def test_absent_platforms_are_refused():
    line = refused("run", "--workdir=runs/x", JAX_PLATFORMS="cuda")
    assert line.startswith("error: JAX_PLATFORMS=cuda: ")


def test_terminals_that_are_not_utf_8(run):
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = mman("run", f"--workdir={run}", *SHORT, **variables)
    assert ended.returncode == 0, ended.stderr
    assert "majority answer" in ended.stdout


def test_home_is_expanded(run, tmp_path):
    (tmp_path / "run").symlink_to(run)
    ended = mman("run", "--workdir=~/run", *SHORT, HOME=str(tmp_path), cwd=tmp_path)
    assert "nothing to do" in ended.stdout, ended.stderr


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="needs an unwritable folder")
def test_unwritable_folders_are_refused():
    line = refused("run", "--workdir=/proc/x", *SHORT)
    assert "/proc/x" in line
    assert "another process" not in line


def test_without_semaphores_work_is_done_in_one_process(monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    notices = []

    class Notices(Progress):
        notice = staticmethod(notices.append)

    monkeypatch.setattr("multiprocessing.context.BaseContext.Lock", refuse)
    pool.shortage.cache_clear()
    try:
        assert list(pool.run(str.upper, ["a", "b"], 2)) == [("a", "A"), ("b", "B")]
        jobs.run([], Notices(), 2, "")
    finally:
        pool.shortage.cache_clear()
    assert "Read-only" in notices[0]
