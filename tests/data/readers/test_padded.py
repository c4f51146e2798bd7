"""Frames of public layouts as sequences."""

import itertools

import numpy as np
import pytest

from mman_jax.data.readers.read import read_corpus
from tests.data.readers import public

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
