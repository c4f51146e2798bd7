"""MELD_Dyadic's and EmoryNLP's lists, and COSMIC's sentences with their labels."""

import csv

import numpy as np
import pytest

from mman_jax.data.readers.read import read_clips, read_corpus
from tests.children import ROOT
from tests.data.readers import public, public_folders
from tests.data.readers.public import dump
from tests.data.small import refuses

EMORYNLP = ROOT.parent / "shared" / "data" / "emorynlp"
HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime"
OLD = ",Old_Dialogue_ID,Old_Utterance_ID"


def dyadic(old=True):
    """Lists whose training part has more dialogues than MELD's."""
    more = ",7,3" if old else ""
    files = {}
    for part, dialogues in (("train", (0, 1039, 2159)), ("dev", (0, 120)), ("test", (0,))):
        rows = [f"Hi,Ross,joy,{d},0,0:00:01.500,0:00:03.000{more}" for d in dialogues]
        text = "\n".join([HEADER + OLD * old, *rows]) + "\n"
        files[f"{part}_sent_emo_dya.csv"] = text.encode()
    return files


@pytest.mark.parametrize("old", [True, False])
def test_dialogues_of_meld_dyadic_are_named_by_part(tmp_path, old):
    folder = public_folders.lay(tmp_path / "dyadic", dyadic(old))
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
    mixed = public_folders.lay(tmp_path / "mixed", dyadic())
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
