"""Sequences on their way: from public layouts, through .npz, by --join."""

import itertools

import numpy as np
import pytest

from mman_jax.data import leaks, sequences
from mman_jax.data.readers import joining, npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.sequences import Sequence
from mman_jax.errors import InputError
from tests.data import small
from tests.data.readers import public
from tests.data.readers.test_csd import FRAMES, LABELS, TIMES, write


def made(**changes):
    """Of c0's two utterances, c1's one: two words, none, one; and frames without times."""
    text = {
        "values": np.array([[1, 2], [3, 4], [5, 6]], np.float32),
        "lengths": np.array([2, 0, 1], np.int32),
        "intervals": np.array([[0, 0.5], [0.5, 1], [0.25, 1.1]]),
        "names": ("well", "no", "é"),
    }
    face = Sequence(np.arange(12, dtype=np.float32).reshape(4, 3), np.array([1, 1, 2], np.int32))
    given = {"text": Sequence(**(text | changes)), "face": face}
    return small.corpus((2, 1), {"speech": 2}, sequences=given)


def assert_same(one, other):
    assert list(one.sequences) == list(other.sequences)
    for name, sequence in one.sequences.items():
        found = other.sequences[name]
        for field in ("values", "lengths", "intervals"):
            a, b = getattr(sequence, field), getattr(found, field)
            np.testing.assert_array_equal(a, b)
            assert a is None or a.dtype == b.dtype
        assert found.names == sequence.names


def test_npz_gives_back_what_it_was_given_mapped(tmp_path):
    corpus = made()
    npz.write(corpus, tmp_path / "a.npz")
    again = npz.read(tmp_path / "a.npz")
    assert_same(corpus, again)
    assert isinstance(again.sequences["text"].values, np.memmap)
    assert again.fingerprint() == corpus.fingerprint()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    del arrays["features/text"], arrays["features/face"], arrays["present/text"]
    np.savez(tmp_path / "b.npz", **arrays)
    assert npz.read(tmp_path / "b.npz").fingerprint() == corpus.fingerprint()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ["f2", "f4", ">f8"])
