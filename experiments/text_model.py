"""The text model of `mman look`, trained on GoEmotions and EmoryNLP.

    python -m experiments.text_model --goemotions=DIR --emorynlp=DIR --workdir=DIR

Both corpora keep their public training, validation and test parts. The labels are the seven of
GoEmotions' Ekman grouping; comments with several labels are left out. EmoryNLP's Joyful, Mad,
Scared, Sad and Neutral have counterparts among them, and its other utterances are left out. Two
classifiers of single sentence vectors are trained, and the one with the lower validation loss is
written to `WORKDIR/model`, with its card. Needs the extras `minilm` and `svm`. On the same machine,
a second run gives the same scores.
"""

import csv
import dataclasses
import itertools
import json
import pathlib
import sys
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from configs import clstm_text, linear
from mman_jax.cli.terminal import command
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.evaluation import paired
from mman_jax.features.encoders import folders, states
from mman_jax.features.encoders.states import TextEncoder
from mman_jax.features.settings import Settings
from mman_jax.inference.model import Model
from mman_jax.tasks import from_results
from mman_jax.trial import runner
from mman_jax.trial.stored import load_models

LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
EMORYNLP = {"Joyful": 3, "Mad": 0, "Scared": 2, "Sad": 5, "Neutral": 4}
"""Indices into `LABELS` of the emotions of EmoryNLP that have a counterpart."""

_PARTS = {"train": "train", "dev": "valid", "test": "test"}
_CORPORA = ("GoEmotions", "EmoryNLP")
_SCORES = {
    "accuracy": "accuracy",
    "unweighted_recall": "unweighted recall",
    "weighted_f1": "weighted F1",
}
_AT_ONCE = 512

_GOEMOTIONS = command.path_flag("goemotions", "Folder of GoEmotions with Ekman's labels.")
_EMORYNLP = command.path_flag("emorynlp", "Folder of EmoryNLP's lists.")
_WORKDIR = command.path_flag("workdir", "Folder for the corpora, the trials and the model.")

_CARD = """\
---
license: cc-by-4.0
language: en
---
# A small text model

It turns the sentence vector of one utterance (all-MiniLM-L6-v2, Apache-2.0, not included) into
probabilities of {labels}. `mman look` uses it
for recordings with words if no other model is named.

**Data.** GoEmotions (Demszky et al. 2020, Google Research, CC BY 4.0), English Reddit comments in
its Ekman grouping; and EmoryNLP (Zahiri and Choi 2018, Copyright 2017 Emory University, Apache
License 2.0), utterances of the television series Friends, whose Joyful, Mad, Scared, Sad and
Neutral are joy, anger, fear, sadness and neutral, while Peaceful and Powerful are left out. Both in
their own parts: {train} texts with a single label are trained on. No text is included.

**Scores** on the test parts, per cent, with 95 % intervals over comments and scenes. The classifier
({chosen}; validation loss {losses}) is selected on the validation
parts. `python -m experiments.text_model` trains it again.

| test part | utterances | {names} | majority answer |
|---|---:|---:|---:|---:|---:|
{rows}

**Limits.** English only. It learnt from written comments and a script, and reads one utterance at a
time, not how something is said. On dialogue it is little better than the majority answer, and finds
rare emotions badly: its answers are rough guesses, not facts about a person. In the European Union,
inferring emotions from voices or faces is banned at work and in education.
"""


Text = tuple[str, int, str, str]
"""A text, its label, its part, and the name of its conversation."""


