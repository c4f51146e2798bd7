"""Programs that go over to other rows."""

import numpy as np
import pytest

from mman_jax.data.parts import common_shapes, prepare
from mman_jax.data.splits import split
from tests import tiny


def test_rows_of_other_shapes_are_not_put_in_place():
    corpus = tiny.corpus()
    made, _ = tiny.trainer(parts=prepare(corpus))
    with pytest.raises(ValueError, match="other shapes"):
        made.put(prepare(tiny.corpus((4, 3, 4))).rows)


def test_rows_that_are_put_in_place_are_those_that_are_read():
    corpus = tiny.corpus()
    whole = split(corpus)
    other = type(whole)(whole.train[1:], whole.valid, whole.test, "without the first")
    shapes = common_shapes(corpus, [whole, other])
    first, second = (prepare(corpus, x, shapes) for x in (whole, other))
    made, labels = tiny.trainer(parts=first)
    cells = [int(np.asarray(part.rows["train"].mask).sum()) for part in (first, second)]
    assert cells[0] > cells[1]
    made.put(second.rows)
    placed = made._feed.labelled(labels)["train"]
    assert int(np.asarray(placed.mask).sum()) == cells[1]
    for name, x in placed.features.items():
        np.testing.assert_array_equal(x, np.asarray(second.rows["train"].features[name]))
