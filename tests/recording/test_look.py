"""Recordings as pages and predictions, by the commands."""

import json
import re
import shutil

import pytest

from tests.children import mman
from tests.cli.test_listen import SPOKEN, check_times, recording  # noqa: F401
from tests.features import clips


@pytest.fixture
def talk(recording, tmp_path):  # noqa: F811
    return shutil.copy(recording, tmp_path / "talk.wav")


def printed(*arguments):
    ended = mman(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def data(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text()).group(1))


@pytest.mark.e2e
def test_a_recording_with_and_without_a_model(trained, talk, tmp_path):
    subtitles = "1\n00:00:03,200 --> 00:00:04,000\na sunny day\n\n"
    subtitles += "2\n00:00:04,000 --> 09:00:00,000\nlost\n"
    (tmp_path / "talk.srt").write_text(subtitles)
    assert printed("look", f"--input={talk}") == f"3 turns: {tmp_path / 'talk.html'}\n"
    assert "1 of 2 subtitles have their midpoint in no turn" in (tmp_path / "talk.html").read_text()
    page = data(tmp_path / "talk.html")
    assert page["classes"] == []
    assert [turn["words"] for turn in page["turns"]] == ["", "a sunny day", ""]
    assert all(turn["answer"] == {} for turn in page["turns"])

    flags = (f"--input={talk}", f"--checkpoint={trained[2]}")
    printed("look", *flags, f"--output={tmp_path}/other.html")
    turns = data(tmp_path / "other.html")["turns"]
    check_times([turn | turn["answer"] for turn in turns])
    listened = printed("listen", *flags, "--attention", f"--transcript={tmp_path}/talk.srt")
    lines = [json.loads(line) for line in listened.splitlines()]
    assert len(lines) == len(SPOKEN)
    for turn, line in zip(turns, lines, strict=True):
        assert line.pop("transcript", "") == turn["words"]
        assert {key: turn[key] for key in ("start", "end")} | turn["answer"] == line


def test_a_folder_becomes_pages_and_an_index(recording, tmp_path):  # noqa: F811
    shutil.copy(recording, tmp_path / "a talk.wav")
    (tmp_path / "notes.txt").write_text("no recording")
    (tmp_path / "b.mp4").write_bytes(b"no clip")
    assert "left out" in printed("look", f"--input={tmp_path}")
    assert len(data(tmp_path / "a talk.wav.html")["turns"]) == 3
    index = (tmp_path / "index.html").read_text()
    for content in ('href="a%20talk.wav.html"', "<td>3</td>", "<td>b.mp4</td>"):
        assert content in index


@pytest.mark.e2e
def test_predictions_of_a_recording(trained, talk, tmp_path):
    flags = (f"--checkpoint={trained[2]}", f"--input={talk}", f"--output={tmp_path}/talk.csv")
    note = "note: 1 of 1 subtitles have their midpoint in no turn"
    assert note not in printed("predict", *flags)
    # The output is not taken for words when it exists.
    (tmp_path / "talk.srt").write_text("1\n00:00:20,000 --> 09:00:00,000\nlost\n")
    assert note in printed("predict", *flags)
    rows = clips.rows(tmp_path / "talk.csv")
    assert [row["utterance_id"] for row in rows] == ["1", "2", "3"]
    names = [name for name in rows[0] if name.startswith("p_")]
    for row in rows:
        row |= {key: float(row[key]) for key in ("start", "end")}
        row["probabilities"] = {name[2:]: float(row[name]) for name in names}
    check_times(rows)