def comments(folder: pathlib.Path) -> list[Text]:
    """Reads GoEmotions' comments with a single label, each a conversation."""
    names, texts = (folder / "labels.txt").read_text().split(), []
    for name, part in _PARTS.items():
        for line in (folder / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
            text, label, identifier = line.rsplit("\t", 2)
            if "," not in label:
                place = f"{_CORPORA[0]} {identifier}"
                texts.append((text, LABELS.index(names[int(label)]), part, place))
    return texts


def scenes(folder: pathlib.Path) -> list[Text]:
    """Reads EmoryNLP's utterances whose emotion has a counterpart, by scene."""
    texts = []
    for name, part in _PARTS.items():
        path = folder / f"emorynlp_{name}_final.csv"
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                place = " ".join(row[x] for x in ("Season", "Episode", "Scene_ID"))
                if row["Emotion"] in EMORYNLP:
                    label = EMORYNLP[row["Emotion"]]
                    texts.append((row["Utterance"], label, part, f"{_CORPORA[1]} {place}"))
    return sorted(texts, key=lambda text: text[3])  # the utterances of a scene together


def corpus(texts: list[Text], encoder: TextEncoder) -> Corpus:
    """Measures texts as `mman extract --text=minilm` does."""
    features: list[np.ndarray] = []
    for first in range(0, len(texts), _AT_ONCE):
        some = [text for text, *_ in texts[first : first + _AT_ONCE]]
        features += [states.pooled(x) for x in encoder.states(some)]
    talks = {place: part for *_, part, place in texts}
    places = [place for *_, place in texts]
    lengths = [len(list(group)) for _, group in itertools.groupby(places)]
    return Corpus(
        features={"text": np.stack(features)},
        labels=np.array([label for _, label, *_ in texts], np.int32),
        label_names=LABELS,
        lengths=np.array(lengths, np.int32),
        conversation_ids=tuple(talks),
        utterance_ids=tuple(map(str, range(len(texts)))),
        split=tuple(talks.values()),
    )


def candidates(path: pathlib.Path) -> dict[str, ConfigDict]:
    """Returns the configs that are tried: a small network and a linear classifier."""
    network, simple = clstm_text.get_config(), linear.get_config()
    sizes = {"hidden": (64,), "dense": 64, "dropout": 0.3, "input_dropout": 0.2}
    network.network.unimodal.default.update(sizes)
    network.network.context, network.seeds, network.train.batch = False, 3, 200
    network.train.towers.update(epochs=30, patience=3)
    simple.seeds = 1
    for config in (network, simple):
        config.data.path = str(path)
    return {"dense layers": network, "linear": simple}


def scores(model: Model, tested: Corpus, results: dict[str, Any]) -> dict[str, Any]:
    """Scores a model's answers, with 95 % intervals by conversations."""
    task, answers = from_results(results), model.probabilities(tested).argmax(-1)
    conversation = np.repeat(np.arange(len(tested.lengths)), tested.lengths)
    utterances = {"label": tested.labels, "conversation": conversation}
    ends = paired.intervals(task, {"": answers[None]}, utterances)[""]
    tally = task.tally(answers, tested.labels, None)
    measured = {key: (float(task.score(key, tally)), *ends[key]) for key in _SCORES}
    majority = np.bincount(tested.labels).max() / len(tested.labels)
    return {"utterances": len(tested.labels), "majority": float(majority), **measured}


def _percent(score: tuple[float, float, float]) -> str:
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * x for x in score))


def card(about: dict[str, Any], train: int) -> str:
    """Returns the model's README.md."""
    rows = []
    for name, of in about["test"].items():
        values = " | ".join(_percent(of[k]) for k in _SCORES)
        rows.append(f"| {name} | {of['utterances']} | {values} | {100 * of['majority']:.1f} |")
    losses = ", ".join(f"{name} {x:.3f}" for name, x in about["validation_loss"].items())
    return _CARD.format(
        labels=", ".join(LABELS),
        train=train,
        chosen=about["chosen"],
        losses=losses,
        names=" | ".join(_SCORES.values()),
        rows="\n".join(rows),
    )


def main() -> None:
    """Makes the corpora, trains the candidates and writes the better one with its card."""
    workdir = pathlib.Path(_WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "corpus.npz"
    encoder = TextEncoder(folders.MINILM, folders.digest(folders.find(folders.MINILM)))
    if not path.exists():
        texts = comments(pathlib.Path(_GOEMOTIONS.value)) + scenes(pathlib.Path(_EMORYNLP.value))
        npz.write(corpus(texts, encoder), path)
    with Screen() as screen:
        results = {
            name: runner.run(config, workdir / name.replace(" ", "_"), screen, with_baseline=False)
            for name, config in candidates(path).items()
        }
    losses = {name: of["validation"]["loss"]["mean"] for name, of in results.items()}
    best = min(losses, key=lambda name: losses[name])
    (model,) = load_models(workdir / best.replace(" ", "_"))
    measured = npz.read(path)
    parts, talks = np.array(measured.split), np.array(measured.conversation_ids)
    tested = {
        name: scores(
            model,
            measured.select_conversations(
                np.flatnonzero((parts == "test") & np.char.startswith(talks, name))
            ),
            results[best],
        )
        for name in _CORPORA
    }
    about = {"validation_loss": losses, "chosen": best, "test": tested}
    kept = {name: model.card[name] for name in ("system", "protocol", "task", "seeds")}
    settings = Settings(text=encoder)
    stored = kept | {"extraction": settings.to_json(), "scores": about}
    dataclasses.replace(model, card=stored).save_pretrained(workdir / "model")
    train = measured.lengths[parts == "train"].sum()
    (workdir / "model" / "README.md").write_text(card(about, int(train)))
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    command.run(sys.modules[__name__])
