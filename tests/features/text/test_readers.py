import codecs
import os

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.manifest import Utterance
from mman_jax.features.text import readers
from mman_jax.features.text.readers import Words

TABLE = {
    "The": [9.0, 9.0, 9.0],
    "the": [1.0, 2.0, 3.0],
    "Sad": [0.5, -0.25, 4.0],
    "caf\u00e9": [-1.0, 0.0, 1e-3],
    "don't": [7.0, 8.0, 9.0],
    "New York": [5.0, 5.0, 5.0],
    "rare": [2.0, 2.0, 2.0],
}


def write_text(path, table=TABLE, end="\n"):
    lines = [f"{word} " + " ".join(map(str, vector)) for word, vector in table.items()]
    path.write_text(f"{len(table)} 3\n" + "".join(line + end for line in lines), encoding="utf-8")


def write_binary(path, table=TABLE, end=b"\n"):
    parts = [f"{len(table)} 3\n".encode()]
    for word, vector in table.items():
        # The format's own reader takes a space as the word's end.
        packed = np.array(vector, "<f4").tobytes()
        parts.append(word.replace(" ", "_").encode() + b" " + packed + end)
    path.write_bytes(b"".join(parts))


FORMS = {
    "text": write_text,
    "text, spaces at the end": lambda path: write_text(path, end=" \n"),
    "binary": write_binary,
    "binary without line breaks": lambda path: write_binary(path, end=b""),
}


@pytest.mark.parametrize("form", FORMS)
def test_both_formats_hold_the_same(tmp_path, form):
    FORMS[form](tmp_path / "v.bin")
    wanted = {"the", "sad", "caf\u00e9", "don't", "unseen"}
    found, vectors = readers.read_vectors(tmp_path / "v.bin", wanted)
    assert found == ("caf\u00e9", "don't", "sad", "the")
    assert vectors.dtype == np.float32
    # "the" is itself, not the folded "The" that comes first; "sad" is only there as "Sad".
    expected = [TABLE[word] for word in ("caf\u00e9", "don't", "Sad", "the")]
    np.testing.assert_array_equal(vectors, np.array(expected, np.float32))


@pytest.mark.parametrize("form", FORMS)
def test_the_most_frequent_come_along(tmp_path, form):
    FORMS[form](tmp_path / "v.bin")
    found, vectors = readers.read_vectors(tmp_path / "v.bin", {"rare"}, most_frequent=3)
    assert found == ("rare", "sad", "the")
    np.testing.assert_array_equal(vectors[2], TABLE["the"])


@pytest.mark.parametrize("end", ["\n", " \n"])
def test_glove_has_no_header(tmp_path, end):
    write_text(tmp_path / "v.txt", end=end)
    rest = (tmp_path / "v.txt").read_text(encoding="utf-8").split("\n", 1)[1]
    (tmp_path / "g.txt").write_text(rest, encoding="utf-8")
    readers.check_vectors(tmp_path / "g.txt")
    for more in (0, 2):
        ours = readers.read_vectors(tmp_path / "g.txt", {"the", "new york", "sad"}, more)
        theirs = readers.read_vectors(tmp_path / "v.txt", {"the", "new york", "sad"}, more)
        assert ours[0] == theirs[0]
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_many_random_vectors_in_both_formats(tmp_path):
    # Random bytes hold every byte: spaces, line breaks, letters.
    random = np.random.default_rng(0)
    table = {f"w{i}": random.normal(size=3).astype(np.float32).tolist() for i in range(3000)}
    write_binary(tmp_path / "b", table)
    write_text(tmp_path / "t", table)
    for path in ("b", "t"):
        found, vectors = readers.read_vectors(tmp_path / path, table)
        np.testing.assert_array_equal(vectors, np.array([table[w] for w in found], np.float32))


