"""From a manifest of clips to a corpus."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.data.sequences import averaged
from tests import children
from tests.children import ROOT, mman, refused
from tests.features import clips

pytest.importorskip(
    "opensmile", reason="extraction needs openSMILE: pip install 'mman_jax[speech]'"
)

LIGHT = ("--speech=egemaps", "--processes=1")
SMALL = ("--visual_size=16", "--visual_frames=4", "--visual_width=4", "--visual_epochs=1")


def extract(source, output, *flags):
    ended = mman("extract", f"--manifest={source}", f"--output={output}", *flags)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def load(path):
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture
def copied(sounds):
    """Rows of the manifest of `sounds` with absolute paths, and flags that use its cache."""
    source, corpus = sounds
    table = clips.rows(source)
    for row in table:
        row["path"] = str(source.parent / row["path"])
    return table, ("--modalities=speech,text", *LIGHT, f"--cache={corpus}.cache")


def timed(source, path):
    """Words of a tenth of a second each, of all utterances but the first."""
    return clips.table(
        path,
        [
            {name: row[name] for name in ("conversation_id", "utterance_id")}
            | {"start": f"{n / 10:.1f}", "end": f"{(n + 1) / 10:.1f}", "word": word}
            for row in clips.rows(source)[1:]
            for n, word in enumerate(row["transcript"].split())
        ],
    )


@pytest.mark.e2e
def test_three_modalities_and_other_clips_with_the_same_extraction(tmp_path):
    source = clips.manifest(tmp_path, utterances=2)
    words = timed(source, tmp_path / "words.csv")
    sequences = (f"--words={words}", "--sequences=text,speech,visual")
    printed = extract(source, tmp_path / "c.npz", *LIGHT, *SMALL, *sequences)
    assert "the network is trained here" in printed
    corpus, table = npz.read(tmp_path / "c.npz"), clips.rows(source)
    width = corpus.dims["text"]
    assert corpus.dims == {"speech": 88, "visual": 32, "text": width}
    assert corpus.split == ("train", "train", "train", "valid", "test")
    assert corpus.speakers[:3] == ("s0", "s0", "s1")
    assert [corpus.label_names[i] for i in corpus.labels[:3]] == ["happy", "sad", "sad"]
    text, speech, visual = (corpus.sequences[m] for m in ("text", "speech", "visual"))
    assert text.lengths.tolist() == [0, *(len(row["transcript"].split()) for row in table[1:])]
    assert " ".join(text.names[: text.lengths[1]]) == table[1]["transcript"]
    np.testing.assert_allclose(text.intervals[:2], [[0, 0.1], [0.1, 0.2]])
    assert text.values.shape[1] == width
    assert speech.values.shape[1] == 25
    assert (np.abs(speech.lengths / 100 - 0.4) < 0.15).all()  # clips of 0.4 to 0.5 s
    assert set(visual.lengths) == {1, 2}
    np.testing.assert_allclose(averaged(visual), corpus.features["visual"], rtol=1e-5)
    np.testing.assert_allclose(visual.intervals[:, 1] - visual.intervals[:, 0], 4 / 15)
    # Two clips again, without a split to fit on.
    some = [dict(row, conversation_id="new") for row in table[4:6]]
    for row in some:
        del row["split"], row["label"]
    clips.table(tmp_path / "new.csv", some)
    fitted = f"--fitted={tmp_path}/c.extraction.npz"
    cache = f"--cache={tmp_path}/c.npz.cache"
    extract(tmp_path / "new.csv", tmp_path / "new.npz", fitted, cache)
    new = npz.read(tmp_path / "new.npz")
    assert not new.sequences
    assert new.split is None
    for name, features in new.features.items():
        np.testing.assert_allclose(features, corpus.features[name][4:6], rtol=1e-5, atol=1e-5)


def test_the_extraction_is_fitted_to_training_clips_alone(sounds, copied, tmp_path):
    table, flags = copied
    for row in table:
        if row["split"] != "train":
            path = tmp_path / f"{row['conversation_id']}_{row['utterance_id']}.wav"
            row["path"] = str(clips.write(path, 0.7, 900.0, picture=False, noise=99))
            row["transcript"] = "entirely different words"
    extract(clips.table(tmp_path / "m.csv", table), tmp_path / "c.npz", *flags)
    paths = (sounds[1], tmp_path / "c.npz")
    before, after = (load(path.with_suffix(".extraction.npz")) for path in paths)
    assert before.keys() == after.keys()
    for key, array in before.items():
        np.testing.assert_array_equal(after[key], array)
    old, new = (npz.read(path).features["speech"] for path in paths)
    np.testing.assert_array_equal(new[:9], old[:9])
    assert np.abs(new[9:] - old[9:]).max() > 0.1


def test_the_split_is_stored_if_something_is_fitted(copied, tmp_path):
    table, flags = copied
    for row in table:
        del row["split"]
    source = clips.table(tmp_path / "m.csv", table)
    extract(source, tmp_path / "c.npz", "--modalities=text")
    assert sorted(npz.read(tmp_path / "c.npz").split) == ["test", *["train"] * 3, "valid"]
    extract(source, tmp_path / "raw.npz", *flags, "--modalities=speech")
    raw = npz.read(tmp_path / "raw.npz")
    assert raw.split is None
    assert raw.dims == {"speech": 88}


@pytest.mark.e2e
def test_unusable_clips_stop_the_command_or_are_left_out(sounds, copied, tmp_path):
    table, flags = copied
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    table[1]["path"] = str(tmp_path / "noise.mp4")
    table[4]["path"] = str(tmp_path / "absent.mp4")
    table[7]["transcript"] = ""
    source, output = clips.table(tmp_path / "m.csv", table), tmp_path / "c.npz"
    line = refused("extract", f"--manifest={source}", f"--output={output}", *flags)
    assert "conversation c2, utterance u1: no transcript" in line
    assert not output.exists()
    printed = extract(source, output, *flags, "--on_error=skip").splitlines()
    lines = sorted(line for line in printed if line.startswith("left out: "))
    for line, name, found in zip(
        lines,
        ("conversation c0, utterance u1", "conversation c1, utterance u1", "conversation c2"),
        ("noise.mp4: cannot be decoded", "absent.mp4: no such file", "no transcript"),
        strict=True,
    ):
        assert name in line
        assert found in line
    corpus = npz.read(output)
    assert corpus.lengths.tolist() == [2, 2, 2, 3, 3]
    assert corpus.conversation_ids == npz.read(sounds[1]).conversation_ids


def cached(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.npy")}


@pytest.mark.e2e
def test_killed_commands_resume(tmp_path):
    source = clips.manifest(tmp_path, conversations=6, utterances=4, sound_only=True)
    flags = ("--modalities=speech", "--processes=1")
    paths = (f"--manifest={source}", f"--output={tmp_path}/c.npz")
    command = [sys.executable, "-m", "experiments.extract", *flags, *paths]
    none = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=ROOT, env=children.environment(), stdout=none, stderr=none
    )
    cache, deadline = tmp_path / "c.npz.cache", time.monotonic() + 120
    while len(cached(cache)) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # until its worker ends
    before = cached(cache)
    assert 3 <= len(before) < 24
    assert not (tmp_path / "c.npz").exists()
    # Files that are half-written are measured again.
    damaged = next(iter(before))
    damaged.write_bytes(damaged.read_bytes()[:100])
    extract(source, tmp_path / "c.npz", *flags)
    after = cached(cache)
    assert len(after) == 24
    assert all(after[path] == stamp for path, stamp in before.items() if path != damaged)
    extract(source, tmp_path / "d.npz", *flags, f"--cache={cache}")
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "d.npz").read_bytes()


def test_the_library_imports_none_of_it():
    code = (
        "import sys, mman_jax; "
        "found = {'av', 'opensmile', 'cv2', 'torch', 'apache_beam', 'mman_jax.features'}; "
        "sys.exit(str(found & set(sys.modules)) if found & set(sys.modules) else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
