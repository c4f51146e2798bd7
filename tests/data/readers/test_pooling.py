import itertools

import numpy as np
import pytest

from mman_jax.data.readers import pooling
from mman_jax.data.readers.read import read_corpus
from tests.data.readers import public
from tests.data.small import refuses

FRAMES = np.array([[1.0, -2], [3, 2], [5, 9]])


def padded(array, frames, how):
    """A collector of padded utterances, added in chunks."""
    collector = pooling.Collector("x", how)
    for rows, block in pooling.chunks(array):
        collector.add_padded(block, frames[rows], "here")
    return collector


def ragged(sequences, how):
    """A collector of utterances, added one by one."""
    collector = pooling.Collector("x", how)
    for sequence in sequences:
        collector.add(sequence, "here")
    return collector


MEANS = {"mean": [3, 3], "last": [5, 9], "mean_std": [3, 3, (8 / 3) ** 0.5, (62 / 3) ** 0.5]}


@pytest.mark.parametrize("how", MEANS)
def test_by_hand(how):
    for collector in (padded(FRAMES[None], np.ones((1, 3), bool), how), ragged([FRAMES], how)):
        np.testing.assert_allclose(collector.features, [MEANS[how]], rtol=1e-6)
        assert collector.features.dtype == np.float32
        assert collector.present.tolist() == [True]


@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize("how", pooling.POOLS)
def test_padding_of_any_value_on_either_side_changes_nothing(how, front):
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(size, 3)) for size in (1, 4, 0, 2)]
    array, frames = rng.normal(size=(4, 5, 3)), np.zeros((4, 5), bool)
    for row, sequence in enumerate(sequences):
        here = slice(5 - len(sequence), 5) if front else slice(len(sequence))
        array[row, here], frames[row, here] = sequence, True
    collector = padded(array, frames, how)
    np.testing.assert_allclose(collector.features, ragged(sequences, how).features, rtol=1e-6)
    assert collector.present.tolist() == [True, True, False, True]
    assert not collector.features[2].any()


def test_nan_and_infinity_are_zero_and_counted_only_in_frames():
    array = np.array([[[np.nan, 2.0], [-np.inf, 4.0], [np.inf, np.nan]]])
    collector = padded(array, np.array([[True, True, False]]), "mean")
    assert collector.features.tolist() == [[0, 3]]
    assert collector.notes()[-1].startswith("x: 2 values")


def test_the_size_of_chunks_does_not_matter(monkeypatch):
    array = np.random.default_rng(0).normal(size=(50, 4, 3))
    expected = padded(array, np.ones((50, 4), bool), "mean_std").features
    monkeypatch.setattr("mman_jax.data.validation._CHUNK_VALUES", 30)
    found = padded(array, np.ones((50, 4), bool), "mean_std").features
    np.testing.assert_array_equal(found, expected)


def test_zeros_between_frames_are_frames():
    row = np.array([0, 1, 0, 2, 0, 0])[None, :, None]
    assert pooling.nonzero(row, front=True)[0].tolist() == [False, *[True] * 5]
    assert pooling.nonzero(row, front=False)[0].tolist() == [*[True] * 4, False, False]
    assert not pooling.nonzero(np.zeros((1, 3, 2)), front=True).any()
    assert pooling.nonzero(np.full((1, 3, 2), np.nan), front=True).all()


@pytest.mark.parametrize("how", [*pooling.POOLS, None])
def test_arrays_without_steps(how):
    collector = padded(np.zeros((2, 0, 3)), np.ones((2, 0), bool), how)
    assert collector.present.tolist() == [False, False]


def test_missing_utterances_and_vectors_have_no_frames():
    collector = pooling.Collector("x", None)
    collector.skip()
    collector.add(FRAMES, "here", np.array([[2, 1], [0, 1], [1, 2.0]]))
    collector.add_vectors(np.ones((1, 2)), "here")
    assert collector.features.tolist() == [[0, 0], [3, 3], [1, 1]]
    assert collector.present.tolist() == [False, True, True]
    sequence = collector.sequence()
    assert sequence.lengths.tolist() == [0, 3, 0]
    assert sequence.values.tolist() == FRAMES[[1, 2, 0]].tolist()
    assert sequence.intervals.tolist() == [[0, 1], [1, 2], [2, 2]]
    refuses(lambda: collector.add(np.ones((1, 5)), "there"), "there: 5 features", "2")
    refuses(lambda: pooling.check("max"), "pool: 'max'", "mean")


BUILDERS = {
    "mmsa": public.mmsa,
    "mmsa in front": lambda: public.mmsa(front=True),
    "mult": public.mult,
    "mult in back": lambda: public.mult(front=False),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_sequences_are_frames_without_padding_and_have_the_pooled_mean(tmp_path, name):
    path = public.dump(tmp_path / "x.pkl", BUILDERS[name]())
    corpus, pooled = read_corpus(path, pool=None), read_corpus(path)
    assert pooled.sequences == {}
    assert list(corpus.sequences) == list(pooled.features)
    for modality, sequence in corpus.sequences.items():
        np.testing.assert_array_equal(corpus.features[modality], pooled.features[modality])
        assert (sequence.values[:, 0] != 0).all()
        for row, (start, stop) in enumerate(itertools.pairwise(sequence.offsets)):
            mean = sequence.values[start:stop].mean(0)
            np.testing.assert_allclose(mean, pooled.features[modality][row], rtol=1e-6)


def test_aligned_modalities_stay_aligned(tmp_path):
    value = public.mult()
    for part in value.values():
        rows, steps, _ = part["text"].shape
        for key in ("audio", "vision"):
            part[key] = np.zeros((rows, steps, 2))
        part["audio"][:, -1] = 3
    corpus = read_corpus(public.dump(tmp_path / "x.pkl", value), pool=None)
    text, speech = corpus.sequences["text"], corpus.sequences["speech"]
    np.testing.assert_array_equal(text.lengths, speech.lengths)
    ends = text.offsets[1:] - 1
    assert np.flatnonzero(speech.values[:, 0]).tolist() == ends.tolist()
    assert any("treated as aligned" in note for note in corpus.source_notes)
    np.testing.assert_array_equal(corpus.features["speech"], 3)
