"""Labels of a recording's turns, and a classifier that learns from them."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.recording import labels as labelling
from mman_jax.recording import page
from mman_jax.recording.turns import Turn, Turns
from tests.features import clips

TURNS = [Turn(float(i), i + 0.5, f"word {i}", [], {}) for i in range(12)]
TALK = pathlib.Path("talk.wav")
FOUR = {0: "sad", 1: "calm", 2: "sad", 3: "calm"}


def save(path, labels):
    rows = [
        dict(
            conversation_id="talk", utterance_id=str(i + 1), path="talk.wav", start=turn.start,
            end=turn.end, transcript=turn.words, label=labels.get(i, ""),
        )
        for i, turn in enumerate(TURNS)
    ]  # fmt: skip
    return clips.table(path, rows)


@pytest.mark.e2e
def test_labels_are_learnt_and_turns_predicted_by_the_other_labels(tmp_path):
    random = np.random.default_rng(0)
    sounds = random.normal(0, 1, (12, 88)) + 4 * (np.arange(12) % 2)[:, None]
    recording = Turns(list(TURNS), sounds.astype(np.float32), [])
    right = ["sad" if i % 2 else "calm" for i in range(12)]
    path = save(tmp_path / "x.csv", dict(enumerate(right[:6])) | {6: "sad"})  # the last is wrong
    labels = [turn.label for turn in labelling.read(path, TALK)]
    assert labels == [*right[:6], "sad", *[""] * 5]
    learnt, scores = labelling.learn(recording, labels)
    assert [turn.answer["label"] for turn in learnt.turns] == right
    assert [turn.label for turn in learnt.turns] == labels
    assert scores[:2] == (6, 7)
    assert scores[3:5] == ("sad", 4)
    assert 0 <= scores.chance < 6
    assert scores.interval[0] < 6 / 7 < scores.interval[1]
    sums = [sum(turn.answer["probabilities"].values()) for turn in learnt.turns]
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    (tmp_path / "talk.wav").write_bytes(b"x")
    text = page.render(tmp_path / "talk.wav", learnt, ["calm", "sad"], scores=scores)
    assert "Leave-one-out accuracy: 6 of 7 (86 %, 95 % interval" in text
    assert "for this recording only" in text


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({}, "no label; expected 4 labelled turns"),
        (dict.fromkeys(range(6), "sad"), "sad 6; expected"),
        ({0: "sad", 1: "calm"}, "sad 1, calm 1; expected"),
    ],
)
def test_too_few_labels_are_refused(labels, found, tmp_path):
    with pytest.raises(InputError, match=found):
        labelling.read(save(tmp_path / "x.csv", labels), TALK)


DOCUMENT = """<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER>
<TIER TIER_ID="label Ann">{labels}</TIER><TIER TIER_ID="words Ann">{words}</TIER>
<TIER TIER_ID="notes"><ANNOTATION/></TIER></ANNOTATION_DOCUMENT>"""


def elan(labels):
    def tier(values):
        return "".join(
            f'<ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="a{i}" TIME_SLOT_REF2="b{i}">'
            f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            for i, value in values.items()
        )

    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{name}{i}" TIME_VALUE="{round(1000 * time)}"/>'
        for i, turn in enumerate(TURNS)
        for name, time in (("a", turn.start), ("b", turn.end))
    )
    words = {i: turn.words for i, turn in enumerate(TURNS)}
    return DOCUMENT.format(slots=slots, labels=tier(labels), words=tier(words))


def srt(labels):
    clock = "00:00:{:06.3f}"
    return "\n\n".join(
        f"{clock.format(t.start)} --> {clock.format(t.end)}\n{t.words}"
        + (f" ({labels[i]})" if i in labels else " [guessed]")
        for i, t in enumerate(TURNS)
    )


def document(labels):
    rows = [dataclasses.asdict(t) | {"label": labels.get(i, "")} for i, t in enumerate(TURNS)]
    return json.dumps({"recording": "talk.wav", "turns": rows})


def vtt(labels):
    return "WEBVTT\n\n" + srt(labels)


@pytest.mark.parametrize(
    ("suffix", "write"), [("json", document), ("srt", srt), ("vtt", vtt), ("eaf", elan)]
)
def test_turns_are_read_from_each_format(suffix, write, tmp_path):
    path = tmp_path / f"x.{suffix}"
    path.write_text(write(FOUR))
    read = labelling.read(path, TALK)
    times = [(turn.start, turn.end) for turn in read]
    assert times == [(turn.start, turn.end) for turn in TURNS]
    assert [turn.label for turn in read] == [FOUR.get(i, "") for i in range(12)]
    assert [turn.words.removesuffix(" [guessed]") for turn in read] == [t.words for t in TURNS]
    assert {turn.speaker for turn in read} == {"Ann" if suffix == "eaf" else ""}
    for broken in (write({}), "", write(FOUR)[:-30].replace("00:00", "x"), "[]"):
        path.write_text(broken)
        with pytest.raises(InputError, match=f"x.{suffix}"):
            labelling.read(path, TALK)


@pytest.mark.parametrize(
    "changed",
    [{"start": None}, {"end": 0.0}, {"start": float("nan")}, {"end": "1"}, {"channel": "left"}],
)
def test_turns_of_no_time_are_refused(changed, tmp_path):
    rows = json.loads(document(FOUR))
    rows["turns"][0].update(changed)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"x\.json: turn 1: "):
        labelling.read(path, TALK)


def test_turns_are_cut_from_their_recording(tmp_path):
    path = tmp_path / "talk.wav"
    rate = media.SAMPLE_RATE
    sound = np.repeat(np.arange(4) / 8, rate).astype(np.float32)
    clips.write_sound(path, sound)
    turns = [Turn(0.5, 1.5, "", [], {}), Turn(3.0, 4.02, "end", [], {}, speaker="Ann")]
    first, last = labelling.cut(path, turns)
    np.testing.assert_allclose(first.samples, sound[rate // 2 : rate * 3 // 2], atol=1e-3)
    assert (last.start, last.words, last.speaker, len(last.samples)) == (3.0, "end", "Ann", rate)
    for start, end in ((3.0, 9.0), (3.99, 4.04)):  # nearly all of the second one is after the end
        with pytest.raises(InputError, match=r"talk\.wav"):
            labelling.cut(path, [Turn(start, end, "", [], {})])


def test_manifests_of_other_recordings_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no row of other\.wav"):
        labelling.read(save(tmp_path / "x.csv", FOUR), pathlib.Path("other.wav"))
