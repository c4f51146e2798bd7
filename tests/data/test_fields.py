"""A field that a corpus declares is checked, selected, digested and stored without more code."""

import dataclasses

import numpy as np
import pytest

from mman_jax.data import corpus, cross_corpus, sequences
from mman_jax.data.fields import UTTERANCES, optional
from mman_jax.data.readers import npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.features import manifest
from mman_jax.testing import check_reader
from mman_jax.trial import results
from tests.data import small
from tests.data.readers import public
from tests.data.readers.npz_files import full


@dataclasses.dataclass(frozen=True, eq=False)
class Heard(corpus.Corpus):
    """A corpus that also knows how loud each utterance is."""

    loudness: np.ndarray | None = optional(np.float32, UTTERANCES, unknown=0.0)


def heard(**changes):
    made = full()
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    return Heard(**(values | {"loudness": np.arange(6, dtype=np.float32)} | changes))


def test_it_is_checked():
    with pytest.raises(InputError, match="loudness"):
        heard(loudness=np.arange(5, dtype=np.float32))
    with pytest.raises(InputError, match="loudness"):
        heard(loudness=np.arange(6))


def test_it_is_selected_and_joined():
    assert heard().select_conversations([2, 0]).loudness.tolist() == [3, 4, 5, 0, 1]
    other = heard(loudness=None, conversation_ids=("d0", "d1", "d2"))
    both = cross_corpus._concatenate(heard(), other)
    assert both.loudness.tolist() == [0, 1, 2, 3, 4, 5] + [0] * 6


def test_it_is_part_of_the_digest():
    other = heard(loudness=np.zeros(6, np.float32))
    assert other.fingerprint() != heard().fingerprint()
    assert other.fingerprints().modalities == heard().fingerprints().modalities


def test_it_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "Corpus", Heard)
    npz.write(heard(), tmp_path / "c.npz")
    assert npz.read(tmp_path / "c.npz").loudness.tolist() == [0, 1, 2, 3, 4, 5]
    assert npz.read(tmp_path / "c.npz").fingerprint() == heard().fingerprint()


def test_digests_of_corpora_stay_what_they_were():
    n = np.arange
    cells = sequences.Sequence(
        n(10, dtype=np.float32).reshape(5, 2),
        np.array([2, 0, 1, 2], np.int32),
        np.array([[0, 1], [1, 2], [0, 1], [0, 1], [1, 2.0]]),
        ("u", "v", "w", "x", "y"),
    )
    made = corpus.Corpus(
        features={
            "speech": n(12, dtype=np.float32).reshape(4, 3),
            "eeg": n(4, dtype=np.float32).reshape(4, 1),
        },
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
    whole = "289dc8f225f5340403fd17ed5d919c25bd83209301d1d504256a107f13e46833"
    assert made.fingerprint() == whole
    text = "b0a95c9b8f3118932bffba2e1a3334ff5eec89b7de808933ae3295b75bff9dd3"
    assert made.fingerprints().modalities["text"] == text
    part = "0279677f3bb6da89d6b1e978dc49d94fe36ea611e1fa6401c5ee8fd4020ce96b"
    assert made.select_conversations([1]).fingerprint() == part


GENDER = ("female", "male", "unknown", "female", "male", "other")


def test_gender_is_stored_selected_and_joined(tmp_path):
    known = small.corpus(gender=GENDER)
    npz.write(known, tmp_path / "c.npz")
    assert npz.read(tmp_path / "c.npz").gender == GENDER
    assert known.select_conversations([2]).gender == GENDER[3:]
    assert known.fingerprint() != small.corpus().fingerprint()
    other = small.corpus(conversation_ids=("d0", "d1", "d2"))
    both = cross_corpus._concatenate(known, other)
    assert both.gender == (*GENDER, *["unknown"] * 6)
    assert cross_corpus._concatenate(other, known).gender is None


def test_gender_is_checked():
    with pytest.raises(InputError, match="small: gender: 5 entries"):
        small.corpus(gender=GENDER[1:])
    with pytest.raises(InputError, match="groups/gender"):
        small.corpus(gender=GENDER, groups={"gender": GENDER})


def test_gender_is_a_column_and_a_group_of_scores(tmp_path):
    (tmp_path / "c.csv").write_text("conversation,gender,x_0\na,female,1\nb,male,2\na,other,3\n")
    table = read_corpus(tmp_path / "c.csv")
    assert table.gender == ("female", "other", "male")
    (tmp_path / "m.csv").write_text("conversation_id,utterance_id,path,gender\na,1,x,female\n")
    clips = manifest.to_corpus(
        manifest.read(tmp_path / "m.csv"), {"speech": np.zeros((1, 2), np.float32)}, "here"
    )
    assert clips.gender == ("female",)
    groups = results.groups_of(table, np.array([1, 2]))
    assert {name: names.tolist() for name, names in groups.items()} == {
        "groups/gender": ["other", "male"]
    }


@pytest.mark.parametrize("name", public.PICKLES)
def test_every_reader_of_pickles_is_sound(tmp_path, name):
    check_reader(read_corpus, [public.dump(tmp_path / "x", public.PICKLES[name](), 4)])


def test_the_reader_of_archives_is_sound(tmp_path):
    npz.write(full(), tmp_path / "x.npz")
    check_reader(npz.read, [tmp_path / "x.npz"])


def test_a_reader_that_fails_otherwise_is_told(tmp_path):
    npz.write(full(), tmp_path / "x.npz")

    def careless(path):
        return npz.read(path) if path.read_bytes()[:2] == b"PK" else 1 / 0

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        check_reader(careless, [tmp_path / "x.npz"])
