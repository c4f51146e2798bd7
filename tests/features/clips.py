"""Small clips made on the fly: a tone, and a white square that moves."""

import csv
import fractions

import numpy as np
import pytest
from scipy import signal

av = pytest.importorskip("av", reason="clips need PyAV: pip install 'mman_jax[media]'")

WIDTH, HEIGHT = 64, 48
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))  # Hz


def write(
    path,
    seconds=1.0,
    tone=440.0,
    speed=2,
    fps=20,
    rate=16000,
    sound=True,
    picture=True,
    noise=0,
    gap=range(0),
):
    """Writes a clip; frame i has the square's left edge at column `speed * i` (modulo).

    Of the sound, packets of 1024 samples whose numbers are in `gap` are left out.
    """
    lossless = path.suffix == ".mkv"
    with av.open(str(path), "w") as container:
        if picture:
            video = container.add_stream("ffv1" if lossless else "mpeg4", rate=fps)
            video.width, video.height = WIDTH, HEIGHT
            video.pix_fmt = "bgr0" if lossless else "yuv420p"
        if sound:
            audio = container.add_stream(
                "pcm_s16le" if lossless or path.suffix == ".wav" else "aac",
                rate=rate,
                layout="stereo",
            )
        if picture:
            for i in range(round(seconds * fps)):
                frame = av.VideoFrame.from_ndarray(square(i * speed), format="rgb24")
                frame.pts = i
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if sound:
            samples = wave(seconds, tone, rate, noise)
            for start in range(0, len(samples), 1024):
                if start // 1024 in gap:
                    continue
                part = (samples[start : start + 1024] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(
                    np.repeat(part, 2)[None], format="s16", layout="stereo"
                )
                frame.sample_rate, frame.pts = rate, start
                frame.time_base = fractions.Fraction(1, rate)
                container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


def write_picture(path, form, codec, frames=10):
    """Writes frames alone, 20 a second, in another format than `write` does."""
    with av.open(str(path), "w", format=form) as container:
        video = container.add_stream(codec, rate=20)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(square(i), format="rgb24")
            frame.pts = i
            container.mux(video.encode(frame))
        container.mux(video.encode())


def wave(seconds, tone, rate=16000, noise=0):
    times = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(noise)
    return 0.5 * np.sin(2 * np.pi * tone * times) + 0.02 * random.normal(size=len(times))


def voice(seconds, pitch, rate=16000):
    """Vowels, one a fifth of a second, sung on a tone that sways: speech enough for a detector."""
    times = np.arange(round(seconds * rate)) / rate
    turns = np.cumsum(pitch * (1 + 0.25 * np.sin(2 * np.pi * 0.9 * times))) / rate
    # A throat's pulses are rounded; detectors of speech are not sure of sharp ones.
    pulses = signal.lfilter([1], [1, -0.9], np.diff(np.floor(turns), prepend=0))
    samples = np.zeros(len(times))
    for n, part in enumerate(np.array_split(np.arange(len(times)), round(seconds * 5))):
        for formant in VOWELS[n % len(VOWELS)]:
            resonance = signal.iirpeak(formant, formant / 60, fs=rate)
            samples[part] += signal.lfilter(*resonance, pulses[part])
    samples *= 0.1 + 0.9 * np.abs(np.sin(np.pi * 5 * times))
    return 0.5 * samples / np.abs(samples).max()


def square(left):
    picture = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    left %= WIDTH - 12
    picture[16:28, left : left + 12] = 240
    return picture


EMOTIONS = {"happy": (600.0, 4, "a sunny day"), "sad": (150.0, 0, "the rain fell")}
WORDS = ("red", "blue", "green", "old", "new", "warm", "cold", "near", "far", "big")


def manifest(folder, conversations=5, utterances=3, sound_only=False, **changes):
    """A manifest of clips whose emotion shows in sound, motion and words; split 3, 1, 1."""
    rows = []
    for c in range(conversations):
        split = "train" if c < conversations - 2 else ("valid", "test")[c - conversations + 2]
        for u in range(utterances):
            label = ("happy", "sad")[(c + u) % 2]
            tone, speed, text = EMOTIONS[label]
            name = f"c{c}_u{u}" + (".wav" if sound_only else ".mp4")
            number = c * utterances + u
            write(
                folder / name,
                seconds=0.4 + 0.05 * (number % 3),
                tone=tone + 10 * c,
                speed=speed,
                picture=not sound_only,
                noise=number,
            )
            rows.append(
                {
                    "conversation_id": f"c{c}",
                    "utterance_id": f"u{u}",
                    "path": name,
                    "transcript": f"{text} {WORDS[number % 10]} {WORDS[(number // 2) % 10]}",
                    "label": label,
                    "speaker": f"s{c}",
                    "split": split,
                    **changes,
                }
            )
    return table(folder / "clips.csv", rows)


def table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