VECTORS_REFUSED = {
    "empty": (b"", "first line"),
    "no header": (b"the\n", "first line"),
    "a header of fractions": (b"2.5 3\nthe 1 2 3\n", "first line"),
    "GloVe, a line short": (b"the 1 2 3\ncat 1 2\n", "damaged after word 1;"),
    "GloVe, no number": (b"the 1 2 3\ncat 1 2 x\n", "line 2: cells that are no numbers"),
    "zero": (b"0 3\n", "first line"),
    "huge": (b"1 99999999\nthe 1\n", "first line"),
    "text cut": (b"2 3\nthe 1 2 3\n", "damaged after word 1 of 2"),
    "text short line": (b"2 3\nthe 1 2 3\ncat 1 2\n", "damaged after word 1 of 2"),
    "text no number": (b"2 3\nthe 1 2 3\ncat 1 2 x\n", "line 3: cells that are no numbers"),
    "text not finite": (b"1 3\ncat 1 2 nan\n", "word 'cat': a vector that is not finite"),
    "binary cut": (b"2 3\nthe " + bytes(12) + b"cat " + bytes(5), "damaged after word 1 of 2"),
    "binary, no words": (b"2 3\n" + b"\x00" * 5000, "damaged after word 0 of 2"),
}


@pytest.mark.parametrize("name", VECTORS_REFUSED)
def test_vectors_refused(tmp_path, name):
    content, said = VECTORS_REFUSED[name]
    (tmp_path / "v.bin").write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        readers.read_vectors(tmp_path / "v.bin", {"the", "cat"})
    assert "v.bin" in str(error.value)


def test_absent(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        readers.read_vectors(tmp_path / "none", {"the"})


def test_a_file_is_checked_by_its_beginning(tmp_path):
    (tmp_path / "v").write_bytes(b"9 3\nthe")
    readers.check_vectors(tmp_path / "v")
    (tmp_path / "w").write_bytes(b"the 1\n")
    with pytest.raises(InputError, match=r"w: a first line.*expected a word2vec file"):
        readers.check_vectors(tmp_path / "w")
    with pytest.raises(InputError, match="none: no such file"):
        readers.check_vectors(tmp_path / "none")


SRT = """1
00:00:01,500 --> 00:00:04,000
<i>So</i> it
goes.

2
01:00:00,000 --> 01:00:01,250 X1:40 X2:600
{\\an8}Yes -> no

3
00:00:02,000 --> 00:00:03,000
-

"""
VTT = """WEBVTT - a talk

NOTE nobody says this

intro
00:01.500 --> 00:04.000 align:start
<v Ann>So it goes.</v>

00:00:05.000 --> 00:00:06.000
<c.loud></c>
"""


def test_both_forms_and_encodings_give_the_same_words(tmp_path):
    path = tmp_path / "a.srt"
    expected = [Words(1.5, 4, "So it goes."), Words(2, 3, "-"), Words(3600, 3601.25, "Yes -> no")]
    for content in (
        SRT.encode(), codecs.BOM_UTF8 + SRT.replace("\n", "\r\n").encode(), SRT.encode("utf-16")
    ):  # fmt: skip
        path.write_bytes(content)
        assert readers.read_subtitles(path) == expected
    path.write_text(VTT)
    assert readers.read_subtitles(path) == [Words(1.5, 4, "So it goes.")]


def test_lines_as_they_are_found(tmp_path):
    path = tmp_path / "a.srt"
    close = "1\n00:01.000 --> 00:02.000\nhello\n2\n00:03.000 --> 00:04.000\nnumber\n3\n"
    path.write_text(close)
    assert readers.read_subtitles(path) == [Words(1, 2, "hello"), Words(3, 4, "number 3")]
    path.write_text("00:01.000 --> 00:02.000\ncount\n5\n00:03.000 --> 00:04.000\na --> b\n")
    assert readers.read_subtitles(path) == [Words(1, 2, "count 5"), Words(3, 4, "a --> b")]
    path.write_text("00:01.000 --> 00:02.000\nrock &amp; roll &lt;3&nbsp;AT&T if a < b and c > d\n")
    assert readers.read_subtitles(path) == [Words(1, 2, "rock & roll <3 AT&T if a < b and c > d")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Hällo".encode("latin-1"), "cannot be read"),
        (b"", "no subtitle with words"),
        (b"start,end\n1,2\n", "no subtitle with words"),
        (b"1\n00:00:02,000 --> soon\nyes\n", "line 2: '00:00:02,000 --> soon'"),
        (b"\n00:03.000 --> 00:02.000\nyes\n", "line 2: from 3 s to 2 s"),
    ],
    ids=str,
)
def test_what_are_no_subtitles_is_named(content, said, tmp_path):
    (tmp_path / "a.vtt").write_bytes(content)
    with pytest.raises(InputError) as error:
        readers.read_subtitles(tmp_path / "a.vtt")
    assert said in str(error.value)
    assert str(tmp_path / "a.vtt") in str(error.value)


