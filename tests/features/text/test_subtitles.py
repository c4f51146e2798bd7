import codecs

import pytest

from mman_jax.errors import InputError
from mman_jax.features.text import subtitles
from mman_jax.features.text.subtitles import Words

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
SAID = [Words(1.5, 4, "So it goes."), Words(2, 3, "-"), Words(3600, 3601.25, "Yes -> no")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (SRT.encode(), SAID),
        (codecs.BOM_UTF8 + SRT.replace("\n", "\r\n").encode(), SAID),
        (SRT.encode("utf-16"), SAID),
        (VTT.encode(), SAID[:1]),
        (
            b"1\n00:01.000 --> 00:02.000\nhello\n2\n00:03.000 --> 00:04.000\nnumber\n3\n",
            [Words(1, 2, "hello"), Words(3, 4, "number 3")],
        ),
        (
            b"00:01.000 --> 00:02.000\ncount\n5\n00:03.000 --> 00:04.000\na --> b\n",
            [Words(1, 2, "count 5"), Words(3, 4, "a --> b")],
        ),
        (
            b"00:01.000 --> 00:02.000\nrock &amp; roll &lt;3&nbsp;AT&T if a < b and c > d\n",
            [Words(1, 2, "rock & roll <3 AT&T if a < b and c > d")],
        ),
    ],
    ids=range(7),
)
def test_subtitles(tmp_path, content, expected):
    (tmp_path / "a.srt").write_bytes(content)
    assert subtitles.read(tmp_path / "a.srt") == expected


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("你好".encode("gbk"), "unreadable"),
        (b"", "no subtitle with words"),
        (b"start,end\n1,2\n", "no subtitle with words"),
        (b"1\n00:00:02,000 --> soon\nyes\n", "line 2: '00:00:02,000 --> soon'"),
        (b"\n00:03.000 --> 00:02.000\nyes\n", "line 2: from 3 s to 2 s"),
    ],
    ids=str,
)
def test_unusable_subtitles_are_refused(content, found, tmp_path):
    (tmp_path / "a.vtt").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.vtt.*{found}"):
        subtitles.read(tmp_path / "a.vtt")


def read(tmp_path, text):
    (tmp_path / "a.srt").write_text(text)
    return [tuple(words) for words in subtitles.read(tmp_path / "a.srt")]


def test_words_after_an_empty_line_are_kept(tmp_path):
    first, second = "00:01.000 --> 00:02.000\n", "00:03.000 --> 00:04.000\n"
    assert read(tmp_path, f"1\n{first}one\n\ntwo\n\n2\n{second}\nthree\n\nfour\n") == [
        (1, 2, "one two"),
        (3, 4, "three four"),
    ]
    # Names of the next subtitle and notes are no words; "2" is the word of the first subtitle.
    named = f"WEBVTT\n\na\n{first}2\n\nNOTE no\nwords\n\nb\n{second}three\n"
    assert read(tmp_path, named) == [(1, 2, "2"), (3, 4, "three")]
    assert read(tmp_path, f"1\n{first}2\n\n2\n{second}three\n")[0] == (1, 2, "2")
    assert read(tmp_path, f"1\n{first}\n\n2\n{second}three\n") == [(3, 4, "three")]


def test_rolling_captions_have_each_word_once(tmp_path):
    rolling = """WEBVTT

00:00.160 --> 00:03.429 align:start
\u0020
good<00:00:00.960><c> morning</c>

00:03.429 --> 00:03.439
good morning
\u0020

00:03.439 --> 00:05.749
good morning
how<00:00:03.760><c> are you</c>

00:05.749 --> 00:05.759
how are you

00:05.759 --> 00:08.000
how are you
fine
"""
    expected = [(0.16, 3.429, "good morning"), (3.439, 5.749, "how are you"), (5.759, 8, "fine")]
    assert read(tmp_path, rolling) == expected
    # A line that is said twice, and one that comes again after a pause, are no repetitions.
    twice = "00:01.000 --> 00:02.000\nNo.\n\n00:02.000 --> 00:03.000\nNo.\n\n"
    later = "00:04.000 --> 00:05.000\nNo.\nNever.\n"
    assert [words for *_, words in read(tmp_path, twice + later)] == ["No.", "No.", "No. Never."]
