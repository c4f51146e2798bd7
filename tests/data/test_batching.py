import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from mman_jax.data import batching, scaling
from mman_jax.types import UNSCORED
from tests.data.small import corpus, refuses


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    room=st.integers(0, 9),
    data=st.data(),
)
def test_each_conversation_is_packed_once_and_in_one_piece(lengths, room, data):
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True))
    longest = max(lengths[c] for c in chosen)
    layout = batching.pack(np.array(lengths, np.int32), chosen, longest + room if room else None)
    assert layout.length == longest + room
    assert layout.conversations.tolist() == chosen
    assert layout.lengths.tolist() == [lengths[c] for c in chosen]
    cells = np.zeros((layout.rows, layout.length), int)
    for row, start, length in zip(layout.row, layout.start, layout.lengths, strict=True):
        assert start + length <= layout.length
        cells[row, start : start + length] += 1
    assert cells.max() == 1
    assert cells.sum() == sum(layout.lengths)
    assert cells.any(axis=1).all()
    assert (np.diff(cells, axis=1) <= 0).all()  # padding only at the end of a row
    assert len(set(layout.positions.tolist())) == sum(layout.lengths)


def test_first_fit_decreasing_by_hand():
    layout = batching.pack(np.array([2, 9, 5, 4, 3, 1]), [0, 2, 3, 4, 5], length=6)
    # 5 | 4 | 3, then 2 after 4, then 1 after 5.
    assert layout.row.tolist() == [1, 0, 1, 2, 0]
    assert layout.start.tolist() == [4, 0, 0, 0, 5]
    assert (layout.rows, layout.length) == (3, 6)


def test_conversations_of_usual_lengths_are_packed_tightly():
    lengths = np.random.default_rng(0).integers(8, 90, 120)
    layout = batching.pack(lengths, range(120), 110)
    assert layout.rows <= 1.05 * np.ceil(lengths.sum() / 110)


def test_conversations_that_are_too_long_and_empty_splits_are_refused():
    refuses(lambda: batching.pack(np.array([2, 5]), [0, 1], length=4), "number 1 has 5 utterances")
    refuses(lambda: batching.pack(np.array([2, 5]), []), "empty split")


def test_rows_by_hand():
    made = corpus()  # conversations of 2, 1 and 3 utterances
    layout = batching.pack(made.lengths, [0, 1, 2])
    batch = batching.rows(made, layout, None)
    labels = batching.place(layout, np.array([5, -1, 7, 8, 9, 10], np.int32), UNSCORED)
    assert labels.tolist() == [[8, 9, 10], [5, UNSCORED, 7], [UNSCORED] * 3]
    assert batch.labels.tolist() == [[UNSCORED] * 3] * 3
    assert batch.mask.tolist() == [[True] * 3] * 2 + [[False] * 3]
    assert batch.reset.tolist() == [[True, False, False], [True, False, True], [True, False, False]]
    np.testing.assert_array_equal(batch.features["speech"][:][1], made.features["speech"][:3])
    assert [a.dtype for a in batch[1:4]] == [np.int32, bool, bool]


def test_padding_is_zero_after_scaling_and_unscored():
    made = corpus(lengths=(2, 3))
    fitted = scaling.fit(made, [0, 1])
    layout = batching.pack(made.lengths, [0, 1], length=4)
    batch = batching.rows(made, layout, fitted)
    assert batch.mask.astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    for name, packed in batch.features.items():
        array = np.asarray(packed)
        assert (array[~batch.mask] == 0).all()
        assert array.dtype == np.float32
        expected = fitted.apply({name: made.features[name][2:]})[name]
        np.testing.assert_array_equal(array[0, :3], expected)
    # The padding of each row is an item of its own.
    padding = (batch.reset & ~batch.mask).astype(int)
    assert padding.tolist() == [[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]


def test_gather_inverts_rows():
    made = corpus(lengths=(2, 4, 1, 3))
    layout = batching.pack(made.lengths, [3, 0, 2])
    batch = batching.rows(made, layout, None)
    order = [7, 8, 9, 0, 1, 6]
    for name, array in batch.features.items():
        np.testing.assert_array_equal(batching.gather(layout, array), made.features[name][order])
    labels = batching.place(layout, made.labels[order], UNSCORED)
    np.testing.assert_array_equal(batching.gather(layout, labels), made.labels[order])


def test_gather_along_another_axis():
    layout = batching.pack(corpus(lengths=(2, 1)).lengths, [0, 1])
    values = np.arange(2 * layout.rows * layout.length * 3).reshape(2, layout.rows, -1, 3)
    both = batching.gather(layout, values, axis=1)
    for seed in range(2):
        np.testing.assert_array_equal(both[seed], batching.gather(layout, values[seed]))
    for shape in [(1, 2), (2, 3), (2,)]:
        with pytest.raises(ValueError, match="axes"):
            batching.gather(layout, np.zeros(shape))


def test_only_requested_rows_of_features_are_read():
    class Counted(np.ndarray):
        read = 0

        def __getitem__(self, index):
            Counted.read += index.stop - index.start
            return np.asarray(self)[index]

    made = corpus(lengths=(2, 4, 1, 3))
    layout = batching.pack(made.lengths, [0, 1, 2, 3])
    full = np.asarray(batching.rows(made, layout, None).features["speech"])
    made.features["speech"] = made.features["speech"].view(Counted)
    packed = batching.rows(made, layout, None).features["speech"]
    assert Counted.read == 0
    np.testing.assert_array_equal(packed[np.array([1, 0, 1, 3])], full[[1, 0, 1, 3]])
    assert Counted.read == 12
    assert not packed[-1:].any()
    assert (packed.shape, packed.nbytes) == (full.shape, full.nbytes)
