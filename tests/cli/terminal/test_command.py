"""Commands as a user types them: what they print, and how they end."""

import numpy as np
import pytest

from mman_jax.data.readers import npz
from tests import tiny
from tests.children import run


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--config.data.pth=x"],
            "--config.data.pth: no such field; did you mean config.data.path?",
        ),
        (
            ["--config=configs/mmam.py"],
            "--config=configs/mmam.py: no such file; did you mean configs/mman.py?",
        ),
        (
            ["--config=configs/clstm_lf.py:nosuch"],
            "--config=configs/clstm_lf.py:nosuch: no such recipe as 'nosuch'; expected one of ",
        ),
        (
            ["--config=configs/mman.py:mosi"],
            "recipe: 'mosi'; expected one of ",
        ),
        (
            ["--config.train.learning_rate=1e-3"],
            "--config.train.learning_rate: no such field; did you mean "
            "config.train.towers.learning_rate.default? "
            "(or config.train.fusion.learning_rate.default)",
        ),
        (
            ["--config.train.towers.learning_rate=1e-3"],
            "--config.train.towers.learning_rate: a group of fields (default); did you mean "
            "config.train.towers.learning_rate.default?",
        ),
        (
            ["--config.network.unimodal.eyeGaze.hidden=(3,)"],
            "--config.network.unimodal.eyeGaze.hidden: config.network.unimodal has no entry "
            "'eyeGaze', which uses `default`; there are default, visual",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_config_that_is_not_there_is_said_in_plain_words(arguments, said, tmp_path):
    ended = run("experiments.run", f"--workdir={tmp_path / 'run'}", *arguments)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.strip().startswith(f"error: {said}")
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_sweep_of_no_config_is_one_line(tmp_path):
    ended = run("experiments.sweep", "--config=nowhere.py", f"--output={tmp_path / 'x.py'}")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: --config=nowhere.py: no such file; ")
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_flag_that_is_no_number_is_one_line(tmp_path):
    ended = run("experiments.sweep", "--hours=nan", f"--output={tmp_path / 'x.py'}")
    assert ended.returncode == 2
    assert ended.stderr == "error: command line: flag --hours=nan: expected a number\n"


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_checkpoints_at_no_interval_are_refused_before_anything_is_written(value, tmp_path):
    flag = f"--config.checkpoint_seconds={value}"
    ended = run("experiments.run", f"--workdir={tmp_path / 'run'}", flag)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: config.checkpoint_seconds: {float(value)}; expected a")
    assert not (tmp_path / "run").exists()


def test_a_missing_folder_is_asked_for_in_plain_words():
    ended = run("experiments.run")
    assert ended.returncode == 2
    assert ended.stderr == "error: --workdir is missing; expected a folder for results\n"


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpshort"])
def test_help_is_no_failure(flag):
    ended = run("experiments.run", flag)
    assert ended.returncode == 0
    assert "--workdir: Folder for results" in ended.stdout
    assert not ended.stderr


def test_a_run_tells_what_differs_from_the_file_of_its_config(tmp_path):
    flags = ["--config.seeds=2", "--config.data.path=nowhere.npz", "--config.train.batch=30"]
    ended = run("experiments.run", f"--workdir={tmp_path}", *flags)
    assert ended.returncode == 2
    assert ended.stdout == (
        "config: mman with data.path=nowhere.npz seeds=2; "
        f"all of it goes to {tmp_path / 'config.json'}\n"
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
