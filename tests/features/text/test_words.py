import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features.text import words

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
    found, vectors = words.read_vectors(tmp_path / "v.bin", wanted)
    assert found == ("caf\u00e9", "don't", "sad", "the")
    assert vectors.dtype == np.float32
    # "the" is itself, not the folded "The" that comes first; "sad" is only there as "Sad".
    expected = [TABLE[word] for word in ("caf\u00e9", "don't", "Sad", "the")]
    np.testing.assert_array_equal(vectors, np.array(expected, np.float32))


@pytest.mark.parametrize("form", FORMS)
def test_the_most_frequent_come_along(tmp_path, form):
    FORMS[form](tmp_path / "v.bin")
    found, vectors = words.read_vectors(tmp_path / "v.bin", {"rare"}, most_frequent=3)
    assert found == ("rare", "sad", "the")
    np.testing.assert_array_equal(vectors[2], TABLE["the"])


@pytest.mark.parametrize("end", ["\n", " \n"])
def test_glove_has_no_header(tmp_path, end):
    write_text(tmp_path / "v.txt", end=end)
    rest = (tmp_path / "v.txt").read_text(encoding="utf-8").split("\n", 1)[1]
    (tmp_path / "g.txt").write_text(rest, encoding="utf-8")
    words.check_file(tmp_path / "g.txt")
    for more in (0, 2):
        ours = words.read_vectors(tmp_path / "g.txt", {"the", "new york", "sad"}, more)
        theirs = words.read_vectors(tmp_path / "v.txt", {"the", "new york", "sad"}, more)
        assert ours[0] == theirs[0]
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_many_random_vectors_in_both_formats(tmp_path):
    # Random bytes hold every byte: spaces, line breaks, letters.
    random = np.random.default_rng(0)
    table = {f"w{i}": random.normal(size=3).astype(np.float32).tolist() for i in range(3000)}
    write_binary(tmp_path / "b", table)
    write_text(tmp_path / "t", table)
    for path in ("b", "t"):
        found, vectors = words.read_vectors(tmp_path / path, table)
        np.testing.assert_array_equal(vectors, np.array([table[w] for w in found], np.float32))


def test_tokens():
    assert words.tokens("Well \u2014 I DON\u2019T know: 'caf\u00e9', no.1?!") == [
        "well", "i", "don't", "know", "caf\u00e9", "no", "1",
    ]  # fmt: skip
    assert words.tokens(" ... ") == []


REFUSED = {
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


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    content, said = REFUSED[name]
    (tmp_path / "v.bin").write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        words.read_vectors(tmp_path / "v.bin", {"the", "cat"})
    assert "v.bin" in str(error.value)


def test_absent(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        words.read_vectors(tmp_path / "none", {"the"})


def test_a_file_is_checked_by_its_beginning(tmp_path):
    (tmp_path / "v").write_bytes(b"9 3\nthe")
    words.check_file(tmp_path / "v")
    (tmp_path / "w").write_bytes(b"the 1\n")
    with pytest.raises(InputError, match=r"w: a first line.*expected a word2vec file"):
        words.check_file(tmp_path / "w")
    with pytest.raises(InputError, match="none: no such file"):
        words.check_file(tmp_path / "none")
