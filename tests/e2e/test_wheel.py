"""The package as pip and uvx install it, used outside a checkout."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from mman_jax.cli.main import COMMANDS

ROOT = pathlib.Path(__file__).parents[2]
EXTRAS = "look,export"
SHORT = ("--config=mman", "--config.train.max_epochs=2")

pytestmark = pytest.mark.e2e


def call(*command, cwd, status=0):
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "XLA_"))}
    variables["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=variables, capture_output=True, text=True
    )
    assert done.returncode == status, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, made through a source distribution from a clone, and checked as an index would."""
    pytest.importorskip("build", reason="pip install 'mman_jax[test]'")
    folder = tmp_path_factory.mktemp("dist")
    call("git", "clone", "--quiet", ROOT, folder / "clone", cwd=folder)
    call(sys.executable, "-m", "build", "--outdir", folder / "dist", cwd=folder / "clone")
    files = sorted((folder / "dist").iterdir())
    assert [path.name.split("-")[0] for path in files] == ["mman_jax", "mman_jax"]
    call(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=folder)
    shutil.rmtree(folder / "clone")
    return next(path for path in files if path.suffix == ".whl")


@pytest.fixture(scope="module")
def place(wheel, tmp_path_factory):
    """A folder outside any checkout, and the installed command `mman`."""
    folder = tmp_path_factory.mktemp("outside")
    call(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    call(folder / "venv/bin/pip", "install", "-q", f"{wheel}[{EXTRAS}]", cwd=folder)
    for path in (folder / "venv").rglob("mman_jax/**/*"):  # an installation that is not the user's
        path.chmod(path.stat().st_mode & ~0o222)
    return folder, folder / "venv/bin/mman"


def test_commands_describe_themselves(place):
    folder, mman = place
    overview = call(mman, cwd=folder)
    for name in COMMANDS:
        assert f"\n  {name} " in overview
        assert "Flags:" in call(mman, name, "--help", cwd=folder)
    assert call(mman, "--version", cwd=folder).startswith("mman_jax ")


def test_a_model_is_trained_and_used(place):
    folder, mman = place
    call(mman, "run", *SHORT, "--workdir=run", cwd=folder)
    assert json.loads((folder / "run/results.json").read_text())["test"]["accuracy"]["mean"] > 0.3
    call(mman, "export", "--checkpoint=run", "--output=model", cwd=folder)
    assert "nothing to do" in call(mman, "run", *SHORT, "--workdir=run", cwd=folder)
    line = call(mman, "run", "--config=mutl", "--workdir=x", cwd=folder, status=2)
    assert "did you mean mult?" in line


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="the demo speaks by espeak-ng")
def test_a_recording_is_looked_at(place):
    folder, mman = place
    call(mman, "demo", "--output=demo", "--conversations=6", "--utterances=2", cwd=folder)
    call(mman, "look", "--input=demo/talk_00.mp4", cwd=folder)
    assert "<video" in (folder / "demo/talk_00.html").read_text()
    extracted = ("--modalities=speech,text", "--speech=prosody", "--output=c.npz")
    call(mman, "extract", "--manifest=demo/clips.csv", *extracted, cwd=folder)
    where = ("--workdir=heard", "--config.data.path=c.npz")
    call(mman, "run", *SHORT, *where, cwd=folder)
    given = ("--checkpoint=heard", "--input=demo/talk_00.mp4", "--output=answers.csv")
    call(mman, "predict", *given, cwd=folder)
    assert (folder / "answers.csv").read_text().startswith("conversation_id,utterance_id,label,")


def test_uvx_runs_it(wheel, tmp_path):
    pytest.importorskip("uv", reason="pip install uv")
    command = (sys.executable, "-m", "uv", "tool", "run", "--from", wheel, "mman", "run")
    call(*command, *SHORT, "--workdir=run", cwd=tmp_path)
    assert (tmp_path / "run/results.json").is_file()
