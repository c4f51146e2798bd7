"""What reading a clip may not do: wait, ask for much memory, or take what is no clip."""

import os
import resource
import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import media
from tests.features import clips
from tests.features.odd_clips import apart, float_wave, jpeg, png


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name in ("whole.mp4", "whole.mkv"):
        clips.write(folder / name, seconds=2.0)
    clips.write(folder / "long.mp4", seconds=4.0)
    clips.write(folder / "silent.mp4", sound=False)
    clips.write(folder / "dark.m4a", picture=False)
    return folder


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
