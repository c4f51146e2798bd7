"""Commands as a user types them: what they print, and how they end."""

import pytest

from tests.children import mman


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpshort"])
def test_help(flag):
    ended = mman("run", flag)
    assert ended.returncode == 0
    assert "--workdir: Folder for results" in ended.stdout
    assert not ended.stderr


def test_help_lists_the_flags_of_the_command():
    text = mman("predict", "--help").stdout
    for flag in ("--checkpoint", "--input", "--output", "--[no]stream", "--state"):
        assert f"  {flag}:" in text


def test_runs_print_the_changes_of_their_config(tmp_path):
    flags = ["--config.seeds=2", "--config.data.path=nowhere.npz", "--config.train.batch=30"]
    ended = mman("run", f"--workdir={tmp_path}", *flags)
    assert ended.returncode == 2
    assert ended.stdout.startswith("config: mman with data.path=nowhere.npz seeds=2; ")
    assert ended.stdout.endswith(f"{tmp_path / 'config.json'}\n")
