import pytest

from mman_jax.data.readers.read import read_corpus
from tests.data.readers import public_folders
from tests.data.small import refuses


def read(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    return read_corpus(tmp_path / "x.csv")


def test_by_hand(tmp_path):
    corpus = read(tmp_path, public_folders.TABLE)
    assert corpus.conversation_ids == ("a", "b")
    assert corpus.utterance_ids == ("a1", "a2", "b1")
    assert corpus.label_names == ("angry", "calm")
    assert corpus.labels.tolist() == [1, -1, 0]
    assert corpus.features["speech"].tolist() == [[1, 2], [5, 6], [3, 4]]
    assert corpus.present["face"].tolist() == [True, True, False]
    assert corpus.targets["valence"].tolist()[:2] == [0.5, -1]
    assert corpus.split == ("train", "test")


def test_missing_columns_have_defaults_that_are_reported(tmp_path):
    corpus = read(tmp_path, b"label,x_1,x_2\nb,1,2\na,3,4\n")
    assert corpus.lengths.tolist() == [1, 1]
    assert corpus.utterance_ids == ("0", "0")
    notes = " ".join(corpus.source_notes)
    assert "no column utterance" in notes
    assert corpus.features["x"].tolist() == [[1, 2], [3, 4]]


def test_groups_and_targets_may_be_most_of_the_columns(tmp_path):
    content = b"conversation,groups/gender,groups/accent,targets/valence,targets/power,x_0\n"
    corpus = read(tmp_path, content + b"a,f,irish,1,2,3\nb,m,welsh,4,5,6\na,m,irish,7,8,9\n")
    assert corpus.groups == {"gender": ("f", "m", "m"), "accent": ("irish", "irish", "welsh")}
    assert corpus.targets["power"].tolist() == [2, 8, 5]


def test_separators_headers_and_further_columns(tmp_path):
    plain = read(tmp_path, b"conversation,utterance,label,x_0,x_1\na,1,joy,1,2\nb,2,,3,4\n")
    same = (
        "conversation;utterance;label;x_0;x_1\na;1;joy;1;2\nb;2;;3;4\n",
        "conversation\tutterance\tlabel\tx_0\tx_1\r\na\t1\tjoy\t1\t2\r\nb\t2\t\t3\t4\r\n",
        "\ufeffDialogue,Utterance,Emotion,x_0,x_1\na,1,joy,1,2\nb,2,,3,4\n",
        ',conversation,utterance,label,x_0,text,x_1\n0,a,1,joy,1,"a;b;c;d;e;f;g;h",2\n'
        "1,b,2,,3,d,4\n",
    )
    for content in (
        *map(str.encode, same),
        b"sep=;\r\n" + same[0].encode(),
        same[1].encode("utf-16"),
    ):
        assert read(tmp_path, content).fingerprint() == plain.fingerprint()
    notes = read(tmp_path, same[-1].encode()).source_notes
    assert "columns not read: '', text" in " ".join(notes)


REFUSED = {
    "misspelt": (b"conversation,label,speeker,x_0\na,b,c,1\n", ["column 'speeker'", "'speaker'?"]),
    "decimal comma": (b"conversation;label;x_0\na;b;1,5\n", ["line 2: x_0", "'1,5'"]),
    "group without a name": (b"groups/a,x_0\n,1\n", ["line 2: groups/a", "empty"]),
    "word": (b"label,x_0\na,b\n", ["line 2: x_0", "'b'"]),
    "gap": (b"label,x_0,x_2\na,1,2\n", ["modality x", "0, 2", "without gaps"]),
    "column twice": (b"label,x_0,x_0\na,1,2\n", ["column 'x_0'", "twice"]),
    "two names of one": (b"utterance,utterance_id,x_0\na,b,1\n", ["a second utterance"]),
    "cells": (b"label,x_0\na\n", ["line 2", "1 cells", "2"]),
    "empty": (b"conversation,x_0\n,1\n", ["line 2: conversation", "empty"]),
    "split": (b"label,split,x_0\na,trian,1\n", ["line 2: split", "'trian'", "'train'?"]),
    "no rows": (b"label,x_0\n", ["no rows"]),
    "some cells": (b"label,x_0,x_1\na,1,\n", ["modality x", "nan in column 1"]),
    "bytes": ("label,x_0\n你好,1\n".encode("gbk"), ["unreadable"]),
    "one column": (b"label\na\n", ["no columns of features"]),
    "manifest": (b"conversation_id,utterance_id,path\na,b,c\n", ["a manifest of clips"]),
    "id twice": (b"conversation,utterance,x_0\na,u,1\na,u,2\n", ["utterance u", "twice"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_tables_are_refused(tmp_path, name):
    content, words = REFUSED[name]
    refuses(lambda: read(tmp_path, content), "x.csv", *words)
