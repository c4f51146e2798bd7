"""Words with times, by a fake of the library, and by Whisper itself where a folder is named."""

import os
import pathlib
import sys
import types

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speech import pauses
from mman_jax.features.text.subtitles import Words
from mman_jax.features.words import whisper

FOLDER, SPEECH = os.environ.get("MMAN_JAX_WHISPER"), os.environ.get("MMAN_JAX_SPEECH")
"""A folder of Whisper for CTranslate2, and one with beckett.wav (of moonshine-voice)."""


def word(start, end, text, probability=0.9):
    return types.SimpleNamespace(start=start, end=end, word=text, probability=probability)


class Model:
    """Answers every span with the same words, and records the spans."""

    supported_languages = ("de", "en")

    def __init__(self, place, **options):
        if "broken" in place:
            raise RuntimeError("File model.bin is incomplete\nat byte 3")
        self.model = types.SimpleNamespace(is_multilingual=True)
        self.options, self.spans, self.sure, self.repeated = options, [], 0.9, 1.0
        self.words = []

    def detect_language(self, samples):
        return "de", self.sure, []

    def transcribe(self, samples, language, **options):
        self.spans.append((len(samples) / SAMPLE_RATE, language))
        segment = types.SimpleNamespace(words=self.words, compression_ratio=self.repeated)
        return [segment], None


@pytest.fixture
def recogniser(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", types.SimpleNamespace(WhisperModel=Model))
    return whisper.Recogniser("whisper:tiny")


def recognise(recogniser, times, seconds=100):
    return recogniser.recognise(np.zeros(seconds * SAMPLE_RATE, np.float32), times)


def test_words_belong_to_the_nearest_turn(recogniser):
    recogniser.model.words = [
        *(word(0.1, 0.4, " So"), word(1.0, 1.3, " it", 0.4), word(1.3, 1.9, " goes")),
        *(word(2.0, 2.1, " on."), word(3.4, 3.8, " lost")),
    ]
    found = recognise(recogniser, [(10.0, 11.5), (12.2, 12.8)])
    # "on." lies between the turns, nearer to the second; "lost" is far from both.
    assert found.turns == [
        [Words(10.1, 10.4, "So"), Words(11.3, 11.5, "goes")],
        [Words(12.2, 12.22, "on.")],
    ]
    assert (found.masked, found.language) == (1, "de")
    assert recogniser.model.spans == [(pytest.approx(2.8), "de")]
    assert "1 of" in whisper.note([found])
    for (start, end), turn in zip([(10.0, 11.5), (12.2, 12.8)], found.turns, strict=True):
        assert all(start <= w.start < w.end <= end for w in turn)


def test_turns_are_recognised_together_up_to_half_a_minute(recogniser):
    times = [(0.0, 10.0), (12.0, 27.0), (28.0, 30.0), (31.0, 90.0), (91.0, 92.0)]
    recognise(recogniser, times)
    assert [round(span) for span, _ in recogniser.model.spans] == [27, 2, 59, 1]


def test_what_is_not_known_is_masked(recogniser):
    recogniser.model.words = [word(0.1, 0.5, " la")] * 30
    recogniser.model.repeated = 3.0  # a text that only repeats itself
    assert recognise(recogniser, [(0.0, 1.0)])[:2] == ([[]], 30)
    recogniser.model.repeated, recogniser.model.sure = 1.0, 0.3
    assert recognise(recogniser, [(0.0, 1.0)]) == ([[]], 0, "")
    assert "unknown" in whisper.note([recognise(recogniser, [(0.0, 1.0)])])
    assert recogniser.transcribe(np.zeros(SAMPLE_RATE, np.float32)) == ""
    assert recognise(recogniser, []) == ([], 0, "")


def test_networks_that_cannot_be_used_are_refused(recogniser, tmp_path, monkeypatch):
    assert recogniser.model.options["local_files_only"]
    for name, found in (("broken", "model.bin is incomplete"), (tmp_path, "no model.bin")):
        with pytest.raises(InputError, match=found) as error:
            whisper.Recogniser(f"whisper:{name}")
        assert error.value.place.startswith("words=whisper:")
    (tmp_path / "model.bin").touch()
    (tmp_path / "config.json").touch()
    with pytest.raises(InputError, match=r"no tokenizer\.json"):  # it would be downloaded
        whisper.Recogniser(f"whisper:{tmp_path}")
    with pytest.raises(InputError, match="language=xx"):
        whisper.Recogniser("whisper:tiny", "xx")
    assert whisper.Recogniser("whisper:tiny", "en", True).language == "en"
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(InputError, match=r"mman_jax\[words\]"):
        whisper.Recogniser("whisper:tiny")


@pytest.fixture(scope="module")
def network():
    pytest.importorskip("faster_whisper", reason="words need it: pip install 'mman_jax[words]'")
    if not FOLDER:
        pytest.skip("$MMAN_JAX_WHISPER names no folder of Whisper for CTranslate2")
    return whisper.Recogniser(f"whisper:{FOLDER}")


def test_real_speech(network):
    if not SPEECH:
        pytest.skip("$MMAN_JAX_SPEECH names no folder with beckett.wav")
    samples = media.read_audio(pathlib.Path(SPEECH) / "beckett.wav")
    turns = list(pauses.cut([samples], pauses.detector()))
    found = network.recognise(samples, [(turn.start, turn.end) for turn in turns])
    text = " ".join(w.words for turn in found.turns for w in turn).lower()
    # The library's own text; "ever" may be masked.
    expected = "ever tried ever failed no matter try again fail again fail better"
    known = text.replace(".", "").replace(",", "").split()
    assert len(known) >= 11
    assert known == expected.split()[-len(known) :]
    assert (found.masked + len(known), found.language) == (12, "en")


def test_noise_has_no_words(network):
    random = np.random.default_rng(0)
    noise = (0.05 * random.normal(size=3 * SAMPLE_RATE)).astype(np.float32)
    assert network.transcribe(noise) == ""
