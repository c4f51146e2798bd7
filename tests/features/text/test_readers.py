import os

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.manifest import Utterance
from mman_jax.features.text import readers

TABLE = {
    "The": [9.0, 9.0, 9.0],
    "the": [1.0, 2.0, 3.0],
    "Sad": [0.5, -0.25, 4.0],
    "caf\u00e9": [-1.0, 0.0, 1e-3],
    "don't": [7.0, 8.0, 9.0],
    "New York": [5.0, 5.0, 5.0],
    "rare": [2.0, 2.0, 2.0],
}


def as_text(table=TABLE, end="\n", header=True):
    lines = [f"{word} {' '.join(map(str, vector))}{end}" for word, vector in table.items()]
    return ((f"{len(table)} 3\n" if header else "") + "".join(lines)).encode()


def as_binary(table=TABLE, end=b"\n"):
    parts = [f"{len(table)} 3\n".encode()]
    for word, vector in table.items():
        # In this format words end at the first space.
        parts.append(word.replace(" ", "_").encode() + b" ")
        parts.append(np.array(vector, "<f4").tobytes() + end)
    return b"".join(parts)


@pytest.mark.parametrize(
    "content",
    [
        as_text(),
        as_text(end=" \n"),
        as_text(header=False),  # GloVe
        as_text(header=False, end=" \n"),
        as_binary(),
        as_binary(end=b""),
    ],
    ids=range(6),
)
def test_formats_of_word_vectors(tmp_path, content):
    (tmp_path / "v").write_bytes(content)
    readers.check_vectors(tmp_path / "v")
    words, vectors = readers.read_vectors(
        tmp_path / "v", {"the", "sad", "caf\u00e9", "don't", "un"}
    )
    assert words == ("caf\u00e9", "don't", "sad", "the")
    assert vectors.dtype == np.float32
    # "the" is itself, not "The", which comes first; "sad" only occurs as "Sad".
    expected = [TABLE[word] for word in ("caf\u00e9", "don't", "Sad", "the")]
    np.testing.assert_array_equal(vectors, np.array(expected, np.float32))
    words, vectors = readers.read_vectors(str(tmp_path / "v"), {"rare"}, most_frequent=3)
    assert words == ("rare", "sad", "the")
    np.testing.assert_array_equal(vectors[2], TABLE["the"])


@pytest.mark.parametrize("form", [as_text, as_binary])
def test_many_random_vectors(tmp_path, form):
    # Random bytes include spaces, line breaks and letters.
    random = np.random.default_rng(0)
    table = {f"w{i}": random.normal(size=3).astype(np.float32).tolist() for i in range(3000)}
    (tmp_path / "v").write_bytes(form(table))
    words, vectors = readers.read_vectors(tmp_path / "v", table)
    np.testing.assert_array_equal(vectors, np.array([table[w] for w in words], np.float32))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "first line"),
        (b"the\n", "first line"),
        (b"2.5 3\nthe 1 2 3\n", "first line"),
        (b"the 1 2 3\ncat 1 2\n", "damaged after word 1;"),
        (b"the 1 2 3\ncat 1 2 x\n", "line 2:"),
        (b"0 3\n", "first line"),
        (b"1 99999999\nthe 1\n", "first line"),
        (b"2 3\nthe 1 2 3\n", "damaged after word 1 of 2"),
        (b"2 3\nthe 1 2 3\ncat 1 2\n", "damaged after word 1 of 2"),
        (b"2 3\nthe 1 2 3\ncat 1 2 x\n", "line 3:"),
        (b"1 3\ncat 1 2 nan\n", "word 'cat': .*not finite"),
        (b"2 3\nthe " + bytes(12) + b"cat " + bytes(5), "damaged after word 1 of 2"),
        (b"2 3\n" + b"\x00" * 5000, "damaged after word 0 of 2"),
    ],
    ids=range(13),
)
def test_damaged_vectors_are_refused(tmp_path, content, found):
    (tmp_path / "v.bin").write_bytes(content)
    with pytest.raises(InputError, match=rf"v\.bin.*{found}"):
        readers.read_vectors(tmp_path / "v.bin", {"the", "cat"})


def test_vectors_are_checked_by_their_first_line(tmp_path):
    (tmp_path / "v").write_bytes(b"9 3\nthe")
    readers.check_vectors(tmp_path / "v")
    (tmp_path / "w").write_bytes(b"the 1\n")
    with pytest.raises(InputError, match="w: a first line"):
        readers.check_vectors(tmp_path / "w")
    for read in (readers.check_vectors, lambda path: readers.read_vectors(path, {"the"})):
        with pytest.raises(InputError, match="none: no such file"):
            read(tmp_path / "none")


SPOKEN = (
    Utterance("a", "u0", "a.wav", start=2.0, end=4.0),
    Utterance("a", "u1", "a.wav"),
    Utterance("b", "u0", "b.wav"),
)
HEADER = "conversation_id,utterance_id,start,end,word"


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Reads a file of rows; all clips claim three seconds."""
    monkeypatch.setattr(media, "claimed_seconds", lambda path: 3.0)

    def read(*rows, header=HEADER):
        (tmp_path / "w.csv").write_text("\n".join([header, *rows]) + "\n")
        return readers.read_timed_words(tmp_path / "w.csv", SPOKEN)

    return read


def test_timed_words_are_relative_to_the_start_of_their_utterance(read):
    rows = ("a,u0,1.97,2.5,so", "b,u0,0,3.2,well", "a,u0,2.5,4.04,happy", "a,u0,2.5,2.5,!")
    words = read(*rows)
    assert set(words) == {SPOKEN[0], SPOKEN[2]}
    assert words[SPOKEN[0]].words == ("so", "happy", "!")
    expected = [[0, 0.5], [0.5, 2.04], [0.5, 0.5]]
    np.testing.assert_allclose(words[SPOKEN[0]].intervals, expected, atol=1e-12)
    other = read("so,2.5,2,u0,a", header="word,end,start,utterance_id,conversation_id")
    np.testing.assert_allclose(other[SPOKEN[0]].intervals, [[0, 0.5]])


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("a,u7,0,1,so", "a word of conversation a, utterance u7"),
        ("a,u0,2.1,2.2,so", "start: 2.1 s, after 2.5 s"),
        ("a,u0,2.8,2.7,so", "end: 2.7 s, start 2.8 s"),
        ("a,u0,3.9,4.2,so", "end: 4.2 s; expected at most 4.00 s, where .* u0 ends"),
        ("a,u1,2.9,3.4,so", "end: 3.4 s; expected at most 3.00 s, where .* u1 ends"),
        ("a,u0,1.9,2.2,so", "start: 1.9 s; expected at least 2 s"),
        ("a,u0,soon,2.7,so", "start: 'soon'"),
        ("a,u0,2.6,inf,so", "end: 'inf'"),
        ("a,u0,2.6,2.7,", "word: ''"),
        ("a,u0,2.6,2.7", "4 cells"),
    ],
)
def test_unusable_timed_words_are_refused(read, row, found):
    with pytest.raises(InputError, match=f"line 3: {found}") as error:
        read("a,u0,2.5,2.6,and", row)
    assert "\n" not in str(error.value)


def test_other_files_are_no_timed_words(tmp_path, read):
    with pytest.raises(InputError, match="no column 'word'"):
        read("a,u0,2,3", header=HEADER.removesuffix(",word"))
    with pytest.raises(InputError, match="column 'loud'"):
        read("a,u0,2,3,so,1", header=f"{HEADER},loud")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe"):
        readers.read_timed_words(tmp_path / "pipe", SPOKEN)
