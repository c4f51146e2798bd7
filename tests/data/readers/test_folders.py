"""Folders of MERBench, EmoBox, SUPERB, emotion2vec and MELD, and COSMIC's sentences."""

import csv
import json

import numpy as np
import pytest

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers.read import read_clips, read_corpus
from tests.children import ROOT
from tests.data.readers import public, public_folders
from tests.data.readers.public import dump
from tests.data.readers.public_folders import lay, npy, npz
from tests.data.small import refuses


def test_merbench_by_hand(tmp_path):
    corpus = read_corpus(lay(tmp_path, public_folders.merbench()))
    assert corpus.conversation_ids == ("Ses01F_impro01", "Ses02F_impro01")
    assert corpus.sessions == ("Ses01", "Ses02")
    assert corpus.speakers[:3] == ("Ses01_F", "Ses01_F", "Ses01_M")
    assert corpus.label_names == EMOTIONS
    assert corpus.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    assert corpus.dims == {"wavlm-base": 3}
    assert corpus.features["wavlm-base"][:, 0].tolist() == list(range(8))
    assert corpus.split is None


def test_merbench_of_meld_and_of_sentiment(tmp_path):
    corpus = read_corpus(lay(tmp_path / "meld", public_folders.merbench("meld")))
    assert corpus.conversation_ids == ("0000", "1039", "1153")
    assert corpus.split == ("train", "valid", "test")
    assert [corpus.label_names[label] for label in corpus.labels] == ["neutral"] * 4
    corpus = read_corpus(lay(tmp_path / "mosi", public_folders.merbench("mosi", frames=True)))
    assert corpus.utterance_ids == ("a_b_2", "a_b_10", "c_1", "d_1")
    assert corpus.targets["sentiment"].tolist() == [1.5, -2, 0, 3]
    assert corpus.labels.tolist() == [2, 0, 1, 2]
    assert corpus.split == ("train", "valid", "test")


def test_merbench_s_variations(tmp_path):
    files = public_folders.merbench()
    del files["features/wavlm-base-UTT/Ses01F_impro01_F000.npy"]
    files["features/wavlm-base-UTT/Ses01F_impro01_F001.npy"] = npy(np.array([[1.0, np.nan, 3]]))
    files["features/wavlm-base-FRA/Ses01F_impro01_F001.npy"] = npy(np.ones((9, 9)))
    corpus = read_corpus(lay(tmp_path / "a", files))
    assert corpus.present["wavlm-base"].tolist() == [False, *[True] * 7]
    assert corpus.features["wavlm-base"][1].tolist() == [1, 0, 3]
    assert corpus.dims == {"wavlm-base": 3}
    facts = {name: {"emo": np.array(2), "val": np.array([0.5])} for name in ("a_1", "a_2")}
    facts["a_2"]["emo"] = np.int64(1)
    files = {f"features/x-UTT/{name}.npy": npy(np.ones(2)) for name in facts}
    files["label.npz"] = npz(train_corpus=np.array(facts, object))
    corpus = read_corpus(lay(tmp_path / "b", files))
    assert corpus.labels.tolist() == [2, 1]
    assert corpus.targets["sentiment"].tolist() == [0.5, 0.5]


