import numpy as np

from mman_jax.training.state import Outcome, Record, Snapshot
from mman_jax.trial import curves
from tests import tiny

HEADS = {"towers": ("speech", "text"), "fusion": ("fusion",)}
SEEDS = (3, 4)


def history(epochs, heads, offset=0.0):
    """Losses that differ everywhere; the second seed stops after its second epoch."""
    shape = (epochs, len(SEEDS), heads)
    values = offset + np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7
    training = np.ones(shape, bool)
    training[2:, 1] = False
    return Record(values, values + 100, values + 200, values + 300, training, -values)


def snapshots(epochs):
    """As a trainer yields them: one an epoch, then one with every stage finished."""
    finished = {}
    for stage, heads in HEADS.items():
        whole = history(epochs, len(heads), offset=1000.0 * len(finished))
        for epoch in range(1, epochs + 1):
            yield Snapshot(stage, None, Record(*(x[:epoch] for x in whole)), dict(finished))
        finished[stage] = Outcome(*[None] * 6, whole)
    yield Snapshot(stage, None, whole, finished)


def write(path, of, boards=None):
    with curves.Log(path, HEADS, SEEDS, boards) as log:
        for snapshot in of:
            log.note(snapshot, last=len(snapshot.finished) == len(HEADS))


def test_a_line_an_epoch_of_each_head_and_seed_that_trained(tmp_path):
    write(tmp_path / "curves.csv", snapshots(3))
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines[:3] == [
        "stage,head,seed,epoch,train_loss,valid_loss,valid_accuracy,score",
        "towers,speech,3,1,0.0,100.0,200.0,-0.0",
        "towers,text,3,1,0.14285715,100.14286,200.14285,-0.14285715",
    ]
    rows = tiny.curve_rows(tmp_path / "curves.csv")
    assert len(rows) == 3 * 3 + 3 * 2  # three heads, three epochs of a seed and two of the other
    # Bits survive the way there and back.
    loss = [row.train_loss for row in rows if row.stage == "fusion"]
    whole = history(3, 1, offset=1000.0)
    np.testing.assert_array_equal(loss, whole.train_loss[whole.training])


def test_the_file_follows_while_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "_EVERY", 0.0)
    path = tmp_path / "curves.csv"
    with curves.Log(path, HEADS, SEEDS) as log:
        for snapshot in list(snapshots(3))[:2]:
            log.note(snapshot, last=False)
            assert max(row.epoch for row in tiny.curve_rows(path)) == len(
                snapshot.history.train_loss
            )
