import numpy as np
import pytest

from mman_jax.data.parts import prepare
from mman_jax.data.protocols import tasks
from mman_jax.errors import InputError
from tests.data.small import corpus


def made(labels):
    split = ("train", "valid", "test")
    return prepare(corpus(labels=np.array(labels, np.int32), split=split))


def test_each_part_has_its_own_conversations_classes_and_nothing_beside_them():
    parts = made([0, 1, 1, -1, 1, 0])
    laid = parts.labels(tasks(parts.corpus, "auto")[0])
    assert {part: classes.tolist() for part, classes in laid.items()} == {
        "train": [[0, 1], [-1, -1]],
        "valid": [[1], [-1]],
        "test": [[-1, 1, 0], [-1, -1, -1]],
    }


@pytest.mark.parametrize(("part", "here"), [("train", [0, 1]), ("valid", [2]), ("test", [3, 4, 5])])
def test_a_part_in_which_nothing_is_scored_is_refused(part, here):
    labels = np.array([0, 1, 1, 0, 1, 0])
    labels[here] = -1
    parts = made(labels)
    said = f"^small, {part} part: no utterance of {len(here)} has a class of auto"
    with pytest.raises(InputError, match=said):
        parts.labels(tasks(parts.corpus, "auto")[0])
