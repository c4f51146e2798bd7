import pytest

from tests.experiments.terminal.test_command import run

pytest.importorskip("optuna", reason="pip install -e '.[sweep]'")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--fields=dropout,learning_rat"],
            "--fields: unknown 'learning_rat'; expected 'learning_rate'",
        ),
        (
            ["--config=configs/bc_lstm.py"],
            "--config: the system bc_lstm; expected the recipe of MMAN",
        ),
        (["--sweep_folds=sessions"], "--sweep_folds: sessions, which synthetic does not name"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, said, tmp_path):
    ended = run("experiments.sweep", f"--output={tmp_path / 'mine.py'}", *arguments)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"error: {said}")
    assert len(ended.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
