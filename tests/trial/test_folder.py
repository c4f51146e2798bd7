import os
import shutil
import subprocess

import jax
import pytest

from mman_jax.trial import folder


def git(*arguments, cwd):
    name = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *name, *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_revision_says_whether_the_files_are_its_own(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # under a hook these point into another repository
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert folder.revision(tmp_path) is None
    git("init", cwd=tmp_path)
    (tmp_path / "code.py").write_text("1\n")
    git("add", "code.py", cwd=tmp_path)
    git("commit", "-m", "one", cwd=tmp_path)
    clean = folder.revision(tmp_path)
    assert len(clean) >= 7
    (tmp_path / "results.json").write_text("what a run writes changes no code")
    assert folder.revision(tmp_path) == clean
    (tmp_path / "code.py").write_text("2\n")
    assert folder.revision(tmp_path) == f"{clean}-dirty"


def test_versions_and_devices_are_those_of_this_process():
    found = folder.provenance()
    assert found["versions"]["jax"] == jax.__version__
    assert {"python", "flax", "optax", "numpy"} <= set(found["versions"])
    assert found["devices"] == {"kind": "cpu", "count": 1}
