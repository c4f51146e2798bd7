import dataclasses

import numpy as np
import pytest

from mman_jax.data import label_names
from mman_jax.data.label_names import cleaned, read_map, relabel
from mman_jax.data.readers import npz
from mman_jax.data.readers.read import read_corpus
from tests.data.small import corpus, refuses

NAMES = {"label_names": ("Joy", "sad", "contempt", "angry")}
LABELS = np.array([0, 1, 2, 3, -1, 0], np.int32)
MAP = read_map("joy=good, sad = bad,angry=bad,contempt=,fear=bad")


def test_labels_are_merged_renamed_and_dropped():
    made = corpus(labels=LABELS, **NAMES)
    relabelled = relabel(made, MAP)
    assert relabelled.label_names == ("good", "bad")
    assert relabelled.labels.tolist() == [0, 1, -1, 1, -1, 0]
    assert relabel(made, {}) is made
    # Names are replaced once: what becomes `sad` stays `sad`.
    swapped = relabel(made, {"joy": "sad", "sad": "joy"})
    assert swapped.label_names == ("sad", "joy", "contempt", "angry")
    assert swapped.labels.tolist() == LABELS.tolist()


def test_votes_are_added_up():
    votes = {name: np.full(6, n, np.int32) for n, name in enumerate(NAMES["label_names"], 1)}
    made = corpus(labels=LABELS, votes=votes, **NAMES)
    # The third utterance, whose label is dropped, has no votes left.
    expected = {"good": [1, 1, 0, 1, 1, 1], "bad": [6, 6, 0, 6, 6, 6]}
    relabelled = relabel(made, MAP)
    assert {name: x.tolist() for name, x in relabelled.votes.items()} == expected
    many = {name: np.full(6, 2**31 - 1, np.int32) for name in votes}
    made = dataclasses.replace(made, votes=many)
    assert relabel(made, MAP).votes["bad"].max() == 2**31 - 1


@pytest.mark.parametrize(
    ("text", "word"), [("joy", "'joy'"), ("=good", "'=good'"), ("joy=a,Joy=b", "'Joy' twice")]
)
def test_malformed_maps_are_refused(text, word):
    refuses(lambda: read_map(text), f"label_map: {word}")


def test_maps_of_unknown_labels_are_refused():
    label_names.check_map({"YES": "no"}, [corpus()])
    refuses(lambda: label_names.check_map({"yess": "no"}, [corpus()] * 2), "'yess'", "'yes'?")
    refuses(lambda: relabel(corpus(), {"yes": "", "no": ""}), "no label is mapped")


def test_label_counts_of_iemocap_add_up_to_its_utterances():
    totals = {part: sum(counts) for part, counts in label_names.TABLE_1.items()}
    assert totals == {"train": 5810, "test": 1623}


def write(path, labels, **more):
    """An archive with one utterance per label."""
    features = np.arange(float(2 * len(labels)), dtype=np.float32).reshape(-1, 2)
    np.savez(path, **{"features/speech": features, "labels": np.array(labels), **more})
    return path


def test_spellings_stay_classes_with_a_notice_that_merges_them(tmp_path):
    corpus = read_corpus(write(tmp_path / "x.npz", ["happy", "Happy", "HAPPY", " happy", "sad"]))
    assert corpus.label_names == ("happy", "HAPPY", "Happy", "sad")
    assert corpus.labels.tolist() == [0, 2, 1, 0, 3]
    (notice,) = (note for note in corpus.source_notes if "label_map" in note)
    assert all(name in notice for name in ("'happy'", "'HAPPY'", "'Happy'"))
    flag = notice.split("label_map=")[1].split("'")[0]
    merged = relabel(corpus, read_map(flag))
    assert merged.label_names == ("happy", "sad")
    assert merged.labels.tolist() == [0, 0, 0, 0, 1]
    assert cleaned(corpus).source_notes == corpus.source_notes


@pytest.mark.parametrize("text", ["nan", "None", "NA", "N/A", "null", "<NA>", "  "])
def test_texts_that_say_missing_are_no_label(tmp_path, text):
    corpus = read_corpus(write(tmp_path / "x.npz", ["sad", text, "joy", "sad"]))
    assert corpus.label_names == ("joy", "sad")
    assert corpus.labels.tolist() == [1, -1, 0, 1]
    assert any(repr(text) in note for note in corpus.source_notes)
    named = write(tmp_path / "y.npz", [0, 1, 2], label_names=np.array(["sad", text, "joy"]))
    assert read_corpus(named).labels.tolist() == [0, -1, 1]
    known = write(tmp_path / "z.npz", ["b", text, " a"], label_names=np.array(["b", "a"]))
    assert read_corpus(known).labels.tolist() == [0, -1, 1]
    table = tmp_path / "x.csv"
    table.write_text(f"conversation,label,speech_0\na,joy,1\na,{text},2\na,sad,3\n")
    assert read_corpus(table).labels.tolist() == [0, -1, 1]


def test_classes_that_may_be_meant_stay(tmp_path):
    corpus = read_corpus(write(tmp_path / "x.npz", ["none", "joy", "1", "-1"]))
    assert set(corpus.label_names) == {"none", "joy", "1", "-1"}
    assert sum("label_map" in note for note in corpus.source_notes) == 1
    path = write(tmp_path / "y.npz", ["joy", "rage"], label_names=np.array(["joy"]))
    refuses(lambda: npz.read(path), "row 1", "rage")


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float16, np.float64, bool])
def test_features_of_any_number_type_are_converted(tmp_path, dtype):
    values = np.array([[0, 1], [1, 1], [3, 4]]).astype(dtype)
    more = {"features/face": values, "targets/valence": values[:, 0]}
    corpus = read_corpus(write(tmp_path / "x.npz", ["a", "b", "a"], **more))
    np.testing.assert_array_equal(corpus.features["face"], values.astype(np.float32))
    np.testing.assert_array_equal(corpus.targets["valence"], values[:, 0].astype(np.float32))


def test_utterances_without_any_modality_are_context_only(tmp_path):
    known = np.array([True, False, True, False])
    more = {"present/speech": known, "targets/valence": np.float32([1, 2, 3, np.nan])}
    corpus = read_corpus(write(tmp_path / "x.npz", ["a", "b", "a", ""], **more))
    assert corpus.labels.tolist() == [0, -1, 0, -1]
    np.testing.assert_array_equal(corpus.targets["valence"], [1, np.nan, 3, np.nan])
    assert any(note.startswith("1 labelled") for note in corpus.source_notes)
    other = {**more, "features/face": np.ones((4, 1), np.float32)}
    assert (
        read_corpus(write(tmp_path / "y.npz", list("abab"), **other)).labels.tolist() == [0, 1] * 2
    )


@pytest.mark.parametrize("name", ["x.npz", "x.pkl", "x.csv", "x.csd", "x.json", "x.npy"])
def test_git_lfs_pointers_are_named(tmp_path, name):
    path, size = tmp_path / name, "oid sha256:0\nsize 12\n"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\n{size}")
    refuses(lambda: read_corpus(path), name, "git lfs pull")
    for names in (("train.pkl", "dev.pkl", "test.pkl"), ("train_sent_emo.csv",)):
        folder = tmp_path / names[0].replace(".", "_")
        folder.mkdir()
        for part in names:
            (folder / part).write_bytes(path.read_bytes())
        refuses(lambda: read_corpus(folder), names[-1][-4:], "git lfs pull")  # noqa: B023
