import numpy as np
import pytest

from mman_jax.data.readers import pooling
from mman_jax.errors import InputError

FRAMES = np.array([[1.0, -2], [3, 2], [5, 9]])


def padded(array, frames, how):
    """A collector that was given padded utterances in chunks."""
    collector = pooling.Collector("x", how)
    for rows, block in pooling.chunks(array):
        collector.add_padded(block, frames[rows], "here")
    return collector


def ragged(sequences, how):
    """A collector that was given utterances one by one."""
    collector = pooling.Collector("x", how)
    for sequence in sequences:
        collector.add(sequence, "here")
    return collector


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [3, 3]),
        ("last", [5, 9]),
        ("mean_std", [3, 3, np.sqrt(8 / 3), np.sqrt((25 + 1 + 36) / 3)]),
    ],
)
def test_by_hand(how, expected):
    for made in (padded(FRAMES[None], np.ones((1, 3), bool), how), ragged([FRAMES], how)):
        np.testing.assert_allclose(made.features, [expected], rtol=1e-6)
        assert made.features.dtype == np.float32
        assert made.present.tolist() == [True]


@pytest.mark.parametrize("how", pooling.POOLS)
def test_padding_of_any_value_on_either_side_changes_nothing(how):
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(size, 3)) for size in (1, 4, 0, 2)]
    expected = ragged(sequences, how)
    for front in (False, True):
        array = rng.normal(size=(4, 5, 3))
        frames = np.zeros((4, 5), bool)
        for row, sequence in enumerate(sequences):
            here = slice(5 - len(sequence), 5) if front else slice(len(sequence))
            array[row, here], frames[row, here] = sequence, True
        made = padded(array, frames, how)
        np.testing.assert_allclose(made.features, expected.features, rtol=1e-6)
        assert made.present.tolist() == [True, True, False, True]
        assert not made.features[2].any()


def test_nan_and_infinity_are_zero_and_counted_in_frames_alone():
    array = np.array([[[np.nan, 2.0], [-np.inf, 4.0], [np.inf, np.nan]]])
    made = padded(array, np.array([[True, True, False]]), "mean")
    assert made.features.tolist() == [[0, 3]]
    assert made.notes()[-1].startswith("x: 2 values")


def test_chunks_make_no_difference(monkeypatch):
    array = np.random.default_rng(0).normal(size=(50, 4, 3))
    first = padded(array, np.ones((50, 4), bool), "mean_std")
    monkeypatch.setattr(pooling, "_CHUNK_VALUES", 30)
    again = padded(array, np.ones((50, 4), bool), "mean_std")
    np.testing.assert_array_equal(first.features, again.features)


def test_zeros_between_frames_are_frames():
    row = np.array([0, 1, 0, 2, 0, 0])[None, :, None]
    assert pooling.nonzero(row, front=True)[0].tolist() == [False, *[True] * 5]
    assert pooling.nonzero(row, front=False)[0].tolist() == [*[True] * 4, False, False]
    assert not pooling.nonzero(np.zeros((1, 3, 2)), front=True).any()
    assert pooling.nonzero(np.full((1, 3, 2), np.nan), front=True).all()


@pytest.mark.parametrize("how", [*pooling.POOLS, None])
def test_no_steps_at_all(how):
    made = padded(np.zeros((2, 0, 3)), np.ones((2, 0), bool), how)
    assert made.present.tolist() == [False, False]


def test_utterances_without_the_modality_and_vectors_have_no_frames():
    made = pooling.Collector("x", None)
    made.skip()
    made.add(FRAMES, "here", np.array([[2, 1], [0, 1], [1, 2.0]]))
    made.add_vectors(np.ones((1, 2)), "here")
    assert made.features.tolist() == [[0, 0], [3, 3], [1, 1]]
    assert made.present.tolist() == [False, True, True]
    sequence = made.sequence()
    assert sequence.lengths.tolist() == [0, 3, 0]
    assert sequence.values.tolist() == FRAMES[[1, 2, 0]].tolist()
    assert sequence.intervals.tolist() == [[0, 1], [1, 2], [2, 2]]
    with pytest.raises(InputError, match="there: 5 features; expected 2"):
        made.add(np.ones((1, 5)), "there")


def test_another_way():
    with pytest.raises(InputError, match=r"pool: 'max'; expected .*mean"):
        pooling.check("max")
