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


def test_both_forms_and_encodings_give_the_same_words(tmp_path):
    path = tmp_path / "a.srt"
    expected = [Words(1.5, 4, "So it goes."), Words(2, 3, "-"), Words(3600, 3601.25, "Yes -> no")]
    for content in (
        SRT.encode(), codecs.BOM_UTF8 + SRT.replace("\n", "\r\n").encode(), SRT.encode("utf-16")
    ):  # fmt: skip
        path.write_bytes(content)
        assert subtitles.read(path) == expected
    path.write_text(VTT)
    assert subtitles.read(path) == [Words(1.5, 4, "So it goes.")]


def test_lines_as_they_are_found(tmp_path):
    path = tmp_path / "a.srt"
    close = "1\n00:01.000 --> 00:02.000\nhello\n2\n00:03.000 --> 00:04.000\nnumber\n3\n"
    path.write_text(close)
    assert subtitles.read(path) == [Words(1, 2, "hello"), Words(3, 4, "number 3")]
    path.write_text("00:01.000 --> 00:02.000\ncount\n5\n00:03.000 --> 00:04.000\na --> b\n")
    assert subtitles.read(path) == [Words(1, 2, "count 5"), Words(3, 4, "a --> b")]
    path.write_text("00:01.000 --> 00:02.000\nrock &amp; roll &lt;3&nbsp;AT&T if a < b and c > d\n")
    assert subtitles.read(path) == [Words(1, 2, "rock & roll <3 AT&T if a < b and c > d")]


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
        subtitles.read(tmp_path / "a.vtt")
    assert said in str(error.value)
    assert str(tmp_path / "a.vtt") in str(error.value)
