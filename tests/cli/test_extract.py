"""From a manifest of clips to a corpus, as a user types it."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.data.sequences import averaged
from mman_jax.errors import InputError
from mman_jax.features import extraction
from mman_jax.features.measuring.measuring import digest
from mman_jax.features.text import readers
from tests import children
from tests.children import ROOT, run
from tests.features import clips

pytest.importorskip(
    "opensmile", reason="extraction needs openSMILE: pip install 'mman_jax[speech]'"
)

LIGHT = ("--speech=egemaps", "--processes=2")
SMALL = ("--visual_size=16", "--visual_frames=4", "--visual_width=4", "--visual_epochs=1")


def extract(source, output, *more):
    return run("experiments.extract", f"--manifest={source}", f"--output={output}", *more)


def load(path):
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def cached(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.npy")}


def timed(source, path):
    """Words with times, a tenth of a second each, of all utterances but the first."""
    said = [
        {
            **{name: row[name] for name in ("conversation_id", "utterance_id")},
            **{"start": f"{n / 10:.1f}", "end": f"{(n + 1) / 10:.1f}", "word": word},
        }
        for row in rows(source)[1:]
        for n, word in enumerate(row["transcript"].split())
    ]
    return clips.table(path, said)


def test_three_modalities_then_others_like_them(tmp_path):
    source = clips.manifest(tmp_path)
    said = timed(source, tmp_path / "words.csv")
    inside = (f"--words={said}", "--sequences=text,speech,visual")
    ended = extract(source, tmp_path / "c.npz", *LIGHT, *SMALL, *inside)
    assert ended.returncode == 0, ended.stderr
    assert "the network is trained here, on the labels" in ended.stdout
    corpus = npz.read(tmp_path / "c.npz")
    assert corpus.dims == {"speech": 88, "visual": 32, "text": 8}
    assert corpus.split == ("train", "train", "train", "valid", "test")
    assert corpus.speakers[:4] == ("s0", "s0", "s0", "s1")
    assert [corpus.label_names[i] for i in corpus.labels[:3]] == ["happy", "sad", "happy"]
    text, speech, visual = (corpus.sequences[m] for m in ("text", "speech", "visual"))
    assert text.lengths.tolist() == [
        0,
        *(len(row["transcript"].split()) for row in rows(source)[1:]),
    ]
    assert " ".join(text.names[: text.lengths[1]]) == rows(source)[1]["transcript"]
    np.testing.assert_allclose(text.intervals[:2], [[0, 0.1], [0.1, 0.2]])
    assert text.values.shape[1] == 8
    assert speech.values.shape[1] == 25
    assert (np.abs(speech.lengths / 100 - 0.4) < 0.15).all()  # clips of 0.4 to 0.5 s
    assert set(visual.lengths) == {1, 2}
    np.testing.assert_allclose(averaged(visual), corpus.features["visual"], rtol=1e-5)
    np.testing.assert_allclose(visual.intervals[:, 1] - visual.intervals[:, 0], 4 / 15)
    # Some of the clips again, by what was fitted: the same features, without a split to fit on.
    some = [dict(row, conversation_id="new") for row in rows(source)[4:6]]
    for row in some:
        del row["split"], row["label"]
    clips.table(tmp_path / "new.csv", some)
    fitted = f"--fitted={tmp_path}/c.extraction.npz"
    ended = extract(tmp_path / "new.csv", tmp_path / "new.npz", fitted)
    assert ended.returncode == 0, ended.stderr
    new = npz.read(tmp_path / "new.npz")
    assert not new.sequences
    for name, features in new.features.items():
        np.testing.assert_allclose(features, corpus.features[name][4:6], rtol=1e-5, atol=1e-5)
    assert new.split is None
    ended = extract(tmp_path / "new.csv", tmp_path / "new.npz", fitted, "--speech=compare")
    assert ended.returncode == 2
    assert "--speech: given with --fitted=" in ended.stderr


def test_what_is_fitted_does_not_depend_on_test_or_validation_clips(sounds, tmp_path):
    source, corpus = sounds
    changed = rows(source)
    for row in changed:
        row["path"] = str(source.parent / row["path"])
        if row["split"] != "train":
            other = tmp_path / f"{row['conversation_id']}_{row['utterance_id']}.wav"
            row["path"] = str(clips.write(other, 0.7, 900.0, picture=False, noise=99))
            row["transcript"] = "entirely different words"
    ended = extract(
        clips.table(tmp_path / "m.csv", changed),
        tmp_path / "c.npz",
        "--modalities=speech,text",
        *LIGHT,
    )
    assert ended.returncode == 0, ended.stderr
    before, after = (load(p.with_suffix(".extraction.npz")) for p in (corpus, tmp_path / "c.npz"))
    assert before.keys() == after.keys()
    for key, array in before.items():
        np.testing.assert_array_equal(after[key], array)
    old, new = npz.read(corpus), npz.read(tmp_path / "c.npz")
    np.testing.assert_array_equal(new.features["speech"][:9], old.features["speech"][:9])
    assert np.abs(new.features["speech"][9:] - old.features["speech"][9:]).max() > 0.1


def test_a_split_by_rule_is_written_with_what_was_fitted(sounds, tmp_path):
    source, _ = sounds
    table = rows(source)
    for row in table:
        row["path"] = str(source.parent / row["path"])
        del row["split"]
    ended = extract(clips.table(tmp_path / "m.csv", table), tmp_path / "c.npz", "--modalities=text")
    assert ended.returncode == 0, ended.stderr
    assert sorted(npz.read(tmp_path / "c.npz").split) == ["test", *["train"] * 3, "valid"]
    ended = extract(tmp_path / "m.csv", tmp_path / "raw.npz", "--modalities=speech", *LIGHT)
    assert ended.returncode == 0, ended.stderr
    raw = npz.read(tmp_path / "raw.npz")
    assert raw.split is None  # nothing was fitted
    assert raw.dims == {"speech": 88}


def test_corrupt_clips_stop_the_run_or_are_left_out_by_name(sounds, tmp_path):
    source, corpus = sounds
    table = rows(source)
    for row in table:
        row["path"] = str(source.parent / row["path"])
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    table[1]["path"] = str(tmp_path / "noise.mp4")
    table[4]["path"] = str(tmp_path / "absent.mp4")
    table[7]["transcript"] = ""
    clips.table(tmp_path / "m.csv", table)
    flags = ("--modalities=speech,text", *LIGHT)
    ended = extract(tmp_path / "m.csv", tmp_path / "c.npz", *flags)
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "conversation c2, utterance u1: no transcript" in ended.stderr
    assert not (tmp_path / "c.npz").exists()

    ended = extract(tmp_path / "m.csv", tmp_path / "c.npz", *flags, "--on_error=skip")
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if line.startswith("left out: ")]
    assert len(lines) == 3
    for name, said in (
        ("conversation c0, utterance u1", "noise.mp4: cannot be decoded"),
        ("conversation c1, utterance u1", "absent.mp4: no such file"),
        ("conversation c2, utterance u1", "no transcript"),
    ):
        assert any(name in line and said in line for line in lines)
    left = npz.read(tmp_path / "c.npz")
    assert len(left.labels) == len(table) - 3
    assert left.lengths.tolist() == [2, 2, 2, 3, 3]
    assert left.conversation_ids == npz.read(corpus).conversation_ids


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    source = clips.manifest(tmp_path, conversations=6, utterances=4, sound_only=True)
    flags = (f"--manifest={source}", "--modalities=speech")
    command = [sys.executable, "-m", "experiments.extract", *flags, "--processes=1"]
    environment = children.environment()
    process = subprocess.Popen(
        [*command, f"--output={tmp_path}/c.npz"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cache = tmp_path / "c.npz.cache"
    deadline = time.monotonic() + 120
    while len(cached(cache)) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # the pool's process follows
    before = cached(cache)
    assert 3 <= len(before) < 24
    assert not (tmp_path / "c.npz").exists()
    # A file half-written by a machine that lost power is measured again, too.
    damaged = next(iter(before))
    damaged.write_bytes(damaged.read_bytes()[:100])
    ended = run("experiments.extract", *flags, f"--output={tmp_path}/c.npz")
    assert ended.returncode == 0, ended.stderr
    after = cached(cache)
    assert len(after) == 24
    assert all(after[path] == stamp for path, stamp in before.items() if path != damaged)
    ended = run("experiments.extract", *flags, f"--output={tmp_path}/d.npz")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "d.npz").read_bytes()


def test_without_labels_no_network_can_be_trained(sounds, tmp_path):
    source, _ = sounds
    table = [dict(row, label="") for row in rows(source)]
    clips.table(tmp_path / "m.csv", table)
    ended = extract(tmp_path / "m.csv", tmp_path / "c.npz", "--modalities=visual")
    assert ended.returncode == 2
    assert "m.csv: no label in any row" in ended.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--modalities=speech,txt"], "'text'?"),
        (["--modalities="], "--modalities"),
        (["--visual_crop=face"], "visual crop: 'face'"),
        (["--visual_weights=none.npz"], "none.npz"),
        (["--fitted=none.npz"], "none.npz: no such file"),
        (["--word_vectors=none.bin"], "none.bin"),
        (["--on_error=ignore"], "on_error"),
        (["--output=c.csv"], ".npz"),
        (["--sequences=speach"], "--sequences: 'speach'; expected 'speech'?"),
        (
            ["--modalities=speech", "--sequences=text"],
            "--sequences: 'text'; expected one of speech",
        ),
        (["--sequences=text"], "--sequences=text: no --words"),
        (["--words=w.csv"], "--words=w.csv: no text among --sequences"),
        (["--words=w.csv", "--sequences=text"], "w.csv: no such file"),
    ],
    ids=str,
)
def test_mistakes_are_one_line_before_anything_is_measured(sounds, tmp_path, flags, said):
    source, _ = sounds
    ended = extract(source, tmp_path / "c.npz", *flags)
    assert ended.returncode == 2, ended.stdout
    assert len(ended.stderr.strip().splitlines()) == 1
    assert said in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    ended = extract(tmp_path / "pipe", tmp_path / "c.npz")
    assert ended.returncode == 2
    assert "pipe: a pipe; expected a regular file: a CSV manifest" in ended.stderr
    for read in (
        extraction.read_weights,
        extraction.Extraction.load,
        digest,
        readers.check_vectors,
    ):
        with pytest.raises(InputError, match="pipe: a pipe; expected a regular file"):
            read(tmp_path / "pipe")


def test_the_core_imports_nothing_of_it():
    code = (
        "import sys, mman_jax; "
        "found = {'av', 'opensmile', 'cv2', 'torch', 'apache_beam', 'mman_jax.features'}; "
        "sys.exit(str(found & set(sys.modules)) if found & set(sys.modules) else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
