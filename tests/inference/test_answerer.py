import dataclasses

import jax
import numpy as np
import pytest

from configs import clstm_lf, clstm_mma, dialogue_rnn, mman, sdt_causal
from mman_jax.errors import InputError
from mman_jax.inference import lines
from mman_jax.inference.answerer import Answerer, combine
from mman_jax.inference.model import Model
from mman_jax.service.slots import SlotStates
from tests.inference import trained
from tests.inference.lines import answered
from tests.inference.trained import LENGTHS, corpus, there


def interleaved(answerer, given):
    """Answers by utterance, the conversations taking turns."""
    states, found = [answerer.begin() for _ in LENGTHS], {}
    for turn in range(max(LENGTHS)):
        for c in np.flatnonzero(given.lengths > turn):
            i = int(given.offsets[c]) + turn
            states[c], found[i] = answerer.step(states[c], there(given, i))
    return [found[i] for i in range(len(given.labels))]


def numbers(answers):
    return [list(answer.probabilities.values()) for answer in answers]


def weights(answers):
    return [[list(keys.values()) for keys in a.attention.values()] for a in answers]


@pytest.mark.parametrize(("system", "missing"), [(mman, True), (clstm_mma, False)])
def test_interleaved_conversations_are_answered_as_in_a_file(system, missing):
    model, given = trained.model(system), corpus(missing)
    classes, expected, labels = combine([model], [model.probabilities(given)])
    found = interleaved(Answerer([model]), given)
    assert [answer.label for answer in found] == labels
    assert {tuple(answer.probabilities) for answer in found} == {tuple(classes)}
    assert {answer.attention for answer in found} == {None}
    np.testing.assert_allclose(numbers(found), expected, atol=2e-6)
    assert np.ptp(expected, axis=0).min() > 0.02  # the answers differ


@pytest.mark.parametrize("system", [dialogue_rnn, sdt_causal])
def test_speakers_are_read_in_streams_as_in_a_file(system):
    def change(config):
        small = {"history": 4, "party": 4, "emotion": 3, "dense": 4, "listener": True}
        config.network.update(small if system is dialogue_rnn else {"size": 4, "heads": 2})
        config.network.parties = 2
        return config

    model = trained.model(system, change=change)
    names = tuple("abcab" + "caabbcc" + "ab")
    given = dataclasses.replace(corpus(), speakers=names)
    answerer = Answerer([model])
    states, found = [answerer.begin() for _ in LENGTHS], {}
    for turn in range(max(LENGTHS)):
        for c in np.flatnonzero(given.lengths > turn):
            i = int(given.offsets[c]) + turn
            states[c], found[i] = answerer.step(states[c], there(given, i), names[i])
    streamed = numbers([found[i] for i in range(len(names))])
    np.testing.assert_allclose(streamed, model.probabilities(given), atol=2e-6)
    alone = dataclasses.replace(given, speakers=None)
    assert np.abs(model.probabilities(alone) - model.probabilities(given)).max() > 1e-4


def test_a_system_without_gradients_answers_turn_by_turn_as_in_a_file(tmp_path):
    given, random = corpus(), np.random.default_rng(0)
    fitted = {
        "weights": random.normal(size=(2, 3, 8)).astype(np.float32),
        "offsets": random.normal(size=(2, 3)).astype(np.float32),
        "classes": np.array([[(0, 1), (0, 2), (1, 2)]] * 2, np.int32),
        "slope": np.array([1, 0.5], np.float32),
    }
    scaling = trained.model().scaling
    classes = trained.CLASSES
    model = Model(fitted, scaling, {"system": "linear"}, dict(trained.DIMS), classes, {})
    expected = model.probabilities(given)
    found = interleaved(Answerer([model]), given)
    np.testing.assert_allclose(numbers(found), expected, atol=2e-6)
    assert np.ptp(expected, axis=0).min() > 0.02
    stream = [line.encode() for line in lines.lines(given)]
    halves = [
        list(answer["probabilities"].values())
        for part in (stream[:4], stream[4:])
        for answer in answered(Answerer([model]), part, tmp_path / "states")
    ]
    np.testing.assert_allclose(halves, expected, atol=1.5e-6)
    slots = SlotStates(Answerer([model]), 2, sizes=(2,))
    served = [slots.step([1], [i == 0], [there(given, i)])[0] for i in range(5)]
    np.testing.assert_allclose(numbers(served), expected[:5], atol=2e-6)


