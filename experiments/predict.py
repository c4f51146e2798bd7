"""Answers a file: `python -m experiments.predict --checkpoint=DIR --input=PATH --output=FILE.csv`.

DIR is the folder of a finished run (its `--workdir`). PATH is anything that a run can train on.
The probabilities are the mean over the run's seeds. After a one-vs-rest protocol `p_<class>` is the
probability of that class against all others, and `label` names every class above one half.
"""

import csv
import io
import pathlib

import numpy as np

from experiments import command
from experiments.stored import read_results
from mman_jax.data.corpus import Corpus
from mman_jax.data.importers import read_corpus
from mman_jax.errors import InputError
from mman_jax.inference.model import Model

_CHECKPOINT = command.path_flag("checkpoint", "The folder of a finished run.")
_INPUT = command.path_flag("input", "The corpus to answer: .npz, .pkl, or a bc-LSTM folder.")
_OUTPUT = command.path_flag("output", "The CSV file to write.")


def load_models(workdir: pathlib.Path) -> list[Model]:
    """The trained models of a run: one, or one a class after a one-vs-rest protocol.

    Raises:
        InputError: if there are none.
    """
    results = workdir / "results.json"
    if not results.is_file():
        raise InputError(workdir, "no trained model", "the --workdir of a finished run")
    done = read_results(results)
    tasks = list(done["tasks"]) if "tasks" in done else [done["protocol"]]
    return [Model.load(workdir / "model" / task) for task in tasks]


def answer(models: list[Model], corpus: Corpus) -> tuple[list[str], np.ndarray, list[str]]:
    """Class names, probabilities [N, C] and a label for each utterance."""
    if len(models) == 1:
        classes, probabilities = list(models[0].classes), models[0].probabilities(corpus)
        return classes, probabilities, [classes[i] for i in probabilities.argmax(-1)]
    # One against the rest: the last class of each task is the one it asks for.
    classes = [model.classes[-1] for model in models]
    probabilities = np.stack([model.probabilities(corpus)[:, -1] for model in models], axis=-1)
    labels = [
        "+".join(name for name, p in zip(classes, row, strict=True) if p > 0.5) or "none"
        for row in probabilities
    ]
    return classes, probabilities, labels


def to_csv(corpus: Corpus, classes: list[str], probabilities: np.ndarray, labels: list[str]) -> str:
    """One line an utterance, in the order of the corpus."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["conversation_id", "utterance_id", "label", *(f"p_{c}" for c in classes)])
    conversations = np.repeat(np.arange(len(corpus.lengths)), corpus.lengths)
    for i, conversation in enumerate(conversations):
        writer.writerow(
            [
                corpus.conversation_ids[conversation],
                corpus.utterance_ids[i],
                labels[i],
                *(f"{p:.6f}" for p in probabilities[i]),
            ]
        )
    return text.getvalue()


def main() -> None:
    """Reads, answers, writes."""
    models = load_models(pathlib.Path(_CHECKPOINT.value))
    corpus = read_corpus(_INPUT.value)
    content = to_csv(corpus, *answer(models, corpus))
    command.write_whole(pathlib.Path(_OUTPUT.value), content.encode())
    print(f"{len(corpus.labels)} utterances answered: {_OUTPUT.value}")


if __name__ == "__main__":
    command.run(main)
