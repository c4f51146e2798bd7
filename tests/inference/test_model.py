import dataclasses
import functools

import jax
import numpy as np
import pytest

from mman_jax.data import scaling
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.files import carded
from mman_jax.inference import answerer
from mman_jax.inference.model import Model
from mman_jax.systems import build
from tests import tiny
from tests.data import small

CLASSES = ("no", "yes")


@pytest.fixture(scope="module")
def made() -> tuple[Model, Corpus]:
    """A model with random parameters of one seed, and a corpus whose text is missing at times."""
    config = tiny.recipe()
    random = np.random.default_rng(0)
    corpus = small.corpus(
        lengths=(4, 3),
        features={
            name: random.standard_normal((7, size)).astype(np.float32)
            for name, size in (("speech", 3), ("text", 2))
        },
        present={"text": np.array([True, False, True, True, False, True, True])},
    )
    network = build(config.network, list(corpus.dims), len(CLASSES))
    params = tiny.params(network, corpus.dims, seeds=1)
    fitted = scaling.fit(corpus, [0, 1])
    return Model(params, fitted, config.network, corpus.dims, CLASSES, {}), corpus


def test_many_rows_are_answered_in_pieces(made, monkeypatch):
    model, corpus = made
    whole = model.probabilities(corpus)
    monkeypatch.setattr("mman_jax.inference.model._CELLS", 1)
    np.testing.assert_allclose(model.probabilities(corpus), whole, atol=1e-6)


def test_a_missing_modality_is_masked_as_the_stream_masks_it(made):
    model, corpus = made
    network = build(model.network, list(model.dims), len(CLASSES))
    params = jax.tree.map(lambda x: x[0], model.params)
    scaled = model.scaling.apply(corpus.features)
    step = jax.jit(functools.partial(answerer.step, network))
    expected = []
    for index in range(len(corpus.lengths)):
        for u in range(*corpus.utterances(index).indices(len(corpus.labels))):
            features = {m: x[u] for m, x in scaled.items()}
            if u == corpus.utterances(index).start:
                state = answerer.init_state(network, params, features)
            there = {"text": corpus.present["text"][u]}
            state, answer = step(params, state, features, there)
            expected.append(answer)
    np.testing.assert_allclose(model.probabilities(corpus), expected, atol=1e-5)
    # The mask matters, and not the values under it.
    there = corpus.present["text"][:, None]
    other = np.where(there, corpus.features["text"], np.float32(np.nan))
    hidden = dataclasses.replace(corpus, features=corpus.features | {"text": other})
    np.testing.assert_array_equal(model.probabilities(hidden), model.probabilities(corpus))


def test_a_temperature_is_kept_and_changes_no_label(made, tmp_path):
    model, corpus = made
    before = model.probabilities(corpus)
    network = model.network.to_dict()
    dataclasses.replace(model, network=network, temperature=0.25).save(tmp_path / "sure")
    after = Model.load(tmp_path / "sure").probabilities(corpus)
    powers = before.astype(np.float64) ** 4
    np.testing.assert_allclose(after, powers / powers.sum(-1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(after.argmax(-1), before.argmax(-1))
    # Temperatures that no run fits.
    arrays, card = carded.read(tmp_path / "sure" / "model.npz", "a model")
    for given, said in ((None, "None"), (0, "0.1 to 10"), ("1", "'1'"), (True, "True")):
        carded.write(tmp_path / "other" / "model.npz", arrays, card | {"temperature": given})
        with pytest.raises(InputError, match=f"temperature: .*{said}"):
            Model.load(tmp_path / "other")


def test_a_corpus_of_other_modalities_or_sizes_is_refused(made):
    model, corpus = made
    with pytest.raises(InputError, match="unknown 'text'"):
        model.probabilities(corpus.select_modalities(["speech"]))
    wider = {m: np.repeat(x, 2, axis=1) for m, x in corpus.features.items()}
    with pytest.raises(InputError, match="the 3 that the model was trained on"):
        model.probabilities(dataclasses.replace(corpus, features=wider))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="none: no trained model; expected the model folder of a"):
        Model.load(tmp_path / "none")
