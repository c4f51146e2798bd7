import dataclasses

import numpy as np
import pytest
from scipy.special import softmax

from mman_jax.errors import InputError
from mman_jax.files.arrays import read_carded, write_carded
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.model import Model
from tests.inference import trained

MODEL, CORPUS = trained.model(), trained.corpus()


def test_many_rows_are_answered_in_pieces(monkeypatch):
    whole = MODEL.probabilities(CORPUS)
    monkeypatch.setattr("mman_jax.inference.model._CELLS", 1)
    np.testing.assert_allclose(MODEL.probabilities(CORPUS), whole, atol=1e-6)


def test_without_context_each_utterance_is_predicted_by_itself(tmp_path):
    dataclasses.replace(MODEL, context=False).save(tmp_path / "alone")
    alone, count = Model.load(tmp_path / "alone"), len(CORPUS.labels)
    ids = tuple(map(str, range(count)))
    single = dataclasses.replace(CORPUS, lengths=np.ones(count, np.int32), conversation_ids=ids)
    expected = MODEL.probabilities(single)
    assert np.abs(expected - MODEL.probabilities(CORPUS)).max() > 1e-3
    np.testing.assert_allclose(alone.probabilities(CORPUS), expected, atol=1e-6)
    assert (MODEL.in_context, alone.in_context) == (True, False)
    stream, answers = Answerer([alone]), []
    state = stream.begin()
    for u in range(count):
        state, answer = stream.step(state, trained.there(CORPUS, u))
        answers.append(list(answer.probabilities.values()))
    np.testing.assert_allclose(answers, expected, atol=1e-6)


def test_a_temperature_is_kept_and_changes_no_label(tmp_path):
    before = MODEL.probabilities(CORPUS)
    dataclasses.replace(MODEL, temperature=0.25).save(tmp_path / "sure")
    after = Model.load(tmp_path / "sure").probabilities(CORPUS)
    powers = before.astype(np.float64) ** 4
    np.testing.assert_allclose(after, powers / powers.sum(-1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(after.argmax(-1), before.argmax(-1))
    # Temperatures that no run fits.
    arrays, card = read_carded(tmp_path / "sure" / "model.npz", "a model")
    for given, said in ((None, "None"), (0, "0.1 to 10"), ("1", "'1'"), (True, "True")):
        write_carded(tmp_path / "other" / "model.npz", arrays, card | {"temperature": given})
        with pytest.raises(InputError, match=f"temperature: .*{said}"):
            Model.load(tmp_path / "other")


def test_numbers_are_in_their_units_and_have_no_labels(tmp_path):
    single, units = trained.model(seeds=1), np.float32([[1, 10, 0], [0.5, 2, 3]])
    dataclasses.replace(single, units=units).save(tmp_path)
    model = Model.load(tmp_path)
    np.testing.assert_array_equal(model.units, units)
    logits = (model.probabilities(CORPUS) - units[0]) / units[1]
    np.testing.assert_allclose(softmax(logits, -1), single.probabilities(CORPUS), atol=1e-5)
    assert (model.task.kind, model.task.labels_of(logits)) == ("targets", None)
    assert single.task.labels_of(np.eye(3)) == list(trained.CLASSES)
    answerer = Answerer([model])
    _, answer = answerer.step(answerer.begin(), trained.there(CORPUS, 0))
    assert (answer.label, answer.probabilities) == ("", None)
    expected = model.probabilities(CORPUS)[0]
    np.testing.assert_allclose(list(answer.values.values()), expected, rtol=1e-5)


def test_a_corpus_of_other_modalities_or_sizes_is_refused():
    with pytest.raises(InputError, match="unknown 'text'"):
        MODEL.probabilities(CORPUS.select_modalities(["speech"]))
    wider = {m: np.repeat(x, 2, axis=1) for m, x in CORPUS.features.items()}
    with pytest.raises(InputError, match="the 5 that the model was trained on"):
        MODEL.probabilities(dataclasses.replace(CORPUS, features=wider))
