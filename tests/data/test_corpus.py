import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest

import mman_jax.data
from mman_jax.errors import InputError
from tests.data.small import corpus


def test_offsets_dims_and_utterances():
    made = corpus()
    assert made.offsets.tolist() == [0, 2, 3, 6]
    assert made.offsets.dtype == np.int64
    assert made.dims == {"speech": 2, "text": 3}
    assert made.utterances(2) == slice(3, 6)
    assert made.utterance_ids == ("u0", "u1", "u0", "u0", "u1", "u2")  # unique in a conversation
    assert corpus(lengths=(1,), dims={"a": 1}).offsets.tolist() == [0, 1]
    assert len(corpus(dims={"a": 1, "b": 2, "c": 3, "d": 4}).dims) == 4


def test_fields_cannot_be_replaced():
    with pytest.raises(dataclasses.FrozenInstanceError):
        corpus().source = "other"


def test_select_modalities_keeps_the_given_order():
    made = corpus(dims={"speech": 2, "visual": 4, "text": 3})
    chosen = made.select_modalities(["text", "speech"])
    assert list(chosen.features) == ["text", "speech"]
    np.testing.assert_array_equal(chosen.features["text"], made.features["text"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["speach"], ["'speach'", "'speech'?", "text"]),
        (["text", "text"], ["'text'", "twice"]),
        ([], ["none", "speech"]),
    ],
)
def test_select_modalities_refuses(names, words):
    with pytest.raises(InputError) as error:
        corpus().select_modalities(names)
    assert all(word in str(error.value) for word in ["small", *words])


def test_a_fingerprint_is_of_the_content_alone(monkeypatch):
    first = corpus().fingerprint()
    assert len(first) == 64
    assert corpus(source="elsewhere").fingerprint() == first
    monkeypatch.setattr("mman_jax.data.corpus._CHUNK", 1)
    assert corpus().fingerprint() == first
    changed = corpus().features["text"].copy()
    changed[-1, -1] += 1
    speech = corpus().features["speech"]
    here = {"speech": np.array([False] + [True] * 5)}
    others = [
        corpus(features={"speech": speech, "text": changed}),
        corpus(features={"voice": speech, "text": corpus().features["text"]}),
        corpus(labels=np.zeros(6, np.int32)),
        corpus(lengths=(1, 2, 3)),
        corpus(split=("train", "valid", "test")),
        corpus(present=here),
        corpus(groups={"gender": tuple("fmffmf")}),
        corpus(groups={"accent": tuple("fmffmf")}),
    ]
    whole, *several = (one.fingerprints() for one in (corpus(), *others))
    assert whole.whole == first
    # Features change their modality's part, all else changes that of the utterances.
    assert several[0].utterances == several[1].utterances == several[5].utterances
    assert several[0].modalities["speech"] == whole.modalities["speech"]
    assert several[0].modalities["text"] != whole.modalities["text"]
    assert several[5].modalities["speech"] != whole.modalities["speech"]
    assert len({whole.utterances, *(one.utterances for one in several[2:5])}) == 4
    assert several[2].modalities == whole.modalities
    assert len({first, *(other.fingerprint() for other in others)}) == 9
    # Of a corpus as it was before there were groups: folders of runs know it by this.
    assert first.startswith("1e9f60dc")


def test_data_package_imports_no_accelerator_library():
    for path in Path(mman_jax.data.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in {"jax", "flax", "optax", "orbax", "chex"}, path
