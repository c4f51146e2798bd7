"""From raw clips to predictions, by the extraction that is stored with a model."""

import csv

import numpy as np
import pytest

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.features import manifest
from mman_jax.trial import clips as commands
from mman_jax.trial import runner, stored
from tests import gallery, tiny
from tests.children import run
from tests.features import clips

pytestmark = pytest.mark.e2e

pytest.importorskip(
    "opensmile", reason="extraction needs openSMILE: pip install 'mman_jax[speech]'"
)


def test_the_extraction_travels_and_clips_are_answered_as_their_corpus(trained, tmp_path):
    source, path, workdir = trained
    kept, beside = commands.place(workdir), path.with_suffix(".extraction.npz")
    assert kept.read_bytes() == beside.read_bytes()
    assert [p.name for p in kept.parent.iterdir() if p.name.startswith(".")] == []
    ended = run(
        "experiments.predict",
        *(f"--checkpoint={workdir}", f"--input={source}", f"--output={tmp_path}/a.csv"),
        "--attention",
    )
    assert ended.returncode == 0, ended.stderr
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    models, corpus = stored.load_models(workdir), npz.read(path)
    classes, expected, labels = predict.answer(models, corpus)
    assert [row["label"] for row in rows] == labels
    found = [[float(row[f"p_{c}"]) for c in classes] for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    looked = predict.attention(models, corpus)
    assert list(rows[0])[-4:] == list(looked)
    assert list(looked)[1] == "attention_speech_text"
    for column, weights in looked.items():
        np.testing.assert_allclose([float(r[column]) for r in rows], weights, atol=1e-4)
    queries = np.reshape(list(looked.values()), (2, 2, -1))
    np.testing.assert_allclose(queries.sum(1), 1, rtol=1e-6)  # over the keys


def test_a_clip_without_its_words_has_no_text(trained, tmp_path):
    source, path, workdir = trained
    with source.open(newline="") as file:
        rows = [dict(row, path=str(source.parent / row["path"])) for row in csv.DictReader(file)]
    rows[2]["transcript"] = ""
    table = str(clips.table(tmp_path / "m.csv", rows[:5]))
    models = stored.load_models(workdir)
    found = commands.read_corpus(table, manifest.read(table), workdir, models[0].dims)
    assert found.present["text"].tolist() == [True, True, False, True, True]
    assert list(found.present) == ["text"]
    whole = npz.read(path)
    np.testing.assert_allclose(found.features["speech"], whole.features["speech"][:5], atol=1e-4)
    assert np.isfinite(predict.answer(models, found)[1]).all()
    # Nothing of the speech is looked for where the model has text alone.
    text = commands.load(workdir, ["text"])
    assert text.settings.modalities == ("text",)


def test_clips_without_an_extraction_or_a_file_are_refused(trained, tmp_path):
    source, _, workdir = trained
    with pytest.raises(InputError, match="modality wav2vec: not extracted; expected speech"):
        commands.read_corpus(
            str(source), manifest.read(source), workdir, {"speech": 88, "wav2vec": 4}
        )
    with pytest.raises(InputError, match="no extraction with the model"):
        commands.load(tmp_path, ["speech"])
    with source.open(newline="") as file:
        rows = [dict(row, path=str(source.parent / row["path"])) for row in csv.DictReader(file)]
    rows[1]["path"] = "absent.wav"
    clips.table(tmp_path / "m.csv", rows[:3])
    with pytest.raises(InputError, match=r"conversation c0, utterance u1: .*absent.wav"):
        commands.read_corpus("m.csv", manifest.read(tmp_path / "m.csv"), workdir, {"speech": 88})


def test_a_damaged_extraction_stops_a_run_before_it_trains(tmp_path):
    npz.write(tiny.corpus(), tmp_path / "c.npz")
    (tmp_path / "c.extraction.npz").write_bytes(b"none")
    config = gallery.on(tmp_path / "c.npz")
    with pytest.raises(InputError, match=r"c\.extraction\.npz: unreadable"):
        runner.run(config, tmp_path / "run", Screen(quiet=True))
    assert not (tmp_path / "run").exists()
    assert commands.beside(None) is None
    assert commands.beside(str(tmp_path)) is None
    assert commands.beside(str(tmp_path / "other.npz")) is None
