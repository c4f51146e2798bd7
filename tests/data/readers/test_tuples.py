"""The kin of the nine-tuple: each is told by its parts, and read in its own order."""

import numpy as np
import pytest

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers import meld
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from tests.data.readers import public
from tests.data.readers.public import dump

KIN = {
    "iemocap": ({"speech": 3, "visual": 4, "text": 2}, EMOTIONS, ("train", "train", "test")),
    "sdt iemocap": ({"speech": 3, "visual": 4, "text": 2}, EMOTIONS, ("train", "train", "test")),
    "cosmic": ({"text": 2}, EMOTIONS, ("train", "valid", "test")),
    "avec": (
        {"speech": 3, "visual": 4, "text": 2},
        ("negative", "neutral", "positive"),
        ("train", "train", "test"),
    ),
    "meld": (
        {"speech": 3, "visual": 4, "text": 2},
        meld.EMOTIONS,
        ("train", "train", "valid", "test"),
    ),
    "meld of nine": ({"speech": 3, "text": 2}, meld.EMOTIONS, ("train", "train", "valid", "test")),
    "sdt meld": (
        {"speech": 3, "visual": 4, "text": 2},
        meld.EMOTIONS,
        ("train", "train", "valid", "test"),
    ),
    "cosmic meld": ({"text": 2}, meld.EMOTIONS, ("train", "valid", "valid", "test")),
}


def read(tmp_path, value, protocol=4, **more):
    return read_corpus(dump(tmp_path / "x.pkl", value, protocol), **more)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", KIN)
def test_each_is_told_by_its_parts(tmp_path, name, protocol):
    corpus = read(tmp_path, public.PICKLES[name](), protocol)
    dims, labels, split = KIN[name]
    assert corpus.dims == dims
    assert corpus.label_names == labels
    assert corpus.split == split
    count = len(split)
    assert corpus.lengths.tolist() == list(range(1, count + 1))
    # Features of utterance u of conversation c are 10 c + u, and four blocks add 0, 1, 2, 3.
    expected = [10 * c + u for c in range(count) for u in range(c + 1)]
    blocks = name.startswith(("sdt", "cosmic"))
    np.testing.assert_allclose(corpus.features["text"][:, 0], np.add(expected, 1.5 * blocks))
    for modality in corpus.dims.keys() - {"text"}:
        np.testing.assert_allclose(corpus.features[modality][:, 1], expected)
    several = 6 if name in ("iemocap", "sdt iemocap") or "cosmic" in name else 7
    classes = [(c + u) % several for c in range(count) for u in range(c + 1)]
    if name != "avec":
        assert corpus.labels.tolist() == classes


def test_meld_counts_dialogues_through_and_speakers_are_roles(tmp_path):
    corpus = read(tmp_path, public.meld())
    assert corpus.conversation_ids == ("0000", "0001", "1039", "1153")
    assert corpus.utterance_ids[3:6] == ("0", "1", "2")
    assert corpus.speakers[:3] == ("0000_0", "0001_1", "0001_2")
    said = " ".join(corpus.source_notes)
    assert "validation: the 1 dialogues 1039 to 1152" in said
    assert "roles" in said


def test_avec_has_numbers(tmp_path):
    corpus = read(tmp_path, public.avec())
    assert corpus.targets["rating"].tolist() == [0.25, -0.5, 0.0, 0.0, 0.25, -0.5]
    assert corpus.labels.tolist() == [2, 0, 1, 1, 2, 0]
    assert corpus.sessions is None
    assert corpus.speakers[1:3] == ("Ses02M_script01_1_user", "Ses02M_script01_1_operator")


def test_cosmic_has_no_ids_of_utterances(tmp_path):
    corpus = read(tmp_path, public.cosmic())
    assert corpus.utterance_ids == ("0", "0", "1", "0", "1", "2")
    assert corpus.sessions == ("Ses01", "Ses02", "Ses05")


def test_two_files_of_a_corpus_join_by_position(tmp_path):
    dump(tmp_path / "r.pkl", public.cosmic())
    corpus = read(tmp_path, public.iemocap(), join={"roberta": tmp_path / "r.pkl"})
    assert list(corpus.dims) == ["speech", "visual", "text", "roberta"]
    np.testing.assert_allclose(
        corpus.features["roberta"][:, 0], corpus.features["speech"][:, 0] + 1.5
    )
    assert "roberta: utterances of 3 conversations matched by position" in corpus.source_notes


@pytest.mark.parametrize("meld", [False, True])
def test_labels_alone_need_features(tmp_path, meld):
    value = public.cosmic(meld=meld, features=False)
    with pytest.raises(
        InputError, match=r"labels alone \(COSMIC.*(3|4) conv.*that are joined to them"
    ):
        read(tmp_path, value)
    dump(tmp_path / "r.pkl", public.cosmic(meld=meld))
    corpus = read(tmp_path, value, join={"text": tmp_path / "r.pkl"})
    assert list(corpus.dims) == ["text"]


def test_dailydialog_by_words_and_by_vectors(tmp_path):
    c = ("a", "b", "c")
    numbers = public.by(c, lambda *_: [3, 5, 7])
    flags, split = public.by(c, lambda n, u: u % 2), (["a"], ["b"], ["c"])
    words = (flags, numbers, flags, flags, flags, *split)
    with pytest.raises(InputError, match=r"labels alone \(DailyDialog of conv-emotion"):
        read(tmp_path, words)
    for extra in ((), (flags,)):
        value = (flags, public.vectors(c, 2), *extra, flags, flags, *split)
        corpus = read(tmp_path, value)
        assert corpus.dims == {"text": 2}
        assert corpus.split == ("train", "test", "valid")


REFUSED = {
    "a label": (2, {0: [7]}, ["conversation 0000", "label 7 out of range", "disgust"]),
    "no labels": (2, {1153: None}, ["conversation 1153", "without labels"]),
    "lengths": (3, {1039: [np.ones(2)]}, ["conversation 1039", "text: 1 utterances", "3, as"]),
    "widths": (3, {1039: [np.ones(3)] * 3}, ["1039", "modality text", "3 features", "2, as"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    part, changes, words = REFUSED[name]
    value = list(public.meld())
    value[part] = {k: v for k, v in (value[part] | changes).items() if v is not None}
    with pytest.raises(InputError) as error:
        read(tmp_path, tuple(value))
    for word in ["x.pkl", *words]:
        assert word in str(error.value)


def test_blocks_of_other_widths(tmp_path):
    value = list(public.cosmic())
    value[3] = public.vectors(public.IEMOCAP, 3)
    with pytest.raises(InputError, match="3 features in text2; expected 2"):
        read(tmp_path, value)