def test_what_is_missing_counts_for_nothing_and_the_state_has_one_size():
    model, given = trained.model(), corpus()
    features = {m: np.where(given.present[m][:, None], x, np.nan).astype(np.float32)
                for m, x in given.features.items()}  # fmt: skip
    unknown = dataclasses.replace(given, features=features)
    np.testing.assert_array_equal(model.probabilities(unknown), model.probabilities(given))
    whole = corpus(missing=False)
    assert np.abs(model.probabilities(whole) - model.probabilities(given)).max() > 0.01
    # An utterance of which nothing is there leaves no trace.
    answerer = Answerer([model])
    before, _ = answerer.step(answerer.begin(), there(whole, 0))
    after, _ = answerer.step(before, {})
    jax.tree.map(np.testing.assert_array_equal, before, after)
    for streamed in (model, trained.by_speaker()):
        answerer = Answerer([streamed])
        state, sizes = answerer.begin(), set()
        for i in range(8):
            sizes.add(sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
            state, _ = answerer.step(state, there(whole, i))
        assert len(sizes) == 1
        assert sizes != {0}


def test_a_stream_of_lines_is_scaled_by_speaker_as_a_file_turn_by_turn(tmp_path):
    model, given = trained.by_speaker(), corpus()
    names = ("a", "b", "unknown", "b", "b", "a", "c", "c", "c", "a", "d", "a", "d", "d")
    given = dataclasses.replace(given, speakers=names)
    expected = trained.in_turn(model).probabilities(given)
    stream = [line.encode() for line in lines.lines(given)]
    found = answered(Answerer([model]), stream)
    values = [list(answer["probabilities"].values()) for answer in found]
    np.testing.assert_allclose(values, expected, atol=1.5e-6)  # of six decimals
    halves = [
        answer
        for part in (stream[:4], stream[4:])
        for answer in answered(Answerer([model]), part, tmp_path / "states")
    ]
    assert halves == found
    unnamed = trained.in_turn(model).probabilities(dataclasses.replace(given, speakers=None))
    whole = model.probabilities(given)
    assert min(np.abs(expected - other).max() for other in (unnamed, whole)) > 0.01
    first = given.offsets[:-1]
    np.testing.assert_allclose(unnamed[first], expected[first], atol=1e-6)


def test_speakers_are_named_to_a_service_s_step():
    model, given = trained.by_speaker(), corpus(missing=False)
    answerer, names = Answerer([model]), ("a", "b", "a")
    state, states = answerer.begin(), SlotStates(answerer, 2, sizes=(2,))
    for i, name in enumerate(names):
        state, expected = answerer.step(state, there(given, i), name)
        (found,) = states.step([1], [i == 0], [there(given, i)], [name])
        assert found.probabilities == pytest.approx(expected.probabilities, abs=2e-6)
    _, other = answerer.step(state, there(given, 3), "c")
    (found,) = states.step([1], [False], [there(given, 3)], ["b"])
    assert abs(found.probabilities["sad"] - other.probabilities["sad"]) > 1e-4


def test_one_model_a_class_is_answered_as_in_a_file():
    given = corpus()
    models = [
        dataclasses.replace(
            trained.model(classes=("rest", name), seeds=1 + i, first_seed=i), temperature=0.5 + i
        )
        for i, name in enumerate(("happy", "sad"))
    ]
    several = [model.probabilities(given) for model in models]
    classes, expected, labels = combine(models, several)
    assert classes == ["happy", "sad"]
    np.testing.assert_array_equal(expected[:, 1], several[1][:, 1])
    found = interleaved(Answerer(models, attention=True), given)
    assert [answer.label for answer in found] == labels
    assert len(set(labels)) > 2
    np.testing.assert_allclose(numbers(found), expected, atol=2e-6)
    # The attention of all of them, each model the same.
    looked = np.mean([model.attention(given)[1] for model in models], axis=0)
    np.testing.assert_allclose(weights(found), looked, atol=1e-6)
    # By hand.
    by_hand = np.array([[0.4, 0.6], [0.7, 0.3]]), np.array([[0.2, 0.8], [0.9, 0.1]])
    names, probabilities, labels = combine(models, by_hand)
    assert (names, labels) == (["happy", "sad"], ["happy+sad", "none"])
    assert probabilities.tolist() == [[0.6, 0.8], [0.3, 0.1]]


def test_attention_is_that_of_a_file():
    model, given = trained.model(), corpus()
    names, expected = model.attention(given)
    assert names == ("speech", "text")
    assert expected.shape == (len(given.labels), 2, 2)
    np.testing.assert_allclose(expected.sum(-1), 1, rtol=1e-6)
    found = interleaved(Answerer([model], attention=True), given)
    assert list(found[0].attention) == ["speech", "text"]
    np.testing.assert_allclose(weights(found), expected, atol=1e-6)
    alone = given.present["speech"] & ~given.present["text"]
    assert alone.any()
    np.testing.assert_array_equal(expected[alone, 0], np.tile([1.0, 0.0], (alone.sum(), 1)))


def test_without_an_attention_tower_there_is_nothing_to_tell():
    model = trained.model(clstm_lf)
    assert model.attention(corpus()) is None
    with pytest.raises(InputError, match=r"attention: none in this MMAN \(heads: speech, text"):
        Answerer([model], attention=True)