def test_times_of_any_precision_are_float64(tmp_path, save, kind):
    npz.write(made(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    save(tmp_path / "b.npz", **arrays | {"intervals/text": arrays["intervals/text"].astype(kind)})
    found = npz.read(tmp_path / "b.npz").sequences["text"].intervals
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, arrays["intervals/text"], rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence_lengths/text": None}, "a.npz: sequence_lengths/text: missing"),
        ({"sequences/text": None}, "a.npz: sequence_lengths/text: without sequences/text"),
        ({"sequences/text": np.ones((3, 1, 2))}, "without padding"),
        ({"sequence_lengths/text": np.array([2, 0, 0])}, "sequence text: lengths: a sum of 2"),
        ({"intervals/text": np.zeros((3, 2), int)}, "a.npz: intervals/text: int64"),
        ({"sequence_lengths/text": np.array([2, 0, 1, 4])}, "sequence text: lengths: 4 entries"),
    ],
)
def test_an_archive_that_does_not_fit_is_refused_by_key(tmp_path, changes, message):
    npz.write(made(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        arrays = {k: v for k, v in ({**archive} | changes).items() if v is not None}
    for order in ({}, {"conversation": np.array(["a", "b", "a"])}):
        given = arrays | order
        for key in ("lengths", "conversation_ids", "utterance_ids") if order else ():
            del given[key]
        np.savez(tmp_path / "a.npz", **given)
        with pytest.raises(InputError) as refused:
            npz.read(tmp_path / "a.npz")
        assert message in str(refused.value)


def test_utterances_that_stood_apart_take_their_cells_along(tmp_path):
    npz.write(made(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        arrays = {**archive, "conversation": np.array(["a", "b", "a"])}
    del arrays["lengths"], arrays["conversation_ids"]
    arrays["utterance_ids"] = np.array(["1", "2", "3"])
    np.savez(tmp_path / "a.npz", **arrays)
    text = npz.read(tmp_path / "a.npz").sequences["text"]
    assert text.lengths.tolist() == [2, 1, 0]
    assert text.names == ("well", "no", "é")


def test_cells_are_taken_in_pieces(monkeypatch):
    whole = made().sequences["text"]
    monkeypatch.setattr(sequences, "_CHUNK_VALUES", 2)
    found = sequences.taken(whole, np.array([2, -1, 0]))
    np.testing.assert_array_equal(found.values, whole.values[[2, 0, 1]])
    np.testing.assert_array_equal(found.intervals, whole.intervals[[2, 0, 1]])
    assert (found.lengths.tolist(), found.names) == ([1, 0, 2], ("é", "well", "no"))


@pytest.mark.parametrize(
    "build",
    [public.mmsa, lambda: public.mmsa(front=True), lambda: public.mult(front=False), public.mult],
)
def test_padding_is_cut_and_the_mean_stays_what_it_was(tmp_path, build):
    path = public.dump(tmp_path / "x.pkl", build())
    corpus, pooled = read_corpus(path, pool=None), read_corpus(path)
    assert pooled.sequences == {}
    assert list(corpus.sequences) == list(pooled.features)
    for name, sequence in corpus.sequences.items():
        np.testing.assert_array_equal(corpus.features[name], pooled.features[name])
        assert (sequence.values[:, 0] != 0).all()
        for row, (start, stop) in enumerate(itertools.pairwise(sequence.offsets)):
            own = sequence.values[start:stop]
            np.testing.assert_allclose(own.mean(0), pooled.features[name][row], rtol=1e-6)


def test_what_was_aligned_stays_aligned(tmp_path):
    value = public.mult()
    for part in value.values():  # in front, as public files do
        for key in ("audio", "vision"):
            part[key] = np.zeros((*part["text"].shape[:2], 2))
        first = (part["text"] != 0).any(2).argmax(1)
        part["audio"][np.arange(len(first)), -1] = 3
    corpus = read_corpus(public.dump(tmp_path / "x.pkl", value), pool=None)
    text, speech = corpus.sequences["text"], corpus.sequences["speech"]
    np.testing.assert_array_equal(text.lengths, speech.lengths)
    ends = text.offsets[1:] - 1
    assert np.flatnonzero(speech.values[:, 0]).tolist() == ends.tolist()
    assert any("taken as aligned" in note for note in corpus.source_notes)
    np.testing.assert_array_equal(corpus.features["speech"], 3)


def test_ragged_frames_are_kept(tmp_path):
    corpus = read_corpus(public.dump(tmp_path / "x.pkl", public.misa()), pool=None)
    assert corpus.utterance_ids == ("va[8]", "va[9]", "va[10]")
    assert corpus.sequences["speech"].lengths.tolist() == [0, 2, 0]
    assert corpus.sequences["visual"].lengths.tolist() == [3, 2, 1]
    assert corpus.sequences["visual"].values[:, 0].tolist() == [2, 2, 2, 1, 1, 0]


def test_computational_sequences_keep_their_seconds_from_the_segment_on(tmp_path):
    write(tmp_path / "a.csd", "COVAREP", {"va": (FRAMES, TIMES), "vb": (FRAMES, TIMES)})
    write(tmp_path / "b.csd", "FACET", {"vb": (FRAMES, TIMES)})
    write(tmp_path / "l.csd", "Opinion Segment Labels", {**LABELS, "vb": LABELS["va"]})
    corpus = read_corpus(tmp_path, pool=None)
    found = corpus.sequences["COVAREP"]
    assert found.lengths.tolist() == [2, 2, 2, 2]
    assert found.values[:4].tolist() == [[1, 2], [3, 4], [5, 0], [7, 8]]
    assert found.intervals[:4].tolist() == [[0, 0.5], [1, 1.5], [0, 0.5], [1, 1.5]]
    assert corpus.sequences["FACET"].lengths.tolist() == [0, 0, 2, 2]


def test_sequences_are_joined_by_id(tmp_path):
    corpus = small.corpus((2, 1), {"speech": 2})
    frames = {f"c{c}/u{u}": np.ones((n, 2)) * n for c, u, n in ((0, 0, 3), (0, 1, 1), (1, 0, 2))}
    np.savez(tmp_path / "frames.npz", **frames)
    joined = joining.join(corpus, {"frames": tmp_path / "frames.npz"}, None)
    assert joined.sequences["frames"].lengths.tolist() == [3, 1, 2]
    assert joined.features["frames"][:, 0].tolist() == [3, 1, 2]
    other = small.corpus((1, 2), conversation_ids=("c1", "c0"), sequences=made().sequences)
    npz.write(other, tmp_path / "other.npz")
    read = {"read": lambda path: read_corpus(path)}
    joined = joining.join(corpus, {"face": tmp_path / "other.npz"}, None, **read)
    assert joined.sequences["face"].lengths.tolist() == [1, 2, 1]
    np.testing.assert_array_equal(joined.sequences["face"].values[:, 0], [3, 6, 9, 0])
    assert joined.sequences["face"].names is None


def test_conversations_of_equal_features_and_other_words_are_no_copy():
    features = {"speech": np.ones((4, 2), np.float32)}
    values = np.arange(4, dtype=np.float32).reshape(4, 1)
    given = Sequence(values, np.ones(4, np.int32))
    parts = {"train": np.array([0]), "test": np.array([1])}
    same = small.corpus((2, 2), features=features)
    with pytest.raises(InputError, match="the same features"):
        leaks.check(same, parts)
    features["text"] = np.ones((4, 1), np.float32)
    other = small.corpus((2, 2), features=features, sequences={"text": given})
    assert leaks.check(other, parts) == ()
