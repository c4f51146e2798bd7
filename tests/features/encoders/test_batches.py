"""Utterances measured together against each of them alone."""

import dataclasses

import numpy as np
import pytest

from mman_jax.features.encoders import networks, states
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import many
from mman_jax.features.measuring.measuring import Measuring
from mman_jax.features.settings import Settings
from tests.features import clips
from tests.features.encoders.test_states import encoder, made  # noqa: F401 (a fixture)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SAID = ["what a day", "a", "what days ! what a day", "!", "", "a day"]


@pytest.fixture
def sizes(monkeypatch):
    """How many utterances each call of a network gets."""
    found, plain = [], networks.Network.states

    def counted(self, layer, **inputs):
        found.append(len(next(iter(inputs.values()))))
        return plain(self, layer, **inputs)

    monkeypatch.setattr(networks.Network, "states", counted)
    return found


def sounds():
    random = np.random.default_rng(0)
    lengths = (4000, 3, 2700, 9700, 4000, 1601)
    return [(0.1 * random.standard_normal(n)).astype(np.float32) for n in lengths]


@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_sounds_are_what_they_are_alone(made, sizes, monkeypatch, layer):  # noqa: F811
    monkeypatch.setattr(states, "_PIECE", 8000)  # the longest is two pieces
    own = dataclasses.replace(encoder(made, "speech", "layered"), layer=layer)
    alone = [own.states([sound])[0] for sound in sounds()]
    del sizes[:]
    together = own.states(sounds())
    assert max(sizes) == 7
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_one_whose_answers_padding_would_change_gets_them_singly(made, sizes):  # noqa: F811
    own = encoder(made, "speech")  # its group norm is over all of a sound
    alone = [own.states([sound])[0] for sound in sounds()]
    together = own.states(sounds())
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert sizes.count(2) == 1  # what found that out
    assert max(sizes) == 2
    assert not networks.may_be_padded(own.folder, "speech", -1)


@pytest.mark.parametrize("layer", [-1, 0])
def test_texts_and_words_are_what_they_are_alone(made, sizes, layer):  # noqa: F811
    own = encoder(made, "text", layer=layer)
    alone = [own.states([text])[0] for text in SAID]
    words = [own.word_vectors({}, [text.split()])[0] for text in SAID]
    del sizes[:]
    for found, expected in zip(own.states(SAID), alone, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    together = own.word_vectors({}, [text.split() for text in SAID])
    for found, expected in zip(together, words, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert max(sizes) == len(SAID)


def test_batches_hold_no_more_than_their_room():
    lengths = np.random.default_rng(0).integers(1, 50, 200).tolist()
    found = list(networks.split(lengths, 400))
    assert sorted(i for batch in found for i in batch) == list(range(200))
    assert all(len(b) * max(lengths[i] for i in b) <= 400 for b in found)
    assert len(found) < 200 / 6
    assert list(networks.split([500, 500], 400)) == [[0], [1]]
    assert list(networks.split([], 400)) == []


def test_the_cache_gets_of_a_group_what_it_gets_of_each(made, sizes, tmp_path, monkeypatch):  # noqa: F811
    def here(work, items, processes):
        return ((item, work(item)) for item in items)

    monkeypatch.setattr(many.pool, "run", here)
    settings = Settings(speech=encoder(made, "speech", "layered"), text=encoder(made, "text"))
    said = [
        Utterance("c", str(n), str(clips.write(tmp_path / f"{n}.wav", 0.3 + n / 9, picture=False)))
        for n in range(3)
    ]
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    said.insert(1, Utterance("c", "bad", str(tmp_path / "bad.wav")))
    said = [dataclasses.replace(u, transcript=t) for u, t in zip(said, SAID, strict=False)]
    how = {"settings": settings, "sequences": ("speech", "text")}
    one, group = (Measuring(folder=str(tmp_path / name), **how) for name in ("one", "group"))
    failures = [one(utterance) for utterance in said]
    assert [failure is None for failure in failures] == [True, False, True, True]
    del sizes[:]
    told = dict(many.locally(1)(group, said[:2]))
    assert told == {said[0]: None, said[1]: failures[1]}
    assert dict(many.locally(1)(group, said)) == dict(zip(said, failures, strict=True))
    assert sorted(sizes)[-2:] == [2, 2]  # of sound and of text; the first was measured before
    assert [group.done(utterance) for utterance in said] == [True, False, True, True]
    for utterance in said[:1] + said[2:]:
        for modality in ("speech", "text"):
            alone = one.result(utterance, modality)
            np.testing.assert_allclose(group.result(utterance, modality), alone, atol=1e-5)
        alone = one.cells(utterance, "speech")
        np.testing.assert_allclose(group.cells(utterance, "speech"), alone, atol=1e-5)
