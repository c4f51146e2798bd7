"""A recording to a page, as a user types it."""

import csv
import json
import re
import shutil

from tests.children import run
from tests.cli.test_listen import SPOKEN, check_times, recording  # noqa: F401


def data(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text()).group(1))


def test_a_recording_with_and_without_a_model(trained, recording, tmp_path):  # noqa: F811
    talk = tmp_path / "talk.wav"
    shutil.copy(recording, talk)
    subtitles = "1\n00:00:03,200 --> 00:00:04,000\na sunny day\n\n"
    subtitles += "2\n00:00:04,000 --> 09:00:00,000\nlost\n"
    (tmp_path / "talk.srt").write_text(subtitles)
    ended = run("experiments.look", f"--input={talk}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"3 turns: {tmp_path / 'talk.html'}\n"
    assert "1 of 2 subtitles lie in no turn" in (tmp_path / "talk.html").read_text()
    found = data(tmp_path / "talk.html")
    assert found["classes"] == []
    assert [turn["words"] for turn in found["turns"]] == ["", "a sunny day", ""]
    assert all(turn["answer"] == {} for turn in found["turns"])

    given = ("experiments.look", f"--input={talk}", f"--checkpoint={trained[2]}")
    ended = run(*given, f"--output={tmp_path}/other.html")
    assert ended.returncode == 0, ended.stderr
    answered = data(tmp_path / "other.html")
    check_times([turn | turn["answer"] for turn in answered["turns"]])
    listened = run(
        *("experiments.listen", *given[1:], "--attention", f"--transcript={tmp_path}/talk.srt")
    )
    lines = [json.loads(line) for line in listened.stdout.splitlines()]
    assert len(lines) == len(SPOKEN)
    for turn, line in zip(answered["turns"], lines, strict=True):
        assert {key: turn[key] for key in ("start", "end")} | turn["answer"] == line


def refused(*flags):
    ended = run("experiments.look", *flags)
    assert ended.returncode == 2
    return ended.stderr


def test_what_cannot_be_looked_at_is_named_and_nothing_written(tmp_path):
    media, html, labels = (tmp_path / name for name in ("a.mp4", "a.html", "clips.csv"))
    media.write_bytes(b"no clip")
    assert "cannot be decoded" in refused(f"--input={media}")
    html.write_bytes(b"x")
    assert "the recording itself" in refused(f"--input={html}")
    assert html.read_bytes() == b"x"
    # Labels are looked at before the recording is measured.
    labels.write_text("conversation_id,utterance_id,path,label\na,1,a.mp4,sad\n")
    said = refused(f"--input={media}", f"--labels={labels}")
    assert "clips.csv: sad 1; expected 4 labelled" in said
    assert "b.mp4: no such file" in refused(f"--input={tmp_path}/b.mp4", f"--labels={labels}")
    assert "given for a folder" in refused(f"--input={tmp_path}", "--labels=x.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.mp4", "clips.csv"]


def test_a_folder_becomes_pages_and_one_that_leads_to_them(recording, tmp_path):  # noqa: F811
    shutil.copy(recording, tmp_path / "a talk.wav")
    (tmp_path / "notes.txt").write_text("no recording")
    (tmp_path / "b.mp4").write_bytes(b"no clip")
    ended = run("experiments.look", f"--input={tmp_path}")
    assert ended.returncode == 0, ended.stderr
    index = (tmp_path / "index.html").read_text()
    assert 'href="a%20talk.wav.html"' in index
    assert len(data(tmp_path / "a talk.wav.html")["turns"]) == 3
    assert "<td>3</td>" in index
    assert "<td>b.mp4</td>" in index
    assert "left out" in ended.stdout


def test_predict_answers_a_recording_as_its_page_does(trained, recording, tmp_path):  # noqa: F811
    talk = tmp_path / "talk.wav"
    shutil.copy(recording, talk)
    # The answers lie where words would; the second time they are not taken for words.
    for stray in (False, True):
        if stray:
            (tmp_path / "talk.srt").write_text("1\n00:00:20,000 --> 09:00:00,000\nlost\n")
        ended = run(
            "experiments.predict",
            *(f"--checkpoint={trained[2]}", f"--input={talk}", f"--output={tmp_path}/talk.csv"),
        )
        assert ended.returncode == 0, ended.stderr
        assert ("note: 1 of 1 subtitles lie in no turn" in ended.stdout) == stray
    with (tmp_path / "talk.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["utterance_id"] for row in rows] == ["1", "2", "3"]
    names = [name for name in rows[0] if name.startswith("p_")]
    answers = [
        {key: float(row[key]) for key in ("start", "end")}
        | {"probabilities": {name[2:]: float(row[name]) for name in names}, "label": row["label"]}
        for row in rows
    ]
    check_times(answers)
