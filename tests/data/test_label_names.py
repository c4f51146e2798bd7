import dataclasses

import numpy as np
import pytest

from mman_jax.data import label_names
from tests.data.small import corpus, refuses

NAMES = {"label_names": ("Joy", "sad", "contempt", "angry")}
LABELS = np.array([0, 1, 2, 3, -1, 0], np.int32)
MAP = label_names.read_map("joy=good, sad = bad,angry=bad,contempt=,fear=bad")


def test_labels_are_merged_renamed_and_dropped():
    made = corpus(labels=LABELS, **NAMES)
    relabelled = label_names.relabel(made, MAP)
    assert relabelled.label_names == ("good", "bad")
    assert relabelled.labels.tolist() == [0, 1, -1, 1, -1, 0]
    assert label_names.relabel(made, {}) is made
    # Names are replaced once: what becomes `sad` stays `sad`.
    swapped = label_names.relabel(made, {"joy": "sad", "sad": "joy"})
    assert swapped.label_names == ("sad", "joy", "contempt", "angry")
    assert swapped.labels.tolist() == LABELS.tolist()


def test_votes_are_added_up():
    votes = {name: np.full(6, n, np.int32) for n, name in enumerate(NAMES["label_names"], 1)}
    made = corpus(labels=LABELS, votes=votes, **NAMES)
    # The third utterance, whose label is dropped, has no votes left.
    expected = {"good": [1, 1, 0, 1, 1, 1], "bad": [6, 6, 0, 6, 6, 6]}
    relabelled = label_names.relabel(made, MAP)
    assert {name: x.tolist() for name, x in relabelled.votes.items()} == expected
    many = {name: np.full(6, 2**31 - 1, np.int32) for name in votes}
    made = dataclasses.replace(made, votes=many)
    assert label_names.relabel(made, MAP).votes["bad"].max() == 2**31 - 1


@pytest.mark.parametrize(
    ("text", "word"), [("joy", "'joy'"), ("=good", "'=good'"), ("joy=a,Joy=b", "'Joy' twice")]
)
def test_malformed_maps_are_refused(text, word):
    refuses(lambda: label_names.read_map(text), f"label_map: {word}")


def test_maps_of_unknown_labels_are_refused():
    label_names.check_map({"YES": "no"}, [corpus()])
    refuses(lambda: label_names.check_map({"yess": "no"}, [corpus()] * 2), "'yess'", "'yes'?")
    refuses(lambda: label_names.relabel(corpus(), {"yes": "", "no": ""}), "no label is mapped")


def test_label_counts_of_iemocap_add_up_to_its_utterances():
    totals = {part: sum(counts) for part, counts in label_names.TABLE_1.items()}
    assert totals == {"train": 5810, "test": 1623}
