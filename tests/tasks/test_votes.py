import numpy as np
import pytest

from mman_jax.data.parts import prepare
from mman_jax.data.splits import Split
from mman_jax.errors import InputError
from mman_jax.tasks import Votes, tasks
from tests.data.small import corpus

NAMES = ("calm", "angry", "other")
LABELS = np.array([0, 0, 1, -1, 2, 1], np.int32)
VOTES = {"calm": [3, 1, 1, 2, 5, 0], "angry": [1, 2, 1, 1, 1, 0], "other": [4, 0, 0, 0, 9, 0]}


def voted(**changes):
    counts = {name: np.array(x, np.int32) for name, x in VOTES.items()}
    return corpus(label_names=NAMES, labels=LABELS, **({"votes": counts} | changes))


def test_shares_and_majority():
    made = voted()
    # `other` is context: its votes count for nothing, and nor does an utterance labelled so.
    task = Votes("two", NAMES[:2], np.array([0, 1, -1], np.int32))
    nothing = [np.nan, np.nan]
    expected = [[0.75, 0.25], [1 / 3, 2 / 3], [0.5, 0.5], [2 / 3, 1 / 3], nothing, [0, 1]]
    np.testing.assert_allclose(task.training_labels(made), expected, rtol=1e-6)
    assert task.labels(made).tolist() == [0, 1, 1, -1, -1, 1]
    laid = prepare(made, Split(*np.arange(3)[:, None], "by hand")).labels(task)
    np.testing.assert_allclose(laid["train"][0], expected[:2], rtol=1e-6)
    assert laid["test"][0].tolist() == [-1, -1, 1]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"joy": np.zeros(6, np.int32)}, "votes/joy: an unknown label"),
        ({"calm": np.zeros(5, np.int32)}, "5 entries"),
        ({"calm": np.full(6, -1, np.int32)}, "c0, utterance u0: -1"),
        ({"calm": np.zeros(6, np.float32)}, "int32"),
    ],
)
def test_votes_that_cannot_be(counts, words):
    with pytest.raises(InputError, match=words):
        voted(votes=counts)
    with pytest.raises(InputError, match="none"):
        tasks(voted(votes={}), "auto", soft=True)
