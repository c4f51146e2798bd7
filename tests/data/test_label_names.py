import dataclasses

import numpy as np
import pytest

from mman_jax.data import label_names
from mman_jax.errors import InputError
from tests.data import small


def test_labels_are_merged_renamed_and_dropped():
    corpus = small.corpus(
        label_names=("Joy", "sad", "contempt", "angry"),
        labels=np.array([0, 1, 2, 3, -1, 0], np.int32),
    )
    names = label_names.read_map("joy=good, sad = bad,angry=bad,contempt=,fear=bad")
    found = label_names.relabel(corpus, names)
    assert found.label_names == ("good", "bad")
    assert found.labels.tolist() == [0, 1, -1, 1, -1, 0]
    assert label_names.relabel(corpus, {}) is corpus
    votes = {name: np.full(6, n, np.int32) for n, name in enumerate(corpus.label_names, 1)}
    found = label_names.relabel(dataclasses.replace(corpus, votes=votes), names)
    # Of the third, which is dropped, nothing is to be learnt by the votes that are left.
    assert {name: x.tolist() for name, x in found.votes.items()} == {
        "good": [1, 1, 0, 1, 1, 1],
        "bad": [6, 6, 0, 6, 6, 6],
    }
    many = {name: np.full(6, 2**31 - 1, np.int32) for name in corpus.label_names}
    found = label_names.relabel(dataclasses.replace(corpus, votes=many), names)
    assert found.votes["bad"].max() == 2**31 - 1
    # One step, not a chain: what becomes `sad` stays so.
    found = label_names.relabel(corpus, {"joy": "sad", "sad": "joy"})
    assert found.label_names == ("sad", "joy", "contempt", "angry")
    assert found.labels.tolist() == corpus.labels.tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [("joy", "'joy'"), ("=good", "'=good'"), ("joy=a,Joy=b", "'Joy' twice")],
)
def test_a_map_that_cannot_be_read_is_refused(text, said):
    with pytest.raises(InputError, match=f"label_map: {said}"):
        label_names.read_map(text)


def test_a_label_that_nobody_has_is_refused():
    label_names.check_map({"YES": "no"}, [small.corpus()])
    with pytest.raises(InputError, match=r"no label 'yess'; expected 'yes'\?"):
        label_names.check_map({"yess": "no"}, [small.corpus(), small.corpus()])
    with pytest.raises(InputError, match="every label is mapped to nothing"):
        label_names.relabel(small.corpus(), {"yes": "", "no": ""})
