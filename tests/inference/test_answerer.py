import dataclasses

import jax
import numpy as np
import pytest

from configs import clstm_lf, clstm_mma, mman
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.inference import lines
from mman_jax.inference.answerer import Answerer, combine
from mman_jax.service.slots import SlotStates
from tests.inference import trained
from tests.inference.lines import answered

LENGTHS = (6, 3, 5)


def corpus(missing=True):
    random = np.random.default_rng(1)
    total = sum(LENGTHS)
    features = {
        m: random.normal(size=(total, d)).astype(np.float32) for m, d in trained.DIMS.items()
    }
    present = {m: random.random(total) > 0.3 for m in features} if missing else {}
    return Corpus(
        features,
        np.full(total, -1, np.int32),
        (),
        np.array(LENGTHS, np.int32),
        tuple(f"c{i}" for i in range(len(LENGTHS))),
        tuple(f"u{i}" for i in range(total)),
        present=present,
        source="here",
    )


def there(given, i):
    everywhere = np.ones(len(given.labels), bool)
    return {m: x[i] for m, x in given.features.items() if given.present.get(m, everywhere)[i]}


def interleaved(answerer, given):
    """Answers by utterance, the conversations taking turns."""
    states = [answerer.begin() for _ in LENGTHS]
    found = {}
    for turn in range(max(LENGTHS)):
        for c, length in enumerate(LENGTHS):
            if turn < length:
                i = int(given.offsets[c]) + turn
                states[c], found[i] = answerer.step(states[c], there(given, i))
    return [found[i] for i in range(len(given.labels))], states


@pytest.mark.parametrize(
    ("system", "missing"), [(mman, True), (clstm_lf, True), (clstm_mma, False)]
)
def test_interleaved_conversations_are_answered_as_in_a_file(system, missing):
    model, given = trained.model(system), corpus(missing)
    classes, expected, labels = combine([model], [model.probabilities(given)])
    found, _ = interleaved(Answerer([model]), given)
    assert [answer.label for answer in found] == labels
    for answer, row in zip(found, expected, strict=True):
        assert list(answer.probabilities) == classes
        np.testing.assert_allclose(list(answer.probabilities.values()), row, atol=2e-6)
        assert answer.attention is None
    assert np.ptp(expected, axis=0).min() > 0.02  # the answers differ


def test_what_is_missing_counts_for_nothing_in_a_file():
    model, given = trained.model(), corpus()
    features = {m: x.copy() for m, x in given.features.items()}
    for m, x in features.items():
        x[~given.present[m]] = np.nan
    unknown = dataclasses.replace(given, features=features)
    np.testing.assert_array_equal(model.probabilities(unknown), model.probabilities(given))
    whole = dataclasses.replace(given, present={})
    assert np.abs(model.probabilities(whole) - model.probabilities(given)).max() > 0.01
    # An utterance of which nothing is there leaves no trace.
    answerer = Answerer([model])
    before, _ = answerer.step(answerer.begin(), there(whole, 0))
    after, _ = answerer.step(before, {})
    jax.tree.map(np.testing.assert_array_equal, before, after)


@pytest.mark.parametrize("model", [trained.model(), trained.by_speaker()])
def test_the_state_of_a_conversation_does_not_grow(model):
    answerer = Answerer([model])
    given = corpus(missing=False)
    state = answerer.begin()
    sizes = set()
    for i in range(40):
        state, _ = answerer.step(state, there(given, i % len(given.labels)))
        sizes.add(sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state)))
    assert sizes == {sum(leaf.nbytes for leaf in jax.tree.leaves(answerer.begin()))}
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
        for i, name in enumerate(trained.CLASSES)
    ]
    several = [model.probabilities(given) for model in models]
    classes, expected, labels = combine(models, several)
    assert classes == list(trained.CLASSES)
    np.testing.assert_array_equal(expected[:, 1], several[1][:, 1])
    found, _ = interleaved(Answerer(models, attention=True), given)
    assert [answer.label for answer in found] == labels
    assert len(set(labels)) > 2
    np.testing.assert_allclose(
        [list(answer.probabilities.values()) for answer in found], expected, atol=2e-6
    )
    # The attention of all of them, each model the same.
    looked = np.mean([model.attention(given)[1] for model in models], axis=0)
    ours = [[list(keys.values()) for keys in answer.attention.values()] for answer in found]
    np.testing.assert_allclose(ours, looked, atol=1e-6)


def test_labels_of_one_against_the_rest_by_hand():
    models = [trained.model(classes=("rest", name), seeds=1) for name in ("happy", "sad")]
    found = np.array([[0.4, 0.6], [0.7, 0.3]]), np.array([[0.2, 0.8], [0.9, 0.1]])
    classes, probabilities, labels = combine(models, found)
    assert classes == ["happy", "sad"]
    assert probabilities.tolist() == [[0.6, 0.8], [0.3, 0.1]]
    assert labels == ["happy+sad", "none"]


@pytest.mark.parametrize("missing", [False, True])
def test_attention_is_that_of_a_file(missing):
    model, given = trained.model(), corpus(missing)
    names, expected = model.attention(given)
    assert names == ("speech", "text")
    assert expected.shape == (len(given.labels), 2, 2)
    np.testing.assert_allclose(expected.sum(-1), 1, rtol=1e-6)
    found, _ = interleaved(Answerer([model], attention=True), given)
    for answer, weights in zip(found, expected, strict=True):
        assert list(answer.attention) == ["speech", "text"]
        ours = [list(keys.values()) for keys in answer.attention.values()]
        np.testing.assert_allclose(ours, weights, atol=1e-6)
    if missing:
        alone = given.present["speech"] & ~given.present["text"]
        assert alone.any()
        np.testing.assert_array_equal(expected[alone, 0], np.tile([1.0, 0.0], (alone.sum(), 1)))


def test_without_an_attention_tower_there_is_nothing_to_tell():
    model = trained.model(clstm_lf)
    assert model.attention(corpus()) is None
    with pytest.raises(InputError, match=r"attention: none in this MMAN \(heads: speech, text"):
        Answerer([model], attention=True)
