import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import manifest

HEADER = "conversation_id,utterance_id,path"
ROW = "c0,u0,a.mp4"


def read(tmp_path, text):
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    return manifest.read(tmp_path / "m.csv")


def test_all_columns(tmp_path):
    text = (
        "\ufeffpath,utterance_id,conversation_id,start,end,transcript,label,speaker,session,split\n"
        'a.mp4,u0,c0,1.5,2,"Well, no",happy,ann,s1,train\n'
        "/b.mp4,u1,c0,,3,,,bob,s1,train\n"
    )
    first, second = read(tmp_path, text)
    assert first == manifest.Utterance(
        "c0", "u0", str(tmp_path / "a.mp4"), 1.5, 2.0, "Well, no", "happy", "ann", "s1", "train"
    )
    assert (second.path, second.start, second.end) == ("/b.mp4", None, 3.0)
    assert (second.transcript, second.label, second.speaker) == ("", "", "bob")


def test_a_manifest_is_written_as_it_was_read(tmp_path):
    text = "path,utterance_id,channel,transcript,speaker,groups/age\na.mp4,u0,2,no,ann,old\n"
    utterances = read(tmp_path, text + "b.mp4,u1,,,bob,young\n")
    assert [u.channel for u in utterances] == [2, None]
    (tmp_path / "other").mkdir()
    manifest.write(tmp_path / "other" / "m.csv", utterances)
    again = manifest.read(tmp_path / "other" / "m.csv")
    assert [u.path for u in again] == [f"{tmp_path}/other/../{x}.mp4" for x in "ab"]
    assert [(u.channel, u.speaker, u.groups, u.transcript) for u in again] == [
        (u.channel, u.speaker, u.groups, u.transcript) for u in utterances
    ]
    assert (
        (tmp_path / "other" / "m.csv").read_text().startswith("utterance_id,path,conversation_id")
    )


def test_transcripts_in_any_script(tmp_path):
    words = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f468\u200d\U0001f469"
    (utterance,) = read(tmp_path, f"{HEADER},transcript\nc,u,p,{words}\n")
    assert utterance.transcript == words


def test_conversations_are_put_together_in_order(tmp_path):
    rows = ["x,u9,p", "y,u0,p", "x,u1,p", "", "y,u2,p", "x,u0,p"]
    utterances = read(tmp_path, "\n".join([HEADER, *rows]))
    names = [u.conversation_id + u.utterance_id for u in utterances]
    assert names == ["xu9", "xu1", "xu0", "yu0", "yu2"]
    assert {u.speaker for u in utterances} == {None}


def test_as_a_corpus(tmp_path):
    text = (
        f"{HEADER},label,groups/gender,session,split\n"
        "x,u0,p,sad,f,s2,test\nx,u1,p,,m,s2,test\ny,u0,p,happy,f,s1,train\n"
    )
    features = {"speech": np.zeros((3, 2), np.float32)}
    corpus = manifest.to_corpus(read(tmp_path, text), features, "here")
    assert corpus.label_names == ("happy", "sad")
    assert corpus.labels.tolist() == [1, -1, 0]
    assert corpus.lengths.tolist() == [2, 1]
    assert corpus.sessions == ("s2", "s1")
    assert corpus.split == ("test", "train")
    assert corpus.speakers is None
    assert corpus.groups == {"gender": ("f", "m", "f")}
    other = manifest.to_corpus(read(tmp_path, text), features, "here", ["train", "valid"])
    assert other.split == ("train", "valid")


def test_without_conversations_each_utterance_is_one(tmp_path):
    utterances = read(tmp_path, "path,utterance_id\na,u1\nb,u0\n")
    names = [(u.conversation_id, u.utterance_id) for u in utterances]
    assert names == [("u1", "u1"), ("u0", "u0")]
    with pytest.raises(InputError, match=r"line 3: .*the same ids as line 2"):
        read(tmp_path, "path,utterance_id\na,u1\nb,u1\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no rows"),
        (HEADER, "no rows"),
        (f"{HEADER},speeker\n{ROW},x", r"column 'speeker': unknown.*'speaker'\?"),
        (f"{HEADER},path\n{ROW},x", "column 'path'"),
        ("conversation_id,path\nc,p", "no column 'utterance_id'"),
        (f"{HEADER}\n{ROW}\nc0,u1", "line 3: 2 cells"),
        (f"{HEADER}\n{ROW},x", "line 2: 4 cells"),
        (f"{HEADER}\nc0,,a.mp4", "line 2: utterance_id"),
        (f"{HEADER}\nc0,u0,", "line 2: path"),
        (f"{HEADER},speaker\n{ROW},", "line 2: speaker"),
        (f"{HEADER}\nc0,u\x000,a", "line 2|cannot be read"),
        (f"{HEADER}\nc,u\u200c,p\n", "line 2: utterance_id"),
        (f"{HEADER},start,end\n{ROW},2,1", "line 2: end: 1 s, start 2 s"),
        (f"{HEADER},start,end\n{ROW},2,2", "line 2: end"),
        (f"{HEADER},end\n{ROW},0", "line 2: end: 0 s, start 0 s"),
        (f"{HEADER},start\n{ROW},-1", "line 2: start: '-1'"),
        (f"{HEADER},end\n{ROW},later", "line 2: end: 'later'"),
        (f"{HEADER},end\n{ROW},inf", "line 2: end: 'inf'"),
        (f"{HEADER},split\n{ROW},tset", "line 2: split: 'tset'.*'test'"),
        (f"{HEADER}\n{ROW}\nc1,u0,a\n{ROW}", "line 4: conversation c0, utterance u0"),
        (f"{HEADER},split\n{ROW},train\nc0,u1,b,test", "line 3: .*u1: split 'test', but 'train'"),
        (f"{HEADER},session\n{ROW},s1\nc0,u1,b,s2", "line 3.*session 's2'"),
        (f'{HEADER}\nc0,u0,"a', "unreadable"),
    ],
)
def test_refused_in_one_line_by_place(tmp_path, text, found):
    with pytest.raises(InputError, match=found) as error:
        read(tmp_path, text)
    assert error.value.place.startswith(str(tmp_path / "m.csv"))
    assert "\n" not in str(error.value)


def test_unreadable_files(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe" + HEADER.encode("utf-16le"))
    for path in (tmp_path / "m.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            manifest.read(path)
