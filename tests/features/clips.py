"""Small clips: a tone and a white square that moves."""

import csv
import fractions

import numpy as np
import pytest
from scipy import signal

av = pytest.importorskip("av", reason="clips need PyAV: pip install 'mman_jax[media]'")

WIDTH, HEIGHT = 64, 48
CODECS = {".mkv": "ffv1", ".flv": "flv1", ".h264": "libx264"}
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))  # Hz
EMOTIONS = {"happy": (600.0, 4, "a sunny day"), "sad": (150.0, 0, "the rain fell")}
WORDS = ("red", "blue", "green", "old", "new", "warm", "cold", "near", "far", "big")


def write(
    path, seconds=1.0, tone=440.0, speed=2, rate=16000, sound=True, picture=True, noise=0,
    gap=range(0),
):  # fmt: skip
    """Writes a clip of 20 frames per second, in which the square moves `speed` pixels per frame.

    Packets of 1024 samples whose numbers are in `gap` are left out of the sound.
    """
    lossless = path.suffix == ".mkv"
    with av.open(str(path), "w") as container:
        if picture:
            video = container.add_stream(CODECS.get(path.suffix, "mpeg4"), rate=20)
            video.width, video.height = WIDTH, HEIGHT
            video.pix_fmt = "bgr0" if lossless else "yuv420p"
        if sound:
            codec = "pcm_s16le" if lossless or path.suffix == ".wav" else "aac"
            audio = container.add_stream(codec, rate=rate, layout="stereo")
        if picture:
            for i in range(round(seconds * 20)):
                frame = av.VideoFrame.from_ndarray(square(i * speed), format="rgb24")
                frame.pts = i
                container.mux(video.encode(frame))
            container.mux(video.encode())
        if sound:
            samples = (wave(seconds, tone, rate, noise) * 32767).astype(np.int16)
            for start in range(0, len(samples), 1024):
                if start // 1024 not in gap:
                    part = np.repeat(samples[start : start + 1024], 2)[None]
                    container.mux(audio.encode(audio_frame(part, rate, start, "stereo")))
            container.mux(audio.encode())
    return path


def audio_frame(pcm, rate, start=0, layout="mono"):
    """A frame of interleaved int16 samples [1, samples] that begins at sample `start`."""
    frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, start, fractions.Fraction(1, rate)
    return frame


def write_sound(path, samples, codec="pcm_s16le", rate=16000):
    """Writes mono samples at 16 kHz, encoded at another rate if the codec needs one."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        form = stream.codec_context.format
        resampler = av.AudioResampler(form.name if form else "s16", "mono", rate)
        frame = audio_frame((samples * 32767).astype(np.int16)[None], 16000)
        for part in resampler.resample(frame) + resampler.resample(None):
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return path


def wave(seconds, tone, rate=16000, noise=0):
    times = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(noise)
    return 0.5 * np.sin(2 * np.pi * tone * times) + 0.02 * random.normal(size=len(times))


def voice(seconds, pitch, rate=16000):
    """Five vowels per second on a tone that sways, which detectors take for speech."""
    times = np.arange(round(seconds * rate)) / rate
    turns = np.cumsum(pitch * (1 + 0.25 * np.sin(2 * np.pi * 0.9 * times))) / rate
    # Pulses of a throat are rounded, and detectors expect that.
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


def manifest(folder, conversations=5, utterances=3, sound_only=False):
    """A manifest of clips that show the emotion in sound, motion and words.

    The last two conversations are for validation and test.
    """
    rows = []
    parts = [*["train"] * (conversations - 2), "valid", "test"]
    for number in range(conversations * utterances):
        c, u = divmod(number, utterances)
        label = ("happy", "sad")[(c + u) % 2]
        tone, speed, text = EMOTIONS[label]
        path = folder / f"c{c}_u{u}{'.wav' if sound_only else '.mp4'}"
        seconds = 0.4 + 0.05 * (number % 3)
        write(path, seconds, tone + 10 * c, speed, picture=not sound_only, noise=number)
        transcript = f"{text} {WORDS[number % 10]} {WORDS[(number // 2) % 10]}"
        row = {"conversation_id": f"c{c}", "utterance_id": f"u{u}", "path": path.name}
        row |= {"transcript": transcript, "label": label, "speaker": f"s{c}", "split": parts[c]}
        rows.append(row)
    return table(folder / "clips.csv", rows)


def table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
