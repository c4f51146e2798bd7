"""Contents of every kind of board, read by other means than those that wrote them."""

import struct
import sys

import pytest

from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.trial import boards, runner
from tests import tiny
from tests.trial.test_curves import SEEDS, snapshots, write

CONFIG = {"data": {"path": None}, "train": {"batch": 30}}


def shown(kind, folder, interrupted=False):
    """Curves written to a board; {seed: {(name, epoch): value}} that the file holds beside it."""
    whole, run = list(snapshots(3)), boards.Run(folder, "", CONFIG)
    # Cut in the fusion's second epoch, then gone on with from the checkpoint before its first.
    for part in (whole[:5], whole[3:]) if interrupted else (whole,):
        write(folder / "curves.csv", part, boards.begin([kind], run, SEEDS))
    expected = {seed: {} for seed in SEEDS}
    for row in tiny.curve_rows(folder / "curves.csv"):
        for name in ("train_loss", "valid_loss", "valid_accuracy"):
            expected[row.seed][f"{name}/{row.head}", row.epoch] = getattr(row, name)
    return expected


def events(folder):
    """{(tag, step): value} of the event files of one run, each of which occurs once."""
    pb = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in folder.iterdir():
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = pb.Event.FromString(data[at + 12 : at + 12 + size])
            for value in event.summary.value:
                assert (value.tag, event.step) not in found
                found[value.tag, event.step] = value.simple_value
            at += 12 + size + 4
    return found


def test_tensorboard_shows_what_the_file_holds_also_after_an_interruption(tmp_path):
    pytest.importorskip("tensorboardX", reason="the extra [tensorboard] is not installed")
    expected = shown("tensorboard", tmp_path, interrupted=True)
    for seed in SEEDS:
        assert events(tmp_path / "tensorboard" / f"seed_{seed}") == expected[seed]


def test_mlflow_keeps_every_value_and_the_settings(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    expected = shown("mlflow", tmp_path)
    runs = [path.parent for path in (tmp_path / "mlflow").glob("*/*/meta.yaml")]
    assert len(runs) == len(SEEDS)
    for run in runs:
        assert (run / "params" / "train.batch").read_text() == "30"
        own = expected[int((run / "params" / "seed").read_text())]
        found = {}
        for path in run.glob("metrics/*/*"):
            for line in path.read_text().splitlines():
                _, value, epoch = line.split()[:3]
                name = path.relative_to(run / "metrics").as_posix()
                found[name, int(epoch)] = pytest.approx(float(value), rel=1e-6)
        assert own == found


def test_weights_and_biases_offline_keeps_a_run_a_seed(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    expected = shown("wandb", tmp_path)
    files = sorted((tmp_path / "wandb").rglob("*.wandb"))
    assert len(files) == len(SEEDS)
    for path in files:
        content = path.read_bytes()
        assert all(name.encode() in content for name, _ in expected[SEEDS[0]])


@pytest.mark.parametrize("kind", boards.WHERE)
def test_a_missing_package_is_said_before_anything_is_written(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, boards.check.__globals__["_KINDS"][kind][1], None)
    with pytest.raises(InputError, match=rf"'mman_jax\[{kind}\]'"), Screen() as screen:
        runner.run(tiny.recipe(), tmp_path / "run", screen, board_names=[kind])
    assert not (tmp_path / "run").exists()
