"""What is said before training, and modalities whose names hold punctuation."""

import dataclasses

import jax
import numpy as np

from experiments.trial.prepared import prepare_experiment
from mman_jax.data.readers import npz
from mman_jax.inference import lines
from tests import tiny

NAMES = ("wav2vec2-large (ft)", "opensmile_v2.0")


def prepared(corpus, path, **data):
    npz.write(corpus, path)
    config = tiny.recipe(epochs=1)
    config.data.update(path=str(path), **data)
    return prepare_experiment(config)


def test_suspicions_and_leaks_are_among_the_notices(tmp_path):
    made = tiny.corpus()
    features = {name: array.copy() for name, array in made.features.items()}
    test = made.split.index("test")
    for array in features.values():
        array[made.utterances(test).start] = array[0]
    labels = made.labels.copy()
    labels[np.repeat(np.array(made.split) == "test", made.lengths)] = 1
    made = dataclasses.replace(made, features=features, labels=labels)
    notices = prepared(made, tmp_path / "c.npz", protocol="auto").notices
    assert any("test utterances" in n and "in training or validation" in n for n in notices)
    assert "task auto: every labelled utterance in test is sad: its scores say little" in notices


def test_names_with_punctuation_lead_to_parameters_and_lines(tmp_path):
    made = tiny.corpus()
    present = {NAMES[0]: np.arange(len(made.labels)) % 5 != 0}
    features = dict(zip(NAMES, made.features.values(), strict=True))
    made = dataclasses.replace(made, features=features, present=present)
    found = prepared(made, tmp_path / "c.npz", protocol="auto", modalities=",".join(NAMES))
    assert list(found.parts.corpus.present) == [NAMES[0]]
    inputs = {name: np.zeros((1, 1, d), np.float32) for name, d in made.dims.items()}
    key, reset = jax.random.key(0), np.ones((1, 1), bool)
    params = jax.eval_shape(found.trainer.system.init, key, inputs, reset)["params"]
    assert {f"towers_{name}" for name in NAMES} < set(params)
    assert NAMES[1] in next(iter(lines.lines(made)))