SAID = (
    Utterance("a", "u0", "a.wav", start=2.0, end=4.0),
    Utterance("a", "u1", "a.wav"),
    Utterance("b", "u0", "b.wav"),
)
HEADER = "conversation_id,utterance_id,start,end,word"


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Reads a file of these rows; all clips claim three seconds."""
    monkeypatch.setattr(media, "claimed_seconds", lambda path: 3.0)

    def read(*rows, header=HEADER):
        (tmp_path / "w.csv").write_text("\n".join([header, *rows]) + "\n")
        return readers.read_timed_words(tmp_path / "w.csv", SAID)

    return read


def test_words_of_each_utterance_after_its_start(read):
    rows = ("a,u0,1.97,2.5,so", "b,u0,0,3.2,well", "a,u0,2.5,4.04,happy", "a,u0,2.5,2.5,!")
    found = read(*rows)
    assert set(found) == {SAID[0], SAID[2]}
    assert found[SAID[0]].words == ("so", "happy", "!")
    expected = [[0, 0.5], [0.5, 2.04], [0.5, 0.5]]
    np.testing.assert_allclose(found[SAID[0]].intervals, expected, atol=1e-12)
    header = "word,end,start,utterance_id,conversation_id"
    other = read("so,2.5,2,u0,a", header=header)
    np.testing.assert_allclose(other[SAID[0]].intervals, [[0, 0.5]])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,u7,0,1,so", r"line 3: a word of conversation a, utterance u7; expected an utterance"),
        ("a,u0,2.1,2.2,so", r"line 3: start: 2.1 s, after 2.5 s of the word before it"),
        ("a,u0,2.8,2.7,so", r"line 3: end: 2.7 s, start 2.8 s; expected no end before"),
        ("a,u0,3.9,4.2,so", r"line 3: end: 4.2 s; expected at most 4.00 s, where .* u0 ends"),
        ("a,u1,2.9,3.4,so", r"line 3: end: 3.4 s; expected at most 3.00 s, where .* u1 ends"),
        ("a,u0,1.9,2.2,so", r"line 3: start: 1.9 s; expected at least 2 s, where"),
        ("a,u0,soon,2.7,so", r"line 3: start: 'soon'; expected seconds"),
        ("a,u0,2.6,inf,so", r"line 3: end: 'inf'; expected seconds"),
        ("a,u0,2.6,2.7,", r"line 3: word: ''; expected a word"),
        ("a,u0,2.6,2.7", r"line 3: 4 cells; expected 5"),
    ],
)
def test_timed_words_that_cannot_be_used_are_named(read, row, said):
    with pytest.raises(InputError, match=said) as caught:
        read("a,u0,2.5,2.6,and", row)
    assert "\n" not in str(caught.value)


def test_other_files_of_words_are_refused(tmp_path, read):
    with pytest.raises(InputError, match="no column 'word' among"):
        read("a,u0,2,3", header=HEADER.removesuffix(",word"))
    with pytest.raises(InputError, match="column 'loud': unknown"):
        read("a,u0,2,3,so,1", header=f"{HEADER},loud")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe; expected a regular file"):
        readers.read_timed_words(tmp_path / "pipe", SAID)
