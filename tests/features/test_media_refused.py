"""Clips that are refused: damaged files, those too large for memory, and other files."""

import fractions
import io
import os
import resource
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from mman_jax.errors import InputError
from mman_jax.features import media
from tests.features import clips


def picture(width, height, form="PNG"):
    content = io.BytesIO()
    Image.new("L", (width, height)).save(content, form)
    return content.getvalue()


def far_apart(path, hours, frames=True):
    """Two frames, or packets of sound, that are hours from one another."""
    rate = 1 if frames else 16000
    with clips.av.open(str(path), "w") as container:
        if frames:
            stream = container.add_stream("ffv1", rate=rate)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "bgr0"
        else:
            stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for hour in hours:
            start = round(hour * 3600 * rate)
            if frames:
                black = np.zeros((16, 16, 3), np.uint8)
                frame = clips.av.VideoFrame.from_ndarray(black).reformat(format="bgr0")
                frame.pts, frame.time_base = start, fractions.Fraction(1, rate)
            else:
                frame = clips.audio_frame(np.ones((1, 512), np.int16), rate, start)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def little_memory():
    """Allows at most 300 MB more than now."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + (300 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_small_files_cannot_claim_much_memory(tmp_path, request):
    slow = far_apart(tmp_path / "slow.mkv", (0, 4))
    assert slow.stat().st_size < 2000
    huge = picture(20000, 10000)
    (tmp_path / "huge.png").write_bytes(huge)
    (tmp_path / "later.png").write_bytes(picture(64, 48) + huge)
    (tmp_path / "flat.png").write_bytes(picture(60000, 8))
    request.getfixturevalue("little_memory")
    for name, side, found in (
        ("slow.mkv", 128, "216000 frames"),
        ("huge.png", 128, "at most 35389440 pixels"),
        ("later.png", 128, "at most 35389440 pixels"),
        ("flat.png", 360, "2700000 x 360 pixels"),
    ):
        with pytest.raises(InputError, match=rf"{name}: .*{found}"):
            media.read_frames(tmp_path / name, 15, side)


def test_long_gaps_in_the_sound(tmp_path, monkeypatch):
    path = far_apart(tmp_path / "gaps.mkv", np.arange(40) * 0.16, frames=False)
    with pytest.raises(InputError, match=r"gaps\.mkv: more than 1\d{4} s of sound"):
        media.read_audio(path)
    monkeypatch.setattr(media, "_LONGEST_GAP", 0.1)
    path = clips.write(tmp_path / "gap.mkv", gap=range(4, 10))
    with pytest.raises(InputError, match=r"gap\.mkv: a gap of 0\.4 s in its sound at 0\.6 s"):
        media.read_audio(path)


def test_only_the_chosen_frames_of_a_long_clip_are_stored(tmp_path):
    clip = clips.write(tmp_path / "a.mkv")
    some = media.read_frames(clip, 20, clips.HEIGHT, chosen=np.array([3, 17]))
    np.testing.assert_array_equal(some, [clips.square(2 * k) for k in (3, 17)])
    assert media.count_frames(clip, 20) == 20
    slow = far_apart(tmp_path / "slow.mkv", (0, 4))
    ends = np.array([0, media.count_frames(slow, 15) - 1])
    far = media.read_frames(slow, 15, 128, chosen=ends)
    assert far.shape == (2, 128, 128, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for suffix in (".mp4", ".mkv"):
        whole = clips.write(folder / f"whole{suffix}", seconds=2.0).read_bytes()
        (folder / f"half{suffix}").write_bytes(whole[: len(whole) // 3])
    long = bytearray(clips.write(folder / "long.mp4", seconds=4.0).read_bytes())
    middle = len(long) // 2
    long[middle - 8000 : middle + 8000] = np.random.default_rng(1).bytes(16000)
    (folder / "damaged.mp4").write_bytes(long)
    clips.write(folder / "silent.mp4", sound=False)
    clips.write(folder / "dark.m4a", picture=False)
    clips.write(folder / "raw.h264", seconds=0.5, sound=False)
    with clips.av.open(str(folder / "cover.m4a"), "w", format="mp4") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = clips.WIDTH, clips.HEIGHT, "yuvj420p"
        cover.disposition = clips.av.stream.Disposition.attached_pic
        frame = clips.av.VideoFrame.from_ndarray(clips.square(0), format="rgb24")
        container.mux([*cover.encode(frame), *cover.encode()])
    (folder / "empty.mp4").touch()
    os.mkfifo(folder / "pipe.wav")
    wavfile.write(folder / "nan.wav", 16000, np.array([0.5, np.nan] * 8000, np.float32))
    wavfile.write(folder / "none.wav", 16000, np.zeros(0, np.float32))
    sizes = picture(64, 48, "JPEG") * 3 + picture(48, 64, "JPEG") * 3
    (folder / "sizes.mjpeg").write_bytes(sizes)
    (folder / "noise.bin").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "words.txt").write_text("good morning\n" * 50)
    listed = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{folder}/whole.mp4\n#EXT-X-ENDLIST\n"
    (folder / "list.m3u8").write_text(listed)
    return folder


@pytest.mark.parametrize(
    ("name", "read", "part", "found"),
    [
        ("silent.mp4", "audio", (), "no sound"),
        ("dark.m4a", "frames", (), "no picture"),
        ("absent.mp4", "audio", (), "no such file"),
        (".", "audio", (), "a folder"),
        ("pipe.wav", "audio", (), "a pipe"),
        ("empty.mp4", "audio", (), "an empty file"),
        ("noise.bin", "audio", (), "cannot be decoded"),
        ("words.txt", "frames", (), "no clip|cannot be decoded"),
        ("half.mp4", "audio", (), "cannot be decoded"),
        ("half.mkv", "audio", (), r"truncated: it ends at 0\.\d+ of 2\.0\d s"),
        ("half.mkv", "frames", (), "truncated"),
        ("damaged.mp4", "audio", (), r"cannot be decoded at \d\.\d\d s|truncated"),
        ("cover.m4a", "frames", (), "no picture"),
        ("whole.mp4", "audio", (30.0, 40.0), r"its sound ends at 2\.0\d s; expected 40 s"),
        ("whole.mp4", "audio", (0.5, 9.0), r"its sound ends at 2\.0\d s; expected 9 s"),
        ("whole.mp4", "frames", (0.5, 9.0), r"its picture ends at 2\.00 s"),
        ("whole.mp4", "audio", (9.0, None), "no sound between 9 s and its end"),
        ("whole.mp4", "frames", (9.0, None), "no picture between 9 s and its end"),
        ("nan.wav", "audio", (), "not finite"),
        ("none.wav", "audio", (), "no sound"),
        ("sizes.mjpeg", "frames", (), "several sizes"),
        ("raw.h264", "frames", (), "without times"),
        ("list.m3u8", "audio", (), "cannot be decoded"),  # no other file is opened
    ],
)
def test_refused_by_name(folder, name, read, part, found):
    path = folder / name
    with pytest.raises(InputError, match=found) as error:
        media.read_audio(path, *part) if read == "audio" else media.read_frames(path, 10, 32, *part)
    assert error.value.place == str(path)
