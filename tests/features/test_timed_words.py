import os

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import decoding, timed_words
from mman_jax.features.manifest import Utterance

SAID = (
    Utterance("a", "u0", "a.wav", start=2.0, end=4.0),
    Utterance("a", "u1", "a.wav"),
    Utterance("b", "u0", "b.wav"),
)
HEADER = "conversation_id,utterance_id,start,end,word"


@pytest.fixture(autouse=True)
def _of_three_seconds(monkeypatch):
    monkeypatch.setattr(decoding, "claimed_seconds", lambda path: 3.0)


def read(path, *rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return timed_words.read(path, SAID)


def test_words_of_each_utterance_after_its_start(tmp_path):
    rows = ("a,u0,1.97,2.5,so", "b,u0,0,3.2,well", "a,u0,2.5,4.04,happy", "a,u0,2.5,2.5,!")
    found = read(tmp_path / "w.csv", *rows)
    assert set(found) == {SAID[0], SAID[2]}
    assert found[SAID[0]].words == ("so", "happy", "!")
    expected = [[0, 0.5], [0.5, 2.04], [0.5, 0.5]]
    np.testing.assert_allclose(found[SAID[0]].intervals, expected, atol=1e-12)
    header = "word,end,start,utterance_id,conversation_id"
    other = read(tmp_path / "w.csv", "so,2.5,2,u0,a", header=header)
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
def test_what_cannot_be_used_is_named(tmp_path, row, said):
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path / "w.csv", "a,u0,2.5,2.6,and", row)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no column 'word' among"):
        read(tmp_path / "w.csv", "a,u0,2,3", header=HEADER.removesuffix(",word"))
    with pytest.raises(InputError, match="column 'loud': unknown"):
        read(tmp_path / "w.csv", "a,u0,2,3,so,1", header=f"{HEADER},loud")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe; expected a regular file"):
        timed_words.read(tmp_path / "pipe", SAID)
