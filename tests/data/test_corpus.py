import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest

import mman_jax.data
from mman_jax.data import cross_corpus, validation
from mman_jax.data.corpus import Corpus
from mman_jax.data.fields import UTTERANCES, optional
from mman_jax.data.readers import npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.sequences import Sequence
from mman_jax.features import manifest
from mman_jax.trial import results
from tests.data import small
from tests.data.small import corpus, refuses


def test_offsets_dims_and_utterances():
    made = corpus()
    assert made.offsets.tolist() == [0, 2, 3, 6]
    assert made.offsets.dtype == np.int64
    assert made.dims == {"speech": 2, "text": 3}
    assert made.utterances(2) == slice(3, 6)
    assert made.utterance_ids == ("u0", "u1", "u0", "u0", "u1", "u2")  # unique in a conversation


def test_fields_cannot_be_replaced():
    with pytest.raises(dataclasses.FrozenInstanceError):
        corpus().source = "other"


def test_selected_modalities_are_in_the_requested_order():
    made = corpus(dims={"speech": 2, "visual": 4, "text": 3})
    chosen = made.select_modalities(["text", "speech"])
    assert list(chosen.features) == ["text", "speech"]
    np.testing.assert_array_equal(chosen.features["text"], made.features["text"])
    refuses(lambda: made.select_modalities(["speach"]), "small", "'speach'", "'speech'?", "text")
    refuses(lambda: made.select_modalities(["text", "text"]), "small", "'text'", "twice")
    refuses(lambda: made.select_modalities([]), "small", "none", "speech")


def test_fingerprints_depend_on_the_content_alone(monkeypatch):
    first = corpus().fingerprint()
    assert len(first) == 64
    assert corpus(source="elsewhere", source_notes=("other",)).fingerprint() == first
    monkeypatch.setattr("mman_jax.data.validation._CHUNK_VALUES", 1)
    assert corpus().fingerprint() == first
    speech, text = corpus().features.values()
    changed = text.copy()
    changed[-1, -1] += 1
    here = {"speech": np.array([False] + [True] * 5)}
    others = [
        corpus(features={"speech": speech, "text": changed}),
        corpus(features={"voice": speech, "text": text}),
        corpus(labels=np.zeros(6, np.int32)),
        corpus(lengths=(1, 2, 3)),
        corpus(split=("train", "valid", "test")),
        corpus(present=here),
        corpus(groups={"gender": tuple("fmffmf")}),
        corpus(groups={"accent": tuple("fmffmf")}),
    ]
    assert len({first, *(other.fingerprint() for other in others)}) == 9
    complete, *several = (made.fingerprints() for made in (corpus(), *others))
    assert complete.whole == first
    # Features change the part of their modality; other fields change that of the utterances.
    assert several[0].utterances == several[1].utterances == several[5].utterances
    assert several[0].modalities["speech"] == complete.modalities["speech"]
    assert several[0].modalities["text"] != complete.modalities["text"]
    assert several[5].modalities["speech"] != complete.modalities["speech"]
    assert len({complete.utterances, *(x.utterances for x in several[2:5])}) == 4
    assert several[2].modalities == complete.modalities
    # Folders of runs store this digest, so it must not change.
    assert first.startswith("1e9f60dc")


def test_digests_do_not_change():
    n = np.arange
    cells = Sequence(
        n(10, dtype=np.float32).reshape(5, 2),
        np.array([2, 0, 1, 2], np.int32),
        np.array([[0, 1], [1, 2], [0, 1], [0, 1], [1, 2.0]]),
        ("u", "v", "w", "x", "y"),
    )
    features = {"speech": n(12).reshape(4, 3), "eeg": n(4).reshape(4, 1)}
    made = Corpus(
        features={name: array.astype(np.float32) for name, array in features.items()},
        labels=np.array([0, 1, -1, 1], np.int32),
        label_names=("calm", "angry"),
        lengths=np.array([3, 1], np.int32),
        conversation_ids=("a", "b"),
        utterance_ids=("1", "2", "3", "1"),
        speakers=("x", "y", "x", "z"),
        sessions=("s", "t"),
        split=("train", "test"),
        present={"eeg": np.array([True, False, True, True])},
        targets={"valence": np.array([0.5, np.nan, 1, 2], np.float32)},
        groups={"gender": ("f", "m", "f", "f")},
        votes={"calm": n(4).astype(np.int32)},
        sequences={"text": cells},
    )
    digests = (
        made.fingerprint(),
        made.fingerprints().modalities["text"],
        made.select_conversations([1]).fingerprint(),
    )
    assert digests == (
        "289dc8f225f5340403fd17ed5d919c25bd83209301d1d504256a107f13e46833",
        "b0a95c9b8f3118932bffba2e1a3334ff5eec89b7de808933ae3295b75bff9dd3",
        "0279677f3bb6da89d6b1e978dc49d94fe36ea611e1fa6401c5ee8fd4020ce96b",
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Loud(Corpus):
    """A corpus with a further field."""

    loudness: np.ndarray | None = optional(np.float32, UTTERANCES, unknown=0.0)


def loud(**changes):
    made = small.full()
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    return Loud(**(values | {"loudness": np.arange(6, dtype=np.float32)} | changes))


def test_a_declared_field_is_checked_selected_joined_hashed_and_stored(tmp_path, monkeypatch):
    for wrong in (np.arange(5, dtype=np.float32), np.arange(6)):
        refuses(lambda wrong=wrong: loud(loudness=wrong), "small: loudness")
    assert loud().select_conversations([2, 0]).loudness.tolist() == [3, 4, 5, 0, 1]
    other = loud(loudness=None, conversation_ids=("d0", "d1", "d2"))
    assert cross_corpus._concatenate(loud(), other).loudness.tolist() == [*range(6), *[0] * 6]
    other = loud(loudness=np.zeros(6, np.float32))
    assert other.fingerprint() != loud().fingerprint()
    assert other.fingerprints().modalities == loud().fingerprints().modalities
    monkeypatch.setattr(npz, "Corpus", Loud)
    npz.write(loud(), tmp_path / "c.npz")
    assert npz.read(tmp_path / "c.npz").loudness.tolist() == [0, 1, 2, 3, 4, 5]
    assert npz.read(tmp_path / "c.npz").fingerprint() == loud().fingerprint()


GENDER = ("female", "male", "unknown", "female", "male", "other")


def test_gender_is_a_column_and_a_group_of_scores(tmp_path):
    assert corpus(gender=GENDER).fingerprint() != corpus().fingerprint()
    (tmp_path / "c.csv").write_text("conversation,gender,x_0\na,female,1\nb,male,2\na,other,3\n")
    table = read_corpus(tmp_path / "c.csv")
    assert table.gender == ("female", "other", "male")
    groups = results.groups_of(table, np.array([1, 2]))
    assert {k: v.tolist() for k, v in groups.items()} == {"groups/gender": ["other", "male"]}
    (tmp_path / "m.csv").write_text("conversation_id,utterance_id,path,gender\na,1,x,female\n")
    features = {"speech": np.zeros((1, 2), np.float32)}
    clips = manifest.to_corpus(manifest.read(tmp_path / "m.csv"), features, "here")
    assert clips.gender == ("female",)


def test_the_data_package_imports_no_accelerator_library():
    for path in Path(mman_jax.data.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in {"jax", "flax", "optax", "orbax", "chex"}, path
    assert "corpus import" not in Path(validation.__file__).read_text()