def test_labels_of_merbench_alone_need_features(tmp_path):
    files = public_folders.merbench()
    labels = lay(tmp_path / "a", {"label.npz": files["label_6way.npz"]})
    refuses(lambda: read_corpus(labels), "labels alone (MERBench", "2 conv", "8 utt", "joined")
    join = {"wavlm": lay(tmp_path / "b", files) / "features/wavlm-base-UTT"}
    assert read_corpus(labels / "label.npz", join=join).dims == {"wavlm": 3}


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("path", ["emobox/iemocap/fold_1", "emobox/iemocap", "emobox"])
def test_emobox_by_hand(tmp_path, lines, path):
    lay(tmp_path / "emobox/iemocap", public_folders.emobox(lines))
    corpus = read_corpus(tmp_path / path)
    assert corpus.conversation_ids == ("Ses02F_impro04", "Ses01F_impro04")
    assert corpus.split == ("train", "test")
    assert corpus.label_names == ("Happy", "Neutral")
    assert corpus.labels.tolist() == [1, 0, 1, 0, 1]
    assert corpus.speakers[0] == "Ses02_F"
    assert corpus.features["duration"][:, 0].tolist() == [1.5, 2.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize("name", ["iemocap-Ses0{}F_impro04_F00{}", "Ses0{}F_impro04_F00{}"])
def test_features_are_joined_to_emobox_by_key(tmp_path, name):
    lay(tmp_path / "iemocap", public_folders.emobox())
    keys = [name.format(s, i) for s, n in ((2, 2), (1, 3)) for i in range(n)]
    vectors = {f"{key}.npy": npy(np.full((2, 3), i)) for i, key in enumerate(keys)}
    join = {"wavlm": lay(tmp_path / "features", vectors)}
    corpus = read_corpus(tmp_path / "iemocap", join=join)
    assert corpus.dims == {"wavlm": 3}
    assert corpus.features["wavlm"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert "wavlm: mean of the frames" in corpus.source_notes


def test_emobox_of_meld_and_of_several_sets(tmp_path):
    corpus = read_corpus(lay(tmp_path / "a", public_folders.emobox(meld=True)))
    assert corpus.conversation_ids == ("0000", "1039", "1153")
    assert corpus.utterance_ids[:2] == ("dia0_utt0", "dia0_utt1")
    assert corpus.split == ("train", "valid", "test")
    for name in ("iemocap", "meld"):
        lay(tmp_path / "b" / name, public_folders.emobox())
    refuses(lambda: read_corpus(tmp_path / "b"), "folds of several sets (iemocap, meld)")


@pytest.mark.parametrize("path", ["meta_data/Session1", "meta_data"])
def test_s3prl(tmp_path, path):
    lay(tmp_path / "meta_data", public_folders.s3prl())
    at = [(s, i) for s in (1, 2) for i in range(3)]
    features = {f"Ses0{s}F_impro01_F00{i}.npy": npy(np.array([s, i])) for s, i in at}
    join = {"w2v": lay(tmp_path / "features", features)}
    refuses(lambda: read_corpus(tmp_path / path), "labels alone (SUPERB", "2 conv", "5 utt")
    corpus = read_corpus(tmp_path / path, join=join)
    assert corpus.label_names == ("hap", "neu")
    assert corpus.split == ("train", "test")
    assert corpus.features["w2v"].tolist() == [[2, 0], [2, 1], [2, 2], [1, 0], [1, 1]]


@pytest.mark.parametrize("path", [".", "train.npy"])
def test_emotion2vec_by_hand(tmp_path, path):
    corpus = read_corpus(lay(tmp_path, public_folders.emotion2vec()) / path)
    assert corpus.conversation_ids == ("Ses01F_impro01", "Ses01F_impro02")
    assert corpus.features["speech"].tolist() == [[2, 4], [0, 0], [5, 5]]
    assert corpus.present["speech"].tolist() == [True, False, True]
    assert corpus.label_names == ("hap", "neu")
    assert read_corpus(tmp_path, pool="last").features["speech"][0].tolist() == [3, 6]


def test_emotion2vec_of_several_parts(tmp_path):
    for part, session in (("train", b"Ses05"), ("valid", b"Ses05"), ("test", b"Ses04")):
        for name, content in public_folders.emotion2vec().items():
            files = {name.replace("train", part): content.replace(b"Ses01", session)}
            lay(tmp_path, files)
    corpus = read_corpus(tmp_path)
    # Two parts have the same conversations, which are kept apart.
    assert corpus.conversation_ids[:2] == ("Ses05F_impro01:train", "Ses05F_impro02:train")
    assert corpus.split == ("train", "train", "valid", "valid", "test", "test")
    assert len(corpus.labels) == 9


def test_one_array_per_utterance(tmp_path):
    files = {f"Ses01F_impro01_F00{i}.npy": npy(np.full((i + 1, 2), i)) for i in range(2)}
    corpus = read_corpus(lay(tmp_path, files | {"Ses01F_impro01_F002.npy": npy(np.ones(2))}))
    assert corpus.features["speech"].tolist() == [[0, 0], [1, 1], [1, 1]]
    assert corpus.labels.tolist() == [-1] * 3
    name = "Ses01F_impro01_F001.npy"
    refuses(lambda: read_corpus(tmp_path / name), f"{name}: 2 rows, and no file of lengths")


def test_meld_lists_by_hand(tmp_path):
    corpus = read_corpus(lay(tmp_path, public_folders.meld_csv()))
    assert corpus.conversation_ids == ("0000", "1039", "1153")
    assert corpus.utterance_ids == ("0", "1", "0", "0")
    assert corpus.speakers[:2] == ("Ross", "Joey")
    assert [corpus.label_names[i] for i in corpus.labels[:2]] == ["surprise", "sadness"]
    assert corpus.features["duration"].ravel().tolist() == [1.0, 1.5, 2.0, 2.0]
    assert corpus.split == ("train", "valid", "test")
    alone = read_corpus(tmp_path / "dev_sent_emo.csv")
    assert alone.split is None
    assert alone.conversation_ids == ("0000",)


CLIP = {"wav": "x.wav", "emo": "neu", "dataset": "d"}
HEADER = public_folders.MELD_HEADER.encode()
F001 = "features/wavlm-base-UTT/Ses01F_impro01_F001.npy"


def fold(content):
    return {"set_train_fold_1.json": json.dumps(content).encode()}


def labels(content):
    return public_folders.merbench() | {"label_6way.npz": npz(whole_corpus=np.array(content))}


def merbench(content):
    return public_folders.merbench() | {F001: content}


def emotion2vec(name, content):
    return public_folders.emotion2vec() | {f"train.{name}": content}


def meld(rows):
    return {"train_sent_emo.csv": HEADER + rows}


REFUSED = [
    ({F001: npy(np.ones(3)), "features/x.txt": b""}, ["no labels"]),
    (labels(np.array(5, object)), ["label_6way.npz", "a int"]),
    (labels(np.arange(3)), ["whole_corpus", "int64", "a pickled dict"]),
    (labels({"a_1": 3}), ["whole_corpus: 'a_1'", "a int", "a dict"]),
    (labels({"a_1": {"emo": 0.5}}), ["utterance a_1", "label 0.5"]),
    (merbench(npy(np.ones(4))), ["Ses01F_impro01_F001.npy", "4 features", "3"]),
    (merbench(npy(np.ones(3))[:-4]), ["Ses01F_impro01_F001.npy", "20 bytes", "a complete array"]),
    ({"set_train_fold_1.json": b'{"a": {'}, ["train_fold_1.json", "unreadable"]),
    (fold(5), ["a int", "a list of clips"]),
    (fold({"a": 3}), ["train_fold_1.json: a", "a int"]),
    (fold({"a": {"wav": "x"}}), ["train_fold_1.json: a", "no 'label'"]),
    (fold({"a": CLIP | {"emo": [1]}}), ["a: emo", "list"]),
    (fold({}), ["no clips"]),
    (fold({"a": CLIP}) | {"label_map.json": b"[1]"}, ["label_map.json: no map"]),
    (emotion2vec("lengths", b"2\n0\n2\n"), ["train.lengths", "a sum of 4", "3, the rows"]),
    (emotion2vec("lengths", b"2\nx\n1\n"), ["train.lengths: line 1", "'x'"]),
    (emotion2vec("emo", b"a\tneu\n"), ["train.emo", "1 labels", "3"]),
    (emotion2vec("emo", b"a\nb\tneu\nc\tneu\n"), ["train.emo: line 0", "1 words"]),
    (emotion2vec("npy", npy(np.ones(3))), ["train.npy", "(3,)", "[T, D]"]),
    (emotion2vec("npy", npy(np.array(["a"]))), ["train.npy", "<U1"]),
    (meld(b'1,a,b,joy,positive,x,0,1,1,"",""\n'), ["_emo.csv: line 2: Dialogue_ID", "'x'"]),
    (meld(b"1,2\n"), ["line 2", "2 cells", "11"]),
    (meld(b""), ["no rows"]),
]


@pytest.mark.parametrize(("files", "words"), REFUSED)
def test_malformed_folders_are_refused(tmp_path, files, words):
    refuses(lambda: read_corpus(lay(tmp_path, files)), str(tmp_path), *words)


EMORYNLP = ROOT.parent / "shared" / "data" / "emorynlp"
COLUMNS = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime"
OLD = ",Old_Dialogue_ID,Old_Utterance_ID"


def dyadic(old=True):
    """Lists whose training part has more dialogues than MELD's."""
    more = ",7,3" if old else ""
    files = {}
    for part, dialogues in (("train", (0, 1039, 2159)), ("dev", (0, 120)), ("test", (0,))):
        rows = [f"Hi,Ross,joy,{d},0,0:00:01.500,0:00:03.000{more}" for d in dialogues]
        text = "\n".join([COLUMNS + OLD * old, *rows]) + "\n"
        files[f"{part}_sent_emo_dya.csv"] = text.encode()
    return files


@pytest.mark.parametrize("old", [True, False])
def test_dialogues_of_meld_dyadic_are_named_by_part(tmp_path, old):
    folder = lay(tmp_path / "dyadic", dyadic(old))
    corpus = read_corpus(folder)
    assert corpus.conversation_ids == (
        *("train_0000", "train_1039", "train_2159", "valid_0000", "valid_0120", "test_0000"),
    )
    assert corpus.split == ("train",) * 3 + ("valid",) * 2 + ("test",)
    assert corpus.features["duration"][:, 0].tolist() == [1.5] * 6
    clips = [row.clip for row in read_clips(folder).rows]
    assert clips[2] == ("train/dia7_utt3.mp4" if old else "train/dia2159_utt0.mp4")


def test_emorynlp(tmp_path):
    if not EMORYNLP.is_dir():
        pytest.skip("EmoryNLP's lists are not beside this checkout")
    corpus, conversations = read_corpus(EMORYNLP), set()
    for part in ("train", "dev", "test"):
        path = EMORYNLP / f"emorynlp_{part}_final.csv"
        with path.open(encoding="utf-8-sig", newline="") as file:
            conversations |= {
                tuple(int(row[name]) for name in ("Season", "Episode", "Scene_ID"))
                for row in csv.DictReader(file)
            }
    names = {
        f"s{season:02d}_e{episode:02d}_c{scene:02d}" for season, episode, scene in conversations
    }
    assert set(corpus.conversation_ids) == names
    sizes = {part: corpus.lengths[np.array(corpus.split) == part] for part in set(corpus.split)}
    assert {part: (len(x), x.sum()) for part, x in sizes.items()} == {
        "train": (659, 7551), "valid": (89, 954), "test": (79, 984),
    }  # fmt: skip
    assert sorted(corpus.label_names) == [
        *("Joyful", "Mad", "Neutral", "Peaceful", "Powerful", "Sad", "Scared"),
    ]
    assert "Monica Geller, Phoebe Buffay" in corpus.speakers
    mixed = lay(tmp_path / "mixed", dyadic())
    (mixed / "test_sent_emo_dya.csv").unlink()
    (mixed / "test.csv").write_bytes((EMORYNLP / "emorynlp_test_final.csv").read_bytes())
    refuses(lambda: read_corpus(mixed), "mixed")


def test_cosmic_s_sentences_are_joined_with_their_labels(tmp_path):
    labels = public.cosmic(features=False)
    sentences = {name: [f"{name} {u}".split() for u, _ in enumerate(x)]
                 for name, x in labels[1].items()}  # fmt: skip
    dump(tmp_path / "iemocap.pkl", labels)
    alone = dump(tmp_path / "alone_sentences.pkl", sentences)
    path = dump(tmp_path / "iemocap_sentences.pkl", sentences)
    rows = read_clips(path).rows
    assert [row.transcript for row in rows] == [f"{r.conversation} {r.utterance}" for r in rows]
    assert {row.transcript for row in read_clips(tmp_path / "iemocap.pkl").rows} == {"words"}
    refuses(lambda: read_corpus(alone), "alone_sentences.pkl")
    sentences.popitem()
    refuses(lambda: read_corpus(dump(path, sentences)), "sentences")
