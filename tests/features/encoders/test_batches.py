"""Utterances measured together, compared with single measurements."""

import dataclasses

import numpy as np
import pytest

from mman_jax.features import measuring
from mman_jax.features.encoders import networks, states
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import Measuring
from mman_jax.features.settings import Settings
from tests.features import clips
from tests.features.encoders.tiny import encoder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TEXTS = ["what a day", "a", "what days ! what a day", "!", "", "a day"]


@pytest.fixture
def sizes(monkeypatch):
    """Number of utterances in each call of a network."""
    sizes, states = [], networks.Network.states

    def counted(self, layer, **inputs):
        sizes.append(len(next(iter(inputs.values()))))
        return states(self, layer, **inputs)

    monkeypatch.setattr(networks.Network, "states", counted)
    return sizes


def assert_close(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def sounds():
    random = np.random.default_rng(0)
    lengths = (4000, 3, 2700, 9700, 4000, 1601)
    return [(0.1 * random.standard_normal(n)).astype(np.float32) for n in lengths]


@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_sounds(encoders, sizes, monkeypatch, layer):
    monkeypatch.setattr(states, "_PIECE", 8000)  # the longest is two pieces
    extractor = dataclasses.replace(encoder(encoders, "speech", "layered"), layer=layer)
    alone = [extractor.states([sound])[0] for sound in sounds()]
    del sizes[:]
    together = extractor.states(sounds())
    assert max(sizes) == 7
    assert_close(together, alone)


def test_encoders_that_padding_changes_get_single_sounds(encoders, sizes):
    extractor = encoder(encoders, "speech")  # its group norm spans the whole sound
    alone = [extractor.states([sound])[0] for sound in sounds()]
    together = extractor.states(sounds())
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert sizes.count(2) == 1  # the test of padding
    assert max(sizes) == 2
    assert not networks.may_be_padded(extractor.folder, "speech", -1)


@pytest.mark.parametrize("layer", [-1, 0])
def test_texts_and_words(encoders, sizes, layer):
    extractor = encoder(encoders, "text", layer=layer)
    alone = [extractor.states([text])[0] for text in TEXTS]
    words = [extractor.word_vectors({}, [text.split()])[0] for text in TEXTS]
    del sizes[:]
    assert_close(extractor.states(TEXTS), alone)
    assert_close(extractor.word_vectors({}, [text.split() for text in TEXTS]), words)
    assert max(sizes) == len(TEXTS)


def test_batches_are_limited_by_their_padded_length():
    lengths = np.random.default_rng(0).integers(1, 50, 200).tolist()
    batches = list(networks.split(lengths, 400))
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    assert all(len(b) * max(lengths[i] for i in b) <= 400 for b in batches)
    assert len(batches) < 200 / 6
    assert list(networks.split([500, 500], 400)) == [[0], [1]]
    assert list(networks.split([], 400)) == []


def test_groups_are_cached_like_single_utterances(encoders, sizes, tmp_path, monkeypatch):
    def here(work, items, processes):
        return ((item, work(item)) for item in items)

    monkeypatch.setattr(measuring.pool, "run", here)
    settings = Settings(
        speech=encoder(encoders, "speech", "layered"), text=encoder(encoders, "text")
    )
    paths = [clips.write(tmp_path / f"{n}.wav", 0.3 + n / 9, picture=False) for n in range(3)]
    paths.insert(1, tmp_path / "bad.wav")
    paths[1].write_bytes(b"no sound")
    said = [
        Utterance("c", path.stem, str(path), transcript=text)
        for path, text in zip(paths, TEXTS, strict=False)
    ]
    single, group = (
        Measuring(settings, str(tmp_path / name), sequences=("speech", "text"))
        for name in ("single", "group")
    )
    failures = [single(utterance) for utterance in said]
    assert [failure is None for failure in failures] == [True, False, True, True]
    del sizes[:]
    assert dict(measuring.locally(1)(group, said[:2])) == {said[0]: None, said[1]: failures[1]}
    assert dict(measuring.locally(1)(group, said)) == dict(zip(said, failures, strict=True))
    assert sorted(sizes)[-2:] == [2, 2]  # speech and text; the first utterance is cached
    assert [group.done(utterance) for utterance in said] == [True, False, True, True]
    good = [said[0], *said[2:]]
    for modality in ("speech", "text"):
        assert_close(*([work.result(u, modality) for u in good] for work in (group, single)))
    assert_close(*([work.cells(u, "speech") for u in good] for work in (group, single)))
